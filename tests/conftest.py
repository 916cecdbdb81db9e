"""Every test computes at the laptop profile, on one thread, and opens no window.

Notebooks are smaller, see conftest.py above.
"""

import os

os.environ["TAILWISE_PROFILE"] = "laptop"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "agg"

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from tailwise import plots
from tools.book.execute import THRIFT

os.environ |= THRIFT  # for the notebooks' kernels


@pytest.fixture
def page(monkeypatch):
    """New axes; at the end, their figures and no others can be drawn."""
    for owner, name in (
        (plt, "show"),
        (torch.optim.SGD, "step"),
        (torch.Tensor, "backward"),
    ):
        text = f"a plot function calls {name}"
        monkeypatch.setattr(owner, name, lambda *a, text=text, **k: pytest.fail(text))
    made = []

    def new(*shape):
        fig, axes = plt.subplots(*shape, figsize=(5, 3), dpi=50)
        made.append(fig)
        return axes

    with mpl.rc_context():
        plots.use_style()
        yield new
        assert plt.get_fignums() == [fig.number for fig in made]
        for fig in made:
            fig.canvas.draw()
            plt.close(fig)
