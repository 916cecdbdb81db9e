"""The paper's sweep over exponents: on the free model, on networks, and as printed.

Temperatures sum to the number of classes, as in the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.geometry import seli
from tailwise.geometry.flow import Flow, gradient_flow
from tailwise.geometry.networks import Networks
from tailwise.geometry.ridge import ridge_grams
from tailwise.geometry.ufm import Config

GAMMAS = tuple(np.linspace(-1.5, 1.5, 13).tolist())
RATIOS = (2, 10, 20, 100)
# Of the free model: 6000 epochs in batches of 5. Its rate is not printed; that of the
# networks is.
EPOCHS, BATCH, RATE = 6000, 5, 0.1
PRINTED_TIME = RATE * EPOCHS * 275 / BATCH  # at R = 10, with 50 and 5 examples a class
SCRIPT_RIDGE = 5e-4  # default of the released script


@cache
def _marks() -> pd.DataFrame:
    text = files("tailwise.geometry").joinpath("marks.csv").read_text("utf-8")
    return pd.read_csv(StringIO(text), comment="#")


def marks(**where) -> pd.DataFrame:
    """Marks of the paper's figures, read off; the file's head says how.

    Columns are figure, panel, loss, R, gamma, what and value.

    Examples
    --------
    >>> cell = dict(figure=3, panel="UFM", loss="CDT", gamma=0, what="ratio2")
    >>> float(marks(**cell).value.item())
    3.41
    """
    found = _marks()
    for column, value in where.items():
        if column not in found:
            raise ValueError(f"no column {column!r}: expected one of {[*found]}")
        found = found[found[column] == value]
    return found.reset_index(drop=True)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """Block averages of one loss over exponents.

    Attributes
    ----------
    loss : str
        "LDT", "CDT", "wCE" or "LA".
    half : int
        Classes of either size.
    ratio : float
    gammas : tuple of float, length G
    W, H : Blocks of [G] or, of networks, [S, G]
    """

    loss: str
    half: int
    ratio: float
    gammas: tuple[float, ...]
    W: seli.Blocks
    H: seli.Blocks

    def limit(self, gammas: Sequence[float] | None = None) -> tuple:
        """Block averages of W and H in the limit, at these or other exponents."""
        gammas = torch.as_tensor(self.gammas if gammas is None else gammas).double()
        kind = self.loss.lower() if self.loss in ("LDT", "CDT") else "ldt"
        gammas = gammas if self.loss in ("LDT", "CDT") else 0 * gammas
        return seli.step_blocks(self.half, self.half, self.ratio, gammas, kind)


def config(loss: str, gamma: float, counts: Tensor, seed: int = 0) -> Config:
    """One loss of the sweep: weights n^-gamma, additive terms gamma log n, or
    temperatures (n / n_max)^gamma."""
    if loss == "wCE":
        return Config(weight_power=gamma, seed=seed)
    if loss == "LA":
        return Config(tau=gamma, seed=seed)
    delta = seli.temperatures(counts, gamma, mean_one=True).tolist()
    return Config(loss.lower(), gamma, delta=delta, seed=seed)


def stopped(
    loss: str,
    ratio: float,
    gammas: Sequence[float] = GAMMAS,
    times: Sequence[float] | None = None,
    seeds: Sequence[int] = (0,),
) -> Flow:
    """The free model, k = 10, with the printed recipe, or at other times.

    Rows of the flow are exponents, and seeds within them.
    """
    n = seli.step_counts(5, 5, ratio, 5)
    times = [RATE * EPOCHS * n.sum().item() / BATCH] if times is None else times
    configs = [config(loss, gamma, n, seed) for gamma in gammas for seed in seeds]
    return gradient_flow(n, configs, times, d=20, length=0.06)


def of_free(loss: str, ratio: float, gammas: Sequence[float] = GAMMAS) -> Swept:
    """The free model with the printed recipe, embeddings centred as in the limit."""
    flow = stopped(loss, ratio, gammas)
    n = flow.class_counts[0]
    W, H = flow.W[:, -1], flow.H[:, -1]
    delta = seli.temperatures(n, torch.tensor(gammas).double())
    if loss in ("wCE", "LA"):
        delta = torch.ones_like(delta)
    v = seli.null_direction(delta, "cdt" if loss == "CDT" else "ldt")
    H = seli.centred(H, delta, v)
    W, H = (seli.blocks(x @ x.mT, n < n.max()) for x in (W, H))
    about = dict(loss=loss, half=5, ratio=ratio, gammas=tuple(gammas))
    return Swept(W=W, H=H, **about)


def label_of(loss: str, gamma: float) -> str:
    """Label of a network of the sweep; all losses are plain at zero."""
    return f"{loss} {gamma:g}" if gamma else "CE"


def network_configs(
    counts: Tensor, gammas: Sequence[float], few: Sequence[float]
) -> dict[str, Config]:
    """Configurations by label: temperatures at `gammas`, weights and additive terms at
    `few` exponents."""
    cells = [("LDT", 0.0)]
    cells += [(loss, g) for loss in ("LDT", "CDT") for g in gammas if g]
    cells += [(loss, g) for loss in ("wCE", "LA") for g in few if g]
    return {label_of(loss, g): config(loss, g, counts.cpu()) for loss, g in cells}


def of_networks(networks: Networks, loss: str) -> Swept:
    """Networks of a loss over the exponents that were trained, [S, G]."""
    found = {
        float(label.split()[1]): i
        for i, label in enumerate(networks.labels)
        if label.split()[0] == loss
    }
    found[0.0] = networks.index("CE")
    gammas = sorted(found)
    at, n = [found[g] for g in gammas], networks.task.counts.cpu()
    W, H = (
        seli.blocks(v[:, at] @ v[:, at].mT, n < n.max())
        for v in (networks.W, networks.H)
    )
    ratio, half = (n.max() / n.min()).item(), int((n < n.max()).sum())
    about = dict(loss=loss, half=half, ratio=ratio, gammas=tuple(gammas))
    return Swept(W=W, H=H, **about)


def log_errors(ratio2: Tensor, loss: str) -> Tensor:
    """Mean absolute logarithm ``[...]`` of squared length ratios ``[..., G]`` over the
    marks of the free model in Figure 3, at the exponents that were read."""
    cells = marks(figure=3, panel="UFM", loss=loss, what="ratio2")
    return (ratio2.log() - torch.tensor(cells.value.to_numpy()).log()).abs().mean(-1)


def read(loss: str) -> list[float]:
    """Exponents at which marks of the free model in Figure 3 were read."""
    return marks(figure=3, panel="UFM", loss=loss, what="ratio2").gamma.tolist()


def by_time(loss: str, times: Sequence[float] | None, seeds=(0,)) -> Tensor:
    """`log_errors` of stopped models, ``[S, T]``; at the printed time if None."""
    flow = stopped(loss, 10, read(loss), times, seeds)
    n = flow.class_counts[0]
    ratio2 = seli.blocks(flow.W @ flow.W.mT, n < n.max()).norm2_ratio
    return log_errors(ratio2.unflatten(0, (-1, len(seeds))).movedim(0, -1), loss)


def by_ridge(loss: str, ridges: Sequence[float]) -> Tensor:
    """`log_errors` of exact solutions with a ridge, ``[L]``."""
    n = seli.step_counts(5, 5, 10, 5)
    grams = [ridge_grams(n, config(loss, g, n), ridges)[0] for g in read(loss)]
    return log_errors(seli.blocks(torch.stack(grams, 1), n < n.max()).norm2_ratio, loss)


def _compared(cells: pd.DataFrame, swept: Swept) -> dict[tuple[str, str], float]:
    """Mean distances of marks and of ours, each to its theory, and of one another."""
    found = {"log ratio²": [], "cosine": []}
    limits, own = swept.limit(), (swept.W, swept.H)
    for cell in cells[cells.gamma.isin(swept.gammas)].itertuples():
        i, which = swept.gammas.index(cell.gamma), int(cell.what.startswith("h_"))
        kind, gamma = "ldt", 0.0
        if swept.loss in ("LDT", "CDT"):
            kind, gamma = swept.loss.lower(), cell.gamma
        theirs = seli.step_blocks(5, 5, 10, gamma, kind)[which]
        if "ratio" not in cell.what:
            part = cell.what[2:]
            a = cell.value - getattr(theirs, part).item()
            b = (
                getattr(own[which], part)[..., i].mean()
                - getattr(limits[which], part)[i]
            )
            found["cosine"].append((a, b.item()))
            continue
        power = 2 if cell.what == "ratio" else 1
        a = np.log(cell.value**power / theirs.norm2_ratio.item())
        b = own[0].norm2_ratio[..., i].log().mean() - limits[0].norm2_ratio[i].log()
        found["log ratio²"].append((a, b.item()))
    row = {}
    for what, pairs in found.items():
        if pairs:
            a, b = np.array(pairs).T
            row[what, "paper"], row[what, "ours"] = abs(a).mean(), abs(b).mean()
            row[what, "apart"] = abs(a - b).mean()
    return row


def differences(free: Sequence[Swept], nets: Sequence[Swept]) -> pd.DataFrame:
    """Figures 1 and 3 beside ours at R = 10, a row a panel and loss.

    Mean absolute log ratio of squared lengths, and difference of cosines where marks
    were read: "paper" and "ours" each to the theory for its number of classes, "apart"
    one less the other.
    """
    rows = {
        f"Figure {figure}, {panel}, {swept.loss}": _compared(
            marks(figure=figure, panel=panel, loss=swept.loss), swept
        )
        for figure, panel in (
            (1, "UFM"),
            (1, "ResNet"),
            (3, "UFM"),
            (3, "MLP"),
            (3, "ResNet"),
        )
        for swept in (free if panel == "UFM" else nets)
    }
    rows = {name: row for name, row in rows.items() if row}
    found = pd.DataFrame.from_dict(rows, orient="index")
    found.columns = pd.MultiIndex.from_tuples(found.columns)
    return found
