"""Execute what changed, print this machine's verdicts, and build the HTML.

python -m tools.book.make [--jobs N]

One process for the three steps, because the profile and the verdicts need the package,
whose import takes seconds.
"""

import os
import sys

from tools.book import execute, stage, verdicts
from tools.book.layout import profile_name


def main() -> int:
    os.environ["TAILWISE_PROFILE"] = profile_name()
    if failed := execute.main():
        return failed
    verdicts.main()
    return stage.main(["--executed"])


if __name__ == "__main__":
    sys.exit(main())
