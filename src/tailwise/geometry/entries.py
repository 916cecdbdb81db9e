"""What chapter 5 enters into its ledger: by claim and part."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tailwise.geometry import printed, sweep
from tailwise.geometry.networks import Networks
from tailwise.geometry.race import Race
from tailwise.geometry.seli import (
    etf_gram,
    gram_error,
    predicted_grams,
    step_blocks,
    step_counts,
    temperatures,
)
from tailwise.geometry.study import (
    FIVE,
    RATIOS,
    etf_error,
    exact_ridge_error,
    gain,
    limit_errors,
    minority_cosines,
    train_limits,
)
from tailwise.geometry.ufm import Config
from tailwise.metrics import Estimate, estimate

Parts = dict[str, dict[str, Estimate]]
LIMITS = {
    "ch5.seli": Config(lr=1.0),
    "ch5.weights_keep_limit": Config(weight_power=1, lr=1.0),
    "ch5.additive_keeps_limit": Config(tau=1, lr=1.0),
    "ch5.ldt_symmetric": Config(gamma=0.5, lr=1.0),
}


def exactly(value: float) -> Estimate:
    """A number without a spread."""
    return Estimate(float(value), 0.0, 1)


def statements() -> Parts:
    """Printed formulas beside ours, and what follows from them without training."""
    worst = printed.differences()["largest difference"].max()
    ce, ldt1, half, cdt = (
        step_blocks(5, 5, 1e6, gamma, kind)[0]
        for kind, gamma in (("ldt", 0), ("ldt", 1), ("ldt", 0.5), ("cdt", 0.25))
    )
    return {
        "ch5.printed_formulas": {"": exactly(worst)},
        "ch5.binary_cdt": {"": exactly(printed.binary_difference("cdt"))},
        "ch5.cdt_never": {f"R = {R}": exactly(_never(R)) for R in RATIOS},
        "ch5.cdt_wide": {"": exactly(width("cdt") - width("ldt"))},
        "ch5.collapse_ratio": {
            "CE minority": exactly(ce.cos_minor),
            "LDT 1 majority": exactly(ldt1.cos_major),
        },
        "ch5.no_collapse": {
            "LDT 1/2": exactly(half.cos_minor),
            "CDT 1/4": exactly(cdt.cos_minor),
        },
    }


def _never(ratio: float) -> float:
    """Smallest distance of CDT's classifiers to the ETF over the exponents."""
    n = step_counts(5, 5, ratio)
    delta = temperatures(n, torch.linspace(-2, 2, 401))
    W, _ = predicted_grams(n, delta, "cdt")
    return gram_error(W, etf_gram(10)).min().item()


def width(kind: str, most: float = 0.05, ratio: float = 100) -> float:
    """Length of the exponents in [-1, 2] that keep both groups apart, k = 10: cosines
    of two majority and of two minority classifiers at most `most`."""
    gammas = torch.linspace(-1, 2, 3001, dtype=torch.float64)
    W, _ = step_blocks(5, 5, ratio, gammas, kind)
    apart = (W.cos_major <= most) & (W.cos_minor <= most)
    return 3 * apart.double().mean().item()


def trained_limits(starts: Sequence[int], steps: int = 6000) -> Parts:
    """Where models of free features end, from several random starts."""
    configs = LIMITS | {"ch5.cdt_aligned": Config("cdt", 0.5, lr=1.0)}
    found = train_limits(configs, RATIOS, len(starts), d=20, steps=steps)
    parts = {claim: {} for claim in configs}
    for (claim, R), (error, _, aligned) in found.items():
        values = aligned if claim == "ch5.cdt_aligned" else error
        parts[claim][f"R = {R}"] = estimate(values)
    return parts


def collapse() -> Parts:
    """What a ridge does to the minority classifiers, R = 100."""
    n, config = step_counts(5, 5, 100), {"CE": FIVE["CE"]}
    large, small = minority_cosines(n, config, [3e-3, 1e-6])["CE"]
    off = etf_error(FIVE["LDT 1/2 + 1/n"], [1e-3, 1e-4, 1e-5, 1e-6])
    return {
        "ch5.collapse": {"": exactly(large)},
        "ch5.collapse_goes": {"": exactly(small)},
        "ch5.half_and_weights": {"": exactly(off)},
    }


def stopped(starts: Sequence[int]) -> Parts:
    """Which recipe made the marks of the free model, and what slows it down."""
    by_loss = {
        loss: sweep.by_ridge(loss, [sweep.SCRIPT_RIDGE])
        - sweep.by_time(loss, None, starts)[:, 0]
        for loss in ("LDT", "CDT")
    }
    logs = {}
    for R in (2, 20):  # of Figure 4, which has CDT and 1000 epochs
        end = sweep.RATE * 1000 * step_counts(5, 5, R, 5).sum().item()
        flow = sweep.stopped("CDT", R, (0.5, 1.0), [end / sweep.BATCH], starts)
        logs[R] = flow.error_w[:, 0].log10().view(2, -1).numpy()
    return {
        "ch5.ufm_marks": {loss: estimate(e.numpy()) for loss, e in by_loss.items()},
        "ch5.slower_gamma": {"": estimate(logs[20][1] - logs[20][0])},
        "ch5.slower_ratio": {"": estimate(logs[20][1] - logs[2][1])},
    }


def raced(races: dict[str, Race]) -> Parts:
    """What methods differ by, in decimal logarithms of the distance at the end."""
    end = {name: race.error_w[..., -1].log10() for name, race in races.items()}
    faster = (end["gradient descent"] - end["normalised"]).mean(0)
    first = next(iter(races.values()))
    slow = [i for i, (_, *loss) in enumerate(first.settings) if loss == ["cdt", 0.5]]
    lead = {
        f"R = {first.settings[i][0]}": estimate(
            (end["normalised"] - end["spectral"])[i].numpy()
        )
        for i in slow
    }
    return {
        "ch5.normalised_faster": {"": estimate(faster.numpy())},
        "ch5.spectral_cdt": lead,
    }


# Networks


def with_the_ridge(ten: Networks, assisted: Sequence[str]) -> Parts:
    """Networks whose features carry the ridge: where they end, and with offsets."""
    names = "CE", "LA", "LDT 1/2", "CDT 1/2", "LDT 1/2 + 1/n"
    return {
        "ch5.network_ridge": {
            name: estimate(exact_ridge_error(ten, name)) for name in names
        },
        "ch5.network_assisted": {
            name: estimate(limit_errors(ten, f"{name}, assisted")[0])
            for name in assisted
        },
    }


def _fall(networks: Networks, loss: str) -> Tensor:
    """Of the log squared length ratio from gamma = -1/2 to 1, one a seed."""
    swept = sweep.of_networks(networks, loss)
    low, high = (swept.gammas.index(gamma) for gamma in (-0.5, 1.0))
    logs = swept.W.norm2_ratio.log()
    return logs[:, low] - logs[:, high]


def _cosine_error(networks: Networks, loss: str) -> tuple[Tensor, Tensor]:
    """Mean absolute difference of block cosines to theory, |gamma| <= 1, of W and H."""
    swept = sweep.of_networks(networks, loss)
    inside = torch.tensor(swept.gammas).abs() <= 1
    return tuple(
        torch.stack(
            [
                (getattr(own, name) - getattr(limit, name)).abs()[:, inside]
                for name in ("cos_major", "cos_minor", "cos_between")
            ]
        ).mean((0, -1))
        for own, limit in zip((swept.W, swept.H), swept.limit())
    )


def _nearest(networks: Networks, loss: str, gamma: float) -> Tensor:
    """Distance of W to its limit, less that to the nearest of the other limits."""
    counts = networks.task.counts.cpu()
    W = networks.W[:, networks.index(sweep.label_of(loss, gamma))]
    found, own = [], None
    for other in [("LDT", g) for g in (0.0, -0.5, 0.5, 1.0)] + [("CDT", 0.5)]:
        delta = temperatures(counts, other[1])
        limit, _ = predicted_grams(counts, delta, other[0].lower())
        error = gram_error(W @ W.mT, limit)
        if other == (loss, gamma):
            own = error
        else:
            found.append(error)
    return own - torch.stack(found).amin(0)


def _hard_fit(networks: Networks) -> Tensor:
    """Balanced training accuracy, LDT less CDT, mean over four strong exponents."""
    balanced = networks.train_recall.mean(-1)

    def mean(loss: str) -> Tensor:
        at = [networks.index(sweep.label_of(loss, g)) for g in (-1.5, -1.0, 1.0, 1.5)]
        return balanced[:, at].mean(-1)

    return mean("LDT") - mean("CDT")


def swept_networks(networks: Networks, warm: Networks) -> Parts:
    """Networks with the printed recipe over exponents, and from a warm start."""
    fall = {loss: _fall(networks, loss) for loss in ("LDT", "CDT", "LA", "wCE")}
    half = sweep.of_networks(networks, "LDT")
    half = half.W.norm2_ratio[:, half.gammas.index(0.5)].log().abs()
    (ldt_w, ldt_h), (cdt_w, cdt_h) = (
        _cosine_error(networks, loss) for loss in ("LDT", "CDT")
    )
    cells = {"CE": ("LDT", 0.0), "LDT 1/2": ("LDT", 0.5), "CDT 1/2": ("CDT", 0.5)}
    parts = {
        "ch5.knobs": {x: fall[x] - fall["wCE"] for x in ("LDT", "CDT")},
        "ch5.additive_flat": {"": fall["LA"]},
        "ch5.half_ratio": {"": half},
        "ch5.which_side": {
            "W, LDT less CDT": ldt_w - cdt_w,
            "H, CDT less LDT": cdt_h - ldt_h,
        },
        "ch5.nearest_limit": {x: _nearest(networks, *c) for x, c in cells.items()},
        "ch5.cdt_hard_fit": {"": _hard_fit(networks)},
        "ch5.warm_start": {},
    }
    for label, cell in cells.items():
        a, b = (limit_errors(n, sweep.label_of(*cell))[0] for n in (warm, networks))
        parts["ch5.warm_start"][label] = torch.from_numpy(a - b)
    return {
        claim: {part: estimate(values.numpy()) for part, values in found.items()}
        for claim, found in parts.items()
    }


def accuracies(runs: dict[str, Networks]) -> Parts:
    """Test accuracies compared, of networks with the ridge on features and others."""
    ten, both = runs["R = 10"], "LDT 1/2 + 1/n"
    hundred = {
        "ridge on features": runs["R = 100"],
        "ordinary": runs["R = 100, ordinary"],
    }
    return {
        "ch5.gamma_minority": {
            "from -1/2 to 0": gain(ten, "CE", "LDT -1/2", 2),
            "from 0 to 1/2": gain(ten, "LDT 1/2", "CE", 2),
            "from 1/2 to 1": gain(ten, "LDT 1", "LDT 1/2", 2),
        },
        "ch5.temperature_helps": {
            x: gain(ten, x, "CE") for x in ("LDT 1/2", "CDT 1/2")
        },
        "ch5.ldt_alone": {"": gain(hundred["ordinary"], "LDT 1/2", "CE", 2)},
        "ch5.weights_rescue": {x: gain(n, both, "CE") for x, n in hundred.items()},
        "ch5.beats_additive": {x: gain(n, both, "LA") for x, n in hundred.items()},
    }
