"""Mistakes of evaluation, made on purpose on the networks of chapter 3.

Each function measures claims twice on the same networks, as the chapter does and with
the mistake: by claim and part, the two estimates.
"""

import torch
from torch import Tensor

from tailwise.ledger.mistakes import Pairs
from tailwise.metrics import Estimate
from tailwise.profiles import Profile
from tailwise.softad import contests, levels, study
from tailwise.softad.contests import AVERAGE
from tailwise.softad.study import Result, Size, difference

LEAKED = {"SoftAD by accuracy": "accuracy on test", "SoftAD by loss": "loss on test"}
SIMPLE = ("linear", "cnn")  # the models of the claim that SharpDRO breaks
FLOODING = {  # claims that compare SoftAD with flooding, both tuned
    claim: what for claim, what in contests.TUNED.items() if "flooding" in what[2]
}
WORST = ("ch3.sharpdro_breaks", "ch3.concentration_beats_sharpdro")


def prepare(profile: Profile) -> dict[str, Result]:
    """The chapter's networks under the rare law, by model."""
    n_train, n_test, epochs = profile.pick(
        smoke=(100, 50, 2), laptop=(1000, 400, 60), full=(4000, 1000, 60)
    )
    seeds = profile.pick(
        smoke={"linear": 2, "mlp": 2, "cnn": 2},
        laptop={"linear": 10, "mlp": 12, "cnn": 10},
        full={"linear": 20, "mlp": 20, "cnn": 20},
    )
    size = dict(n_train=n_train, n_val=500, n_test=n_test, epochs=epochs)
    size |= dict(full=profile.data == "full", device=profile.device)
    others = study.named("ERM", "SharpDRO", "COCE", "COCE-A")
    methods = (*others, *levels.GRIDS["flooding"], *levels.GRIDS["SoftAD"])
    found = {}
    for model, n in seeds.items():
        run = study.run(model, "rare", Size(n_seeds=n, **size), methods)
        chosen = {
            f"{name}_by_{by}": levels.choose(run, levels.GRIDS[name], by)
            for name in ("flooding", "SoftAD")
            for by in ("accuracy", "loss")
        }
        found[model] = levels.with_chosen(run, **chosen)
    return found


def level_on_test(results: dict[str, Result]) -> Pairs:
    """SoftAD's level is chosen on test images, flooding's on validation images."""
    found = {}
    for model, result in results.items():
        view = result.view
        chosen = {
            "accuracy_on_test": _best(result, view.accuracy_average),
            "loss_on_test": _best(result, -view.loss_mean),
        }
        leaked = levels.with_chosen(result, **chosen)
        for claim, (label, number, rival) in FLOODING.items():
            pair = (label, LEAKED[label])
            both = (_difference(leaked, name, number, rival) for name in pair)
            found.setdefault(claim, {})[model] = tuple(both)
    return found


def only_ours_tuned(results: dict[str, Result]) -> Pairs:
    """SoftAD's level is tuned, flooding keeps the one that it came with."""
    return {
        claim: {
            model: tuple(
                _difference(result, label, number, name) for name in (rival, "flooding")
            )
            for model, result in results.items()
        }
        for claim, (label, number, rival) in FLOODING.items()
    }


def average_over_severities(results: dict[str, Result]) -> Pairs:
    """The mean over test images as they come stands for worst or balanced accuracy."""
    known = contests.BREAKDOWN | contests.CONCENTRATION
    return {
        claim: {
            model: tuple(
                _difference(result, label, x, *rival) for x in (number, AVERAGE)
            )
            for model, result in results.items()
            if claim != "ch3.sharpdro_breaks" or model in SIMPLE
        }
        for claim, (label, number, *rival) in known.items()
        if claim in WORST
    }


def judged_on_training(results: dict[str, Result]) -> Pairs:
    """The mean loss is that of the training images."""
    return {
        f"ch3.{claim}": {
            model: tuple(
                difference(result, label, number, log=True)
                for number in ("loss_mean", "loss_train")
            )
            for model, result in results.items()
        }
        for claim, label in (("coce_loss", "COCE"), ("coce_a_loss", "COCE-A"))
    }


def _difference(result: Result, label: str, number: str, *rival: str) -> Estimate:
    return difference(result, label, number, *rival, log=number in contests.LOGS)


def _best(result: Result, score: Tensor) -> Tensor:
    """The level of SoftAD with the largest score of each seed; places [S]."""
    names = [method.label for method in levels.GRIDS["SoftAD"]]
    places = torch.tensor([result.labels.index(name) for name in names])
    lost = result.diverged[:, places]
    return places[score[:, places].masked_fill(lost, -torch.inf).argmax(1)]
