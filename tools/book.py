"""Execute what changed, print this machine's verdicts, and build the HTML.

python tools/book.py [--jobs N]

One process for the three steps, because the profile and the verdicts need the package,
whose import takes seconds.
"""

import os
import sys

import execute
import scoreboard
import stage
from common import profile_name


def main() -> int:
    os.environ["TAILWISE_PROFILE"] = profile_name()
    if failed := execute.main():
        return failed
    scoreboard.main()
    return stage.main(["--executed"])


if __name__ == "__main__":
    sys.exit(main())
