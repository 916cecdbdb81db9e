"""A chapter at the size of its paper: plan, fetch, train, evaluate, record.

python -m tools.paper CHAPTER [--yes] […]      1 to 5; --help after it lists the rest

The plan comes first, with estimates and licences; with --yes the run starts. A run that
was stopped goes on when the same command is given again, and
`make record TAILWISE_PROFILE=paper` takes what it recorded into the book.
"""

import os
import sys
from importlib import import_module

CHAPTERS = ("1", "2", "3", "4", "5")


def main(given: list[str]) -> int:
    if not given or given[0] not in CHAPTERS:
        print(__doc__, file=sys.stderr)
        return 2
    os.environ["TAILWISE_PROFILE"] = "paper"
    return import_module(f"tools.paper.chapter{given[0]}").main(given[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
