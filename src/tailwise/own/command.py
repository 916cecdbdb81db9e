"""The command ``tailwise``: a pilot on a file, and papers' runs, from the shell."""

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from tailwise import __version__
from tailwise.files import checkout
from tailwise.own.features import TAILS
from tailwise.own.heads import OBJECTIVES
from tailwise.own.page import page
from tailwise.own.study import Settings, prepare, study, write

ABOUT = """\
Would another last layer serve your rare class better, and who would pay for it?

FILE holds one sample a row: features (numbers, such as the embeddings of a frozen
network), a label, and if you know them a group (what must be treated alike: site,
machine, background) and a unit (what several rows come from: patient, part, day).
The pilot fits six last layers on many random splits, compares them on samples that
they have not seen, and writes into the folder OUT
  report.html  the answer in one sentence, with tables and figures; open it in a browser
  head.*       the layer to use, for PyTorch, scikit-learn and ONNX
  head.json    what it is: classes, columns, threshold, verdict
"""
EXAMPLES = """\
examples:
  tailwise pilot parts.csv --label defect --out pilot
  tailwise pilot scans.parquet --label diagnosis --group site --unit patient \\
      --cost-miss 900 --cost-false-alarm 40 --currency EUR --objective cost --out pilot

A file or setting that cannot be used is refused with one sentence, before anything is
computed. 12 splits take seconds to minutes; for a decision repeat with --splits 30.
"""


def parser() -> argparse.ArgumentParser:
    """What the command understands."""
    top = argparse.ArgumentParser(
        prog="tailwise",
        description="Learning from rare classes: tools for your own data.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pilot = commands.add_parser(
        "pilot",
        help="compare last layers on your own features and write a report",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pilot.add_argument(
        "file",
        metavar="FILE",
        help=".csv, .tsv (also .gz), .parquet, .npz, .npy or .pt",
    )
    names = pilot.add_argument_group("what is in the file")
    names.add_argument(
        "--label", default="label", metavar="COLUMN", help="the class (default: label)"
    )
    names.add_argument(
        "--group",
        nargs="+",
        metavar="COLUMN",
        help="what must be treated alike; of several columns each combination",
    )
    names.add_argument(
        "--unit",
        metavar="COLUMN",
        help="patient, part or day: no unit is both fitted and tested",
    )
    names.add_argument(
        "--split",
        metavar="COLUMN",
        help="your own split: train, val and test; or dates, the latest are tested",
    )
    names.add_argument(
        "--features",
        nargs="+",
        metavar="COLUMN",
        help="the features (default: every column of numbers that is nothing else)",
    )
    names.add_argument(
        "--tails",
        choices=[name.replace(" ", "-") for name in TAILS],
        default="refuse",
        help="classes of fewer than ten samples (default: refuse)",
    )
    wanted = pilot.add_argument_group("what you want")
    wanted.add_argument(
        "--objective",
        choices=OBJECTIVES,
        help="mean over classes and groups, the worst of them, or cost "
        "(default: cost with --cost-miss, else balanced)",
    )
    wanted.add_argument(
        "--find", metavar="CLASS", help="the class to be found (default: the rarest)"
    )
    wanted.add_argument(
        "--smallest-effect",
        type=float,
        default=0.02,
        metavar="SHARE",
        help="smallest gain that is worth a change (default: 0.02, two points)",
    )
    wanted.add_argument(
        "--accept",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="largest loss of overall accuracy that you accept (default: 0.05)",
    )
    wanted.add_argument(
        "--max-alarms",
        type=float,
        metavar="NUMBER",
        help="most alarms for each hit that you accept (default: any)",
    )
    wanted.add_argument(
        "--cost-miss", type=float, metavar="AMOUNT", help="what a missed row costs"
    )
    wanted.add_argument(
        "--cost-false-alarm",
        type=float,
        metavar="AMOUNT",
        help="what a false alarm costs, with --cost-miss (default: 1)",
    )
    wanted.add_argument("--currency", default="", metavar="NAME", help="such as EUR")
    run = pilot.add_argument_group("how to run")
    run.add_argument(
        "--splits",
        type=int,
        default=12,
        metavar="NUMBER",
        help="random splits, at least 10 (default: 12)",
    )
    run.add_argument(
        "--max-rows",
        type=int,
        default=20_000,
        metavar="NUMBER",
        help="a larger file is sampled (default: 20000)",
    )
    run.add_argument(
        "--seed", type=int, default=0, metavar="NUMBER", help="(default: 0)"
    )
    run.add_argument(
        "--out",
        required=True,
        metavar="FOLDER",
        help="a folder for all results; those of an earlier run are replaced",
    )
    commands.add_parser(  # to be listed: what follows it is for `run_paper`
        "paper", help="a chapter on its paper's own data and networks, in a checkout"
    )
    return top


def run_paper(words: Sequence[str]) -> int:
    """``python -m tools.paper`` of the checkout that the package lies in.

    2 where there is no checkout, with a sentence; else the status of the run.
    """
    if (root := checkout()) is None:
        sys.stderr.write(
            "Not started: runs at paper size belong to a checkout of the repository, "
            "and this package was installed without one.\n"
        )
        return 2
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.call([sys.executable, "-m", "tools.paper", *words], env=env)


def settings_of(given: argparse.Namespace) -> Settings:
    """The same settings as in the page.

    Raises
    ------
    ValueError
        For the cost of a false alarm without that of a miss.
    """
    if given.cost_false_alarm is not None and given.cost_miss is None:
        raise ValueError(
            "--cost-false-alarm says nothing without --cost-miss: name both"
        )
    group = given.group
    objective = given.objective or ("cost" if given.cost_miss else "balanced")
    return Settings(
        path=given.file,
        features=given.features,
        label=given.label,
        group=group[0] if group and len(group) == 1 else group,
        unit=given.unit,
        split=given.split,
        tails=given.tails.replace("-", " "),
        objective=objective,
        smallest_effect=given.smallest_effect,
        accept=given.accept,
        max_alarms=given.max_alarms,
        positive=given.find,
        cost_miss=given.cost_miss,
        cost_false_alarm=1.0
        if given.cost_false_alarm is None
        else given.cost_false_alarm,
        currency=given.currency,
        n_splits=given.splits,
        max_rows=given.max_rows,
        seed=given.seed,
        out=given.out,
    )


def progress(done: int, of: int, *, start: float, stream) -> None:
    """Rewrite one line on a terminal, with the time that is left."""
    left = (time.monotonic() - start) / done * (of - done)
    end = "\r" if stream.isatty() and done < of else "\n"
    if stream.isatty() or done == 1 or done * 4 % of < 4:  # else every quarter
        text = f"{done} of {of} splits, about {left:.0f} s left"
        stream.write(f"{text:<50}{end}")
        stream.flush()


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 2 where something was refused."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["paper"]:
        return run_paper(words[1:])
    given = parser().parse_args(words)
    start = time.monotonic()
    try:
        settings = settings_of(given)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            data = prepare(settings)
    except (FileNotFoundError, ValueError) as fault:
        sys.stderr.write(f"Not started: {fault}.\n")
        return 2
    for warning in caught:
        if warning.category is UserWarning:
            sys.stderr.write(f"Note: {warning.message}.\n")
    sys.stderr.write(f"{len(data):,} samples, {len(data.columns)} features\n")
    done = study(
        data,
        settings,
        progress=lambda k, of: progress(k, of, start=start, stream=sys.stderr),
    )
    written = write(done, given.out, page(done))
    if written.note:
        sys.stderr.write(f"Note: {written.note}.\n")
    sys.stdout.write(f"{done.verdict.sentence}\n")
    sys.stdout.write(f"Open {Path(written.folder) / 'report.html'}\n")
    return 0
