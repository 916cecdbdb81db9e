"""The geometry of chapter 5 behind controls, in a notebook or a page without a kernel.

The page holds `geometry.step_blocks` and the classifiers of `geometry.predicted_grams`
a second time, in JavaScript; tests compare them. It asks nothing of the network. Where
scripts do not run, a table remains.
"""

import json
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from tailwise.geometry.seli import Blocks, step_blocks
from tailwise.geometry.sweep import marks

if TYPE_CHECKING:
    from IPython.display import HTML

# Where the controls stand at first.
K_MAJOR, K_MINOR, RATIO = 5, 5, 10
PANELS = "UFM", "MLP", "ResNet"
ROWS = {
    "ratio": ("squared length, M / m", "norm2_ratio"),
    "major": ("cosine of two M", "cos_major"),
    "between": ("cosine of M and m", "cos_between"),
    "minor": ("cosine of two m", "cos_minor"),
}


def _row(name: str, columns: dict[str, Blocks]) -> str:
    label, attribute = ROWS[name]
    values = {key: getattr(b, attribute).item() for key, b in columns.items()}
    form = ".3g" if name == "ratio" else ".3f"
    cells = (
        f'<td data-is="{key}.{name}">{format(value, form).replace("-", "−")}</td>'
        for key, value in values.items()
    )
    return f'<tr><th scope="row">{label}</th>{"".join(cells)}</tr>'


def _marks() -> dict[str, dict[str, list[float]]]:
    """Squared lengths in Figure 3: by loss and exponent, a number a model."""
    found = marks(figure=3, what="ratio2")
    return {
        loss: {
            f"{gamma:g}": cells.set_index("panel").value[[*PANELS]].tolist()
            for gamma, cells in of_loss.groupby("gamma")
        }
        for loss, of_loss in found.groupby("loss")
    }


def source(suffix: str) -> str:
    """The page's part in a file of this module: ``"html"`` or ``"js"``."""
    return files("tailwise.geometry").joinpath(f"explorer.{suffix}").read_text("utf-8")


def page() -> str:
    """The explorer as a piece of HTML, the same at every call."""
    w, h = step_blocks(K_MAJOR, K_MINOR, RATIO, 0, "ldt")
    etf, _ = step_blocks(K_MAJOR, K_MINOR, 1, 0, "ldt")
    columns = {"W": w, "H": h, "ETF": etf}
    return Template(source("html")).substitute(
        rows="\n".join(_row(name, columns) for name in ROWS),
        setting=f"CE, plain, R = {RATIO}, {K_MAJOR} majority and {K_MINOR} minority"
        " classes",
        script=source("js"),
        marks=json.dumps(_marks(), separators=(",", ":")),
    )


def explorer() -> "HTML":
    """Controls, drawing and table for STEP imbalance, to end a notebook cell with.

    Returns
    -------
    IPython.display.HTML
        Classifiers and embeddings for a loss, an imbalance ratio, numbers of classes
        and an exponent of the temperatures that the reader sets.

    Examples
    --------
    >>> explorer()
    <IPython.core.display.HTML object>
    """
    from IPython.display import HTML  # absent where nothing can show it

    return HTML(page())
