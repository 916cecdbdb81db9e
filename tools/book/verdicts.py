"""Print this machine's verdicts, and where they differ from the recorded ones.

Of a smoke run, which decides nothing: that each chapter ran.
"""

import pandas as pd

from tailwise.ledger import claims
from tailwise.ledger.board import every_claim
from tools.book.layout import profile_name


def changes(board: pd.DataFrame, recorded: pd.DataFrame) -> list[str]:
    """A headline and a line for each verdict that is not the recorded one."""
    both = zip(board.itertuples(), recorded.itertuples())
    lines = [
        f"  {here.claim}: {here.verdict} here, {there.verdict} in the record"
        for here, there in both
        if here.verdict != there.verdict
    ]
    if not lines:
        return ["every verdict is the recorded one"]
    why = "an interval that touches its limit can fall on either side"
    return [f"{len(lines)} differ from the record; {why}:", *lines]


def ran() -> list[str]:
    """A line for each chapter of a smoke run."""
    lines = []
    for chapter in map(claims.load, claims.chapters()):
        record = claims.latest(chapter.key, "smoke")
        done = "did not run"
        if record:
            measured, seconds = len(record.measurements), record.provenance["cpu_s"]
            done = f"ran: {measured} claims measured, {seconds:.0f} s CPU"
        lines.append(f"  {chapter.title:<34}  {done}")
    return lines


def main() -> None:
    profile = profile_name()
    if not claims.chapters():
        return
    if profile == "smoke":
        print("\n".join([f"\na {claims.SMOKE_RUN}: make book gives those", *ran()]))
        return
    board = every_claim(profile)
    print("+ reproduced, - not reproduced; a value ± half of its 95 % interval")
    width = board["claim"].str.len().max()
    for chapter, rows in board.groupby("chapter", sort=False):
        print(f"\n{claims.load(chapter).title}  ({profile})")
        for row in rows.itertuples():
            mark = {"reproduced": "+", "not reproduced": "-"}.get(row.verdict, " ")
            print(f"  {mark} {row.claim:<{width}}  {row.verdict:<17} {row.measured}")
    counts = board["verdict"].value_counts()
    summary = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    print(f"\n{len(board)} claims: {summary}")
    print("\n".join(changes(board, every_claim(profile, "recorded"))), end="\n\n")


if __name__ == "__main__":
    main()
