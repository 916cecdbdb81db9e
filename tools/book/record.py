"""Make this machine's last run the recorded one, to be committed.

python -m tools.book.record [6_]    all, or what begins like 6_ and the pages

Its records go to book/results/<profile>, and what `make bench` measured to
book/results/bench. At the laptop profile the executed notebooks become the committed
ones too. Then the README's table of verdicts is drawn again.
"""

import ast
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.book import execute
from tools.book.layout import ROOT, Book, repository, write
from tools.site import cards

# A verdict in prose: **reproduced** (`ch1.some_claim`)
STATED = re.compile(r"\*\*([^*]+)\*\*\s+\(`(ch\d+\.\w+)`\)")
BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"


def record_results(book: Book, only: Sequence[str] = ()) -> None:
    """Copy the records of the last run into the book, or those of notebooks in `only`.

    Raises
    ------
    ValueError
        If a claim asks for another number than when it was recorded, and its claim file
        does not say why.
    """
    target = book.source / "results" / book.profile
    of = {py.stem.split("_")[0] for py in execute.named(book.chapters(), only)}
    records = [
        path
        for path in sorted(book.results.glob("*.json"))
        if not only or path.stem.removeprefix("ch") in of
    ]
    for record in records:
        if faults := unexplained(target / record.name, record):
            raise ValueError("\n".join(faults))
    for record in records:
        write(target / record.name, record.read_text(encoding="utf-8"))


def unexplained(old: Path, new: Path) -> list[str]:
    """Claims that a new record judges otherwise than the old one, without a reason."""
    from tailwise.ledger import claims

    if not old.exists():
        return []
    before, after = (json.loads(path.read_text("utf-8")) for path in (old, new))
    was, since = before.get("stated", {}), before.get("provenance", {}).get("date", "")
    return [
        f"{id} was recorded as {was[id]!r} and is now {needs!r}: give date, what and "
        f"why under `changed` in book/claims/{old.stem}.yml"
        for id, needs in after.get("stated", {}).items()
        if was.get(id, needs) != needs
        and not any(
            change["date"] >= since
            for change in claims.load(old.stem).claims[id].changed
        )
    ]


def restate(source: Path) -> None:
    """Bring the verdicts that pages name, **so** (`ch1.some_claim`), up to date."""
    from tailwise.ledger import board, claims

    def recorded(match: re.Match) -> str:
        chapter = match[2].split(".")[0]
        claim = claims.load(chapter).claims[match[2]]
        row = board.verdict_row(claim, claims.recorded(chapter, "laptop"))
        return f"{board.bold(row)} (`{claim.id}`)"

    for path in sorted(source.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if (new := STATED.sub(recorded, text)) != text:
            write(path, new)


def record_benchmarks(book: Book) -> None:
    """Keep of each benchmark what the page of run times shows.

    A comparison is any part of a benchmark's outcome that holds a ``ratio``, medians of
    ``batched`` and ``looped``, and the ``largest_difference`` of their results.
    """
    for path in sorted((book.build / "benchmarks").glob("*.json")):
        script = book.root / "benchmarks" / f"{path.stem}.py"
        outcome = json.loads(path.read_text(encoding="utf-8"))
        about = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
        kept = {
            "title": about.split("\n")[0].rstrip("."),
            "comparisons": comparisons(outcome),
            "provenance": outcome["provenance"],
        }
        text = json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write(book.source / "results" / "bench" / path.name, text)


def comparisons(outcome: dict, case: str = "") -> list[dict]:
    """Every comparison in a benchmark's outcome, named by the key it lies under."""
    if "ratio" not in outcome:
        below = {key: part for key, part in outcome.items() if isinstance(part, dict)}
        return [found for key in below for found in comparisons(below[key], key)]
    (key,) = (key for key in outcome if key.startswith("median_"))
    return [
        {
            "case": case,
            "unit": key.removeprefix("median_"),
            "ours": outcome[key]["batched"],
            "loop": outcome[key]["looped"],
            "ratio": outcome["ratio"],
            "difference": outcome["largest_difference"],
        }
    ]


def record_notebooks(book: Book, notebooks: list[Path]) -> None:
    """Make the executed notebooks the committed ones.

    Raises
    ------
    ValueError
        If one of them was not executed since its sources changed.
    """
    stale = [py.name for py in notebooks if not book.is_current(py)]
    if stale:
        raise ValueError(f"run `make book` first: {', '.join(stale)} changed since")
    for py in notebooks:
        write(py.with_suffix(".ipynb"), book.executed(py).read_text(encoding="utf-8"))


def record(book: Book, only: Sequence[str] = ()) -> list[str]:
    """Record results, notebooks and table; return failures of pages, if any.

    Of chapters, solutions and their records all, or what begins like `only`; pages that
    read them are brought up to date.

    Raises
    ------
    ValueError
        For a smoke run, for a name that none begins with, and where notebooks are out
        of date.
    """
    chapters = execute.named(book.chapters(), only)
    if not chapters:
        raise ValueError(f"no chapter, solution or page begins like {list(only)}")
    if book.profile == "smoke":
        raise ValueError("a smoke run decides nothing, so it is never the recorded one")
    on_laptop = book.profile == "laptop"
    if on_laptop:
        record_notebooks(book, chapters)
    record_results(book, only)
    record_benchmarks(book)
    if on_laptop:
        # Pages show the recorded results, which have just changed.
        pages = book.pages()
        if failures := execute.run(book, only=[py.stem for py in pages]):
            return failures
        record_notebooks(book, pages)
        if figure := readme_figure(chapters):
            (book.source / "_static" / "readme.png").write_bytes(figure)
    restate(book.source)
    readme = book.root / "README.md"
    write(readme, with_table(readme.read_text(encoding="utf-8"), readme_table()))
    return []


def readme_figure(notebooks: list[Path]) -> bytes | None:
    """The PNG that a cell with the tag "readme-figure" drew, if there is one."""
    import base64

    import nbformat

    for py in notebooks:
        notebook = nbformat.read(py.with_suffix(".ipynb"), as_version=4)
        for cell in notebook.cells:
            if "readme-figure" in cell.metadata.get("tags", ()):
                images = (o.data["image/png"] for o in cell.outputs if "data" in o)
                return base64.b64decode(next(images))
    return None


def _verdicts(board, chapter: str, origin: str) -> list[str]:
    rows = (board["chapter"] == chapter) & (board["origin"] == origin)
    return list(board.loc[rows, "verdict"])


def readme_table() -> str:
    """The README's table: a row per chapter with its recorded verdicts."""
    from tailwise import profiles
    from tailwise.ledger import claims
    from tailwise.ledger.board import every_claim, headlines
    from tailwise.ledger.tables import tally

    boards = {name: every_claim(name, "recorded") for name in profiles.DECIDING}
    launch = f"https://colab.research.google.com/github/{repository(ROOT)}/blob/main"
    lines = [headlines(), ""]
    lines += ["| chapter | question and finding | verdicts | run it |"]
    lines += ["| --- | --- | --- | --- |"]
    for chapter in map(claims.load, claims.chapters()):
        notebook = f"book/{chapter.page}.ipynb"
        verdicts = "<br>".join(
            f"{name}, {whose}: {text}"
            for name, board in boards.items()
            for whose, origin in (("the paper", "this paper"), ("ours", "ours"))
            if (text := tally(_verdicts(board, chapter.key, origin)))
            and (name == "laptop" or text != "not recorded yet")
        )
        question = " ".join(chapter.question.split())
        found = cards.finding(cards.prose(ROOT / "book" / f"{chapter.page}.py"))
        arxiv = chapter.paper["arxiv"]
        paper = f"[arXiv {arxiv}](https://arxiv.org/abs/{arxiv})"
        lines.append(
            f"| [{chapter.title}]({notebook})<br>{paper} "
            f"| {question}<br>*{found}* | {verdicts} "
            f"| [Open in Colab]({launch}/{notebook}) |"
        )
    return "\n".join(lines)


def with_table(readme: str, table: str) -> str:
    """The README with `table` between its two markers."""
    between = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)
    if len(between.findall(readme)) != 1:
        raise ValueError(f"README.md needs one {BEGIN} … {END}")
    return between.sub(lambda _: f"{BEGIN}\n{table}\n{END}", readme)


def main() -> int:
    try:
        failures = record(Book.here(), sys.argv[1:])
    except ValueError as error:
        failures = [str(error)]
    for story in failures:
        print(story, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
