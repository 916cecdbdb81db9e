"""The figures of chapter 1: each takes results and an axes, and returns the axes."""

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from tailwise.methods import optimal_weight
from tailwise.metrics import estimate
from tailwise.plots import COLORS, INK, LINES, band, forest
from tailwise.weighting.images import RuleComparison
from tailwise.weighting.simulation import Rivals
from tailwise.weighting.study import RidgeRun, SettingRun, gain, worst_difference


def ratio_axis(ax: Axes, ticks: tuple[float, ...]) -> Axes:
    """Logarithmic axis of ratios with plain numbers."""
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("weight of a rare sample")
    return ax


def score_histogram(ax: Axes, scores: Tensor, y: Tensor) -> Axes:
    """Scores of both classes with the share on the wrong side of zero."""
    looks = ((1, "rare", "orange", "//"), (-1, "common", "blue", None))
    for sign, label, color, hatch in looks:
        values = scores[y == sign].cpu()
        wrong = (values * sign < 0).double().mean()
        ax.hist(
            values,
            bins=np.linspace(-3, 3, 37),
            density=True,
            alpha=0.55,
            color=COLORS[color],
            hatch=hatch,
            label=f"{label}: {wrong:.0%} wrong",
        )
    ax.axvline(0, ymax=0.8, color=INK, lw=1, ls="--")  # the legend stands above
    ax.set(xlabel="score", ylim=(0, 1.4))
    ax.legend(loc="upper left", fontsize=9)
    return ax


def error_curves(ax: Axes, run: SettingRun) -> Axes:
    """Class errors against the ratio: theory as lines, simulation as points."""
    s = run.setting
    theory = optimal_weight.class_errors(run.grid, s.prior, s.delta, s.snr)
    looks = (("rare", "orange", "o", "-"), ("common", "blue", "s", "--"))
    simulated = (run.minority["grid"], run.majority["grid"])
    for curve, errors, look in zip(theory, simulated, looks):
        label, color, marker, line = look
        ax.plot(run.grid, curve, line, color=COLORS[color], label=f"{label}, theory")
        e = estimate(errors)
        ax.errorbar(
            run.grid[::3],
            e.mean[::3],
            e.half[::3],
            fmt=marker,
            ms=4,
            ls="none",
            color=COLORS[color],
            label=f"{label}, simulated",
        )
    if s.balances:
        rho = run.named["equal"]
        ax.axvline(rho, color=INK, lw=1, ls=":")
        ax.annotate(f" {rho:.1f}", (rho, 0.7), color=INK)
    ax.set_title(f"d/n = {s.delta}, s = {s.snr}")
    return ratio_axis(ax, (1, 10, 100, 1000))


def region_map(ax: Axes, prior: float) -> Axes:
    """Where the equal-error ratio is best, where less is better, where none exists."""
    delta, s = np.meshgrid(np.linspace(0.005, 3 * prior, 240), np.linspace(0.5, 5, 240))
    inside = np.minimum(delta, 2 * prior - 1e-3)
    bound = (4 * prior * (1 - prior) - inside) / (inside * (1 - 2 * prior))
    rho = optimal_weight.equal_error_ratio(prior, inside)
    at_rho, at_one = (
        np.maximum(*optimal_weight.class_errors(ratio, prior, inside, s))
        for ratio in (rho, 1)
    )
    region = 1.0 * (s**2 > bound) + (at_one < at_rho)
    region[delta > 2 * prior] = 3
    ax.contourf(
        delta,
        s,
        region,
        levels=[-0.5, 0.5, 1.5, 2.5, 3.5],
        colors=[COLORS[c] for c in ("green", "blue", "purple", "grey")],
        alpha=0.45,
        hatches=["", "//", "..", "xx"],
    )
    for x, y, text in (
        (0.7, 1.0, "equal-error ratio is best"),
        (0.9, 2.9, "a smaller ratio is best"),
        (1.0, 4.5, "weight 1 beats\nthe equal-error ratio"),
        (2.5, 2.7, "no ratio\nbalances"),
    ):
        ax.text(
            x * prior,
            y,
            text,
            ha="center",
            va="center",
            color="#222222",
            bbox=dict(facecolor="white", alpha=0.9, edgecolor="none", pad=2),
        )
    ax.grid(False)
    ax.set(xlabel="features per sample, d/n", ylabel="distance of the classes, s")
    return ax


def price(ax: Axes, prior: float, delta: float, snr: float) -> Axes:
    """Error of each class, their average, and the moved threshold."""
    ratios = np.geomspace(1, 30, 200)
    rare, common = optimal_weight.class_errors(ratios, prior, delta, snr)
    mean = prior * rare + (1 - prior) * common
    ax.plot(ratios, rare, "-", label="rare", color=COLORS["orange"])
    ax.plot(ratios, common, "--", label="common", color=COLORS["blue"])
    ax.plot(ratios, mean, ":", label="average", color=COLORS["green"])
    moved = optimal_weight.shifted_error(prior, delta, snr)
    label = "both classes: weight 1, moved threshold"
    ax.plot(1, moved, "*", ms=13, ls="none", label=label, color=COLORS["red"])
    ax.set_ylabel("error on new data")
    ax.legend()
    return ratio_axis(ax, (1, 2, 4, 7, 15, 30))


def averaging(ax: Axes, rivals: Rivals) -> Axes:
    """Worst-class error against the number of averaged downsampled heads."""
    n_draws = rivals.averaged.shape[-1]
    nothing = np.zeros_like(rivals.weighted.cpu().numpy())
    flat = np.ones((1, 1, n_draws))
    for errors, label, color, line in (
        (rivals.averaged.cpu().numpy(), "downsampled heads, averaged", "blue", "-"),
        (
            rivals.weighted.cpu().numpy()[..., None] * flat,
            "equal-error ratio",
            "orange",
            "--",
        ),
        (
            rivals.moved.cpu().numpy()[..., None] * flat,
            "moved threshold",
            "green",
            "-.",
        ),
    ):
        worst = [worst_difference(errors[..., k], nothing) for k in range(n_draws)]
        mean, half = np.array([(e.mean, e.half) for e in worst]).T
        style = dict(label=label, color=COLORS[color], ls=line)
        band(ax, np.arange(1, n_draws + 1), mean, half, **style)
    ax.set_ylabel("worst-class error")
    ax.legend()
    ratio_axis(ax, (1, 2, 4, 8, 16, 32)).set_xlabel("heads averaged")
    return ax


def ratio_rules(ax: Axes, runs: list[RidgeRun]) -> Axes:
    """The ratio of each rule beside the one that equalises, one row a world."""
    looks = (
        ("ambient d", "D", "orange"),
        ("PCA 99 %", "s", "blue"),
        ("participation", "^", "purple"),
        ("noise edge", "v", "red"),
        ("effective dof", "o", "green"),
    )
    rows = np.arange(len(runs))
    mean = [run.crossing for run in runs]
    half = [1.96 * run.stderr for run in runs]  # of a bootstrap
    names = [str(run.world) for run in runs]
    forest(ax, names, mean, half, color=INK, marker="|", label="equalises")
    for rule, marker, color in looks:
        ratios = [run.ratios[rule] for run in runs]
        ax.plot(ratios, rows, marker, ls="none", color=COLORS[color], label=rule)
    ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return ratio_axis(ax, (4, 5, 6, 7, 8, 9))


def ratio_sweep(ax: Axes, result: RuleComparison) -> Axes:
    """Worst-class accuracy against the ratio, with two rules marked."""
    e = estimate(result.sweep.amin(0).cpu())
    band(ax, result.grid.cpu(), e.mean, e.half, color=COLORS["blue"])
    for rule, line, color in (
        ("priors", "--", "orange"),
        ("effective dof", "-.", "green"),
    ):
        x = result.ratio[rule].nanmean().item()
        label = f"{rule}: {x:.1f}"
        ax.axvline(x, ls=line, lw=1.6, color=COLORS[color], label=label)
    ax.set_ylim(e.mean.max() - 0.2, e.mean.max() + 0.02)
    ax.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return ratio_axis(ax, (1, 2, 4, 8, 20, 60))


def gains(ax: Axes, results: dict[str, list[RuleComparison]], rules: list[str]) -> Axes:
    """Gains of each rule over the ratio of priors, one marker a pair."""
    looks = (("blue", "o"), ("green", "s"), ("red", "^"))
    for k, ((name, runs), look) in enumerate(zip(results.items(), looks)):
        found = [gain(runs, rule) for rule in rules]
        forest(
            ax,
            rules,
            [100 * e.mean for e in found],
            [100 * e.half for e in found],
            color=COLORS[look[0]],
            marker=look[1],
            label=name,
            offset=0.22 * (k - 1),
        )
    ax.set_ylim(len(rules) - 0.4, -0.6)
    ax.axvline(0, color=INK, lw=1)
    ax.set_xlabel("gain in worst-class accuracy over the priors, points")
    return ax


def wide_sweeps(axes: list[Axes], rows: list[dict], n: int = 180) -> list[Axes]:
    """The smaller mean class accuracy against the ratio, a line a ridge, by pair.

    `rows` are those of the recorded study; a dotted line is the moved threshold.
    """
    shown = [row for row in rows if row["n"] == n and row["prior"] == 0.2]
    for ax, row in zip(axes, shown):
        for k, (ridge, found) in enumerate(row["ridges"].items()):
            least = np.min(found["sweep"], axis=0)
            color = list(COLORS.values())[k]
            label = f"ridge {float(ridge):g}"
            ax.plot(row["grid"], least, color=color, ls=LINES[k], label=label)
        moved = row["rules"]["threshold shift"]
        level = min(np.mean(moved[kind]) for kind in ("minority", "majority"))
        ax.axhline(level, color=INK, ls=":", label="moved threshold")
        ax.set_title(f"{row['rare']} / {row['common']}")
        ratio_axis(ax, (1, 4, 20, 100, 1000))
    axes[0].set(ylabel="smaller class accuracy", ylim=(0.3, 1))
    lines = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(*lines, fontsize=8.5, ncols=3, loc="outside lower center")
    return axes
