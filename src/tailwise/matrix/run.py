"""The transfer matrix: every method on every world, chosen and measured alike.

For each seed, validation data choose one candidate of a method: by the worst group
where groups are known before the test, else by the mean over classes. The test set is
read once, for the chosen head. Differences between methods are paired over seeds.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.files import write_whole
from tailwise.ledger import claims, provenance
from tailwise.matrix.methods import N_SUBSETS, PLAIN, candidates
from tailwise.matrix.pictures import PICTURES, available
from tailwise.matrix.stacked_heads import logits_of
from tailwise.matrix.worlds import WORLDS, World
from tailwise.methods.calibration import calibration_error, fit_temperature
from tailwise.metrics import Estimate, estimate
from tailwise.profiles import DECIDING, PROFILES, Profile
from tailwise.training.processes import in_processes

# Short names of metrics, as the record and the guide use them.
METRICS = {
    "worst group": "accuracy_worst_group: smallest accuracy of a test group",
    "worst class": "accuracy_worst_class: smallest accuracy of a class",
    "balanced": "accuracy_balanced: mean over classes",
    "training mix": "accuracy_train_prior: mean in the mix of the training set",
    "ECE": "expected calibration error, 15 bins, on the test set as it is",
    "loss": "mean cross-entropy on the test set",
    "loss, calibrated": "the same after one temperature, fitted on validation data",
}
FILE = "transfer.json"


def rates(correct: Tensor, cells: Tensor, size: int) -> Tensor:
    """Accuracy in each cell: ``[S, C, n]`` and cells ``[S, n]`` to ``[S, C, size]``.

    NaN where a cell does not occur.
    """
    member = F.one_hot(cells, size).to(correct.dtype)
    return (correct @ member) / member.sum(-2, keepdim=True)


def score(logits: Tensor, world: World) -> Tensor:
    """What validation chooses by, for candidates ``[S, C, n, k]``: ``[S, C]``."""
    part = world.val
    right = (logits.argmax(-1) == part.y.unsqueeze(1)).to(logits)
    size = len(world.groups) if world.labelled else world.n_classes
    by_cell = rates(right, world.cells(part), size)
    if world.labelled:
        return by_cell.nan_to_num(1.0).amin(-1)
    return by_cell.nanmean(-1)


def choose(heads: Tensor, world: World) -> Tensor:
    """The first of the candidates that are best on validation data: ``[S]``."""
    # One seed at a time: the scores of all candidates of all seeds would not fit.
    best = []
    for s in range(len(heads)):
        one = logits_of(world.val.X[s : s + 1], heads[s : s + 1])
        found = score(one, _seed(world, s))[0]
        best.append((found == found.max()).nonzero()[0, 0])
    return torch.stack(best)


def _seed(world: World, s: int) -> World:
    parts = {name: getattr(world, name) for name in ("train", "val", "test")}
    picked = {
        name: type(p)(*(v[s : s + 1] for v in vars(p).values()))
        for name, p in parts.items()
    }
    mix, seeds = world.mix[s : s + 1], world.seeds[s : s + 1]
    return replace(world, **picked, mix=mix, seeds=seeds)


def measure(heads: Tensor, world: World) -> dict[str, np.ndarray]:
    """Every metric on test data of one head a seed, ``[S, d + 1, k]``."""
    test, val = world.test, world.val
    logits = logits_of(test.X, heads.unsqueeze(1))
    held = logits_of(val.X, heads.unsqueeze(1))[:, 0]
    y = test.y
    right = (logits.argmax(-1) == y.unsqueeze(1)).double()
    by_group = rates(right, test.group, len(world.groups))[:, 0]
    by_class = rates(right, y, world.n_classes)[:, 0]
    logits, right = logits[:, 0].double(), right[:, 0]
    temperature = fit_temperature(held.double(), val.y)
    losses = [
        F.cross_entropy(z.mT, y, reduction="none").mean(-1)
        for z in (logits, logits / temperature[:, None, None])
    ]
    found = (
        by_group.amin(-1),
        by_class.amin(-1),
        by_class.mean(-1),
        (right * world.mix).sum(-1),
        calibration_error(logits, y),
        *losses,
    )
    return {name: value.cpu().numpy() for name, value in zip(METRICS, found)}


@dataclass(frozen=True)
class Record:
    """What a run of the matrix measured.

    Attributes
    ----------
    profile : str
    provenance : dict
    worlds : dict of str to dict
        Title, sizes, selection rule and seeds of each world in which chapter 1's rule
        fell back to the priors.
    values : dict
        World to method to metric to a list with one number a seed.
    """

    profile: str
    provenance: dict
    worlds: dict[str, dict]
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def of(self, world: str, method: str, metric: str) -> np.ndarray:
        """One number a seed; a ValueError names what is unknown."""
        found = self.values
        for kind, key in (("world", world), ("method", method), ("metric", metric)):
            if key not in found:
                known = ", ".join(found)
                raise ValueError(f"unknown {kind} {key!r}: expected one of {known}")
            found = found[key]
        return np.array(found)

    def level(self, world: str, method: str, metric: str) -> Estimate:
        """Mean over seeds."""
        return estimate(self.of(world, method, metric))

    def gain(self, world: str, method: str, metric: str, less: str = PLAIN) -> Estimate:
        """Paired difference to another method, mean over seeds."""
        other = self.of(world, less, metric)
        return estimate(self.of(world, method, metric) - other)

    def dumps(self) -> str:
        """As JSON text, stable under re-writing."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    def save(self) -> Path:
        """Write the record among this machine's results, whole or not at all."""
        path = claims.results_dir(self.profile) / FILE
        write_whole(path, self.dumps())
        return path


def read(path: Path) -> Record | None:
    """Read a record, or None where there is none; a ValueError if it is not one."""
    if not path.is_file():
        return None
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a transfer record: {error}") from error


def recorded(profile: str | None = None) -> Record | None:
    """The committed record of a profile, by default of the largest; or None."""
    if profile is None:
        return next(filter(None, map(recorded, reversed(DECIDING))), None)
    return read(claims.book_dir() / "results" / profile / FILE)


def by_size(found: Record) -> tuple[Record, Record]:
    """The largest record there is and the next smaller one, or twice the only one.

    `found`, of this run, takes the place of the committed record of its profile.
    """
    kept = {name: recorded(name) for name in DECIDING} | {found.profile: found}
    sizes = [kept[name] for name in reversed(PROFILES) if kept.get(name)]
    return sizes[0], sizes[:2][-1]


def describe(world: World, fell_back: int) -> dict:
    """What a record says of a world, as plain values."""
    return {
        "title": world.title,
        "chosen by": "worst group" if world.labelled else "balanced",
        "classes": world.n_classes,
        "features": world.train.X.shape[-1],
        "train": world.train.X.shape[1],
        "val": world.val.X.shape[1],
        "test": world.test.X.shape[1],
        "fell back": fell_back,
    }


def run_world(
    world: World, *, n_subsets: int = N_SUBSETS
) -> tuple[dict, dict[str, dict[str, list[float]]]]:
    """Fit, choose and measure every method on a world: description and values."""
    found, fell_back = candidates(world, n_subsets=n_subsets)
    values = {}
    for method, heads in found.items():
        best = choose(heads, world)
        picked = heads[torch.arange(len(heads), device=heads.device), best]
        numbers = measure(picked, world)
        values[method] = {k: np.round(v, 6).tolist() for k, v in numbers.items()}
    return describe(world, fell_back), values


def joined(
    seeds: Sequence[dict[str, dict[str, list[float]]]],
) -> dict[str, dict[str, list[float]]]:
    """The values of single seeds, method by method and metric by metric."""
    return {
        method: {
            metric: [x for each in seeds for x in each[method][metric]]
            for metric in metrics
        }
        for method, metrics in seeds[0].items()
    }


def one_seed(
    P: Profile, name: str, seed: int
) -> tuple[dict, dict[str, dict[str, list[float]]]]:
    """`run_world` on one data set of a world, drawn by its seed."""
    return run_world((WORLDS | PICTURES)[name](P, [seed]).to(P.device))


def run(
    P: Profile,
    names: Sequence[str] | None = None,
    *,
    n_seeds: int | None = None,
) -> Record:
    """Measure the matrix at a profile, on its device, each world and seed by itself.

    Parameters
    ----------
    P : Profile
    names : sequence of str, optional
        Keys of `WORLDS`, and those of `PICTURES` that are `available`; by default all.
    n_seeds : int, optional
        By default that of the profile; at least 2.
    """
    known = [*WORLDS, *available(P)]
    names = known if names is None else names
    if unknown := set(names) - set(known):
        expected = f"expected some of {', '.join(known)}"
        raise ValueError(f"names holds {sorted(unknown)}: {expected}")
    n_seeds = P.n_seeds if n_seeds is None else n_seeds
    if n_seeds < 2:
        raise ValueError(f"n_seeds is {n_seeds}: an interval needs 2 at least")
    stopwatch, worlds, values = provenance.Stopwatch(), {}, {}
    chunks = [(P, name, seed) for name, seed in product(names, range(n_seeds))]
    found = in_processes(one_seed, chunks, device=P.device)
    for i, name in enumerate(names):
        seeds = found[i * n_seeds : (i + 1) * n_seeds]
        fell_back = sum(described["fell back"] for described, _ in seeds)
        worlds[name] = seeds[0][0] | {"fell back": fell_back}
        values[name] = joined([each for _, each in seeds])
    return Record(P.name, provenance.describe(P, stopwatch), worlds, values)
