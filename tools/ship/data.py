"""Fetch a data set that the book does not ship; the one step that needs the network.

python -m tools.ship.data cifar10|cifar100 [--folder FOLDER] [--offline]

FOLDER is $TAILWISE_DATA or ~/.cache/tailwise by default. With --offline only files
that torchvision has already put there are used.
"""

import argparse
import sys
from pathlib import Path

from tailwise.data import cifar


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=cifar.KINDS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--offline", action="store_true")
    given = parser.parse_args(arguments)
    try:
        online = not given.offline
        path = cifar.prepare(given.folder, download=online, kind=given.dataset)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
