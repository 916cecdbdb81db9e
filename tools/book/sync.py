"""Bring each .ipynb half up to date with its .py half, the source of truth.

Only an unchanged cell keeps its output: `jupytext --update` would leave the old output
under the new code.
"""

from tools.book.layout import Book, dumps, read_source, write


def sync(book: Book) -> int:
    """Rewrite the .ipynb halves that differ and return how many did."""
    changed = 0
    for py in book.chapters() + book.pages():
        ipynb = py.with_suffix(".ipynb")
        text = dumps(read_source(py))
        if not ipynb.exists() or ipynb.read_text(encoding="utf-8") != text:
            write(ipynb, text)
            print(f"updated {ipynb.relative_to(book.root)}")
            changed += 1
    return changed


if __name__ == "__main__":
    sync(Book.here())
