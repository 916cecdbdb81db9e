"""The sweeps of chapter 1 as pure functions of their settings and a generator."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.methods import optimal_weight
from tailwise.methods.solvers import solve_logistic_heads
from tailwise.methods.weighted import WeightedHead
from tailwise.metrics import Estimate, bootstrap, estimate
from tailwise.profiles import Profile, reseeded
from tailwise.weighting import simulation
from tailwise.weighting.images import (
    FrozenPair,
    RuleComparison,
    candidate_ratios,
    compare_rules,
    frozen_pair,
)


@dataclass(frozen=True)
class Setting:
    """One world of the mixture model, as in `tailwise.methods.optimal_weight`."""

    delta: float
    prior: float
    snr: float

    @property
    def balances(self) -> bool:
        """Whether some ratio equalises the errors."""
        return self.delta < 2 * self.prior


@dataclass(frozen=True, kw_only=True)
class SettingRun:
    """Simulated class errors of one setting.

    Attributes
    ----------
    setting : Setting
    named : dict of str to float
        The ratios ``"one"``, ``"priors"``, ``"equal"`` (1000 where no ratio balances)
        and ``"best"`` (at most 1000).
    grid : ndarray [R]
        Ratios of the sweep.
    minority, majority : dict of str to ndarray [S], and under ``"grid"`` [S, R]
    """

    setting: Setting
    named: dict[str, float]
    grid: np.ndarray
    minority: dict[str, np.ndarray]
    majority: dict[str, np.ndarray]

    def errors(self, name: str) -> np.ndarray:
        """Minority and majority error of each data set at a named ratio, ``[S, 2]``."""
        return np.stack([self.minority[name], self.majority[name]], 1)

    def saving(self, name: str, other: str) -> Estimate:
        """Worst-class error at `other` minus that at `name`, see `worst_difference`."""
        return worst_difference(self.errors(other), self.errors(name))

    def log_quotient(self, name: str, other: str) -> Estimate:
        """Log of the worst-class error at `name` over that at `other`, paired."""
        both = np.concatenate([self.errors(name), self.errors(other)], 1)

        def statistic(rows):
            mean = rows.mean(0)
            return np.log(mean[:2].max() / mean[2:].max())

        return bootstrap(statistic, both)

    def crossing(self) -> tuple[float, float]:
        """Ratio at which the mean errors are equal, with bootstrap standard error."""
        gap = self.minority["grid"] - self.majority["grid"]
        return simulation.bootstrap_crossing(self.grid, gap)


def worst_difference(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Worst-class error of `a` minus that of `b`, over the same data sets.

    The worst-class error is the larger of the two *mean* class errors, as in the
    theory; the mean of each data set's own larger error would add the fluctuation of
    the intercept. Errors ``[S, 2]``; bootstrap standard error over data sets.
    """

    def statistic(rows):
        mean = rows.mean(0)
        return mean[:2].max() - mean[2:].max()

    both = [np.asarray(torch.as_tensor(errors).cpu()) for errors in (a, b)]
    return bootstrap(statistic, np.concatenate(both, 1))


def run_setting(
    setting: Setting,
    *,
    d: int,
    n_sets: int,
    grid: Tensor,
    generator: torch.Generator,
) -> SettingRun:
    """Simulate one setting at the named ratios and on a grid."""
    delta, prior, snr = setting.delta, setting.prior, setting.snr
    named = {
        "one": 1.0,
        "priors": 1 / prior - 1,
        "equal": optimal_weight.equal_error_ratio(prior, delta)
        if setting.balances
        else 1e3,
        "best": min(1e3, float(optimal_weight.optimal_ratio(prior, delta, snr))),
    }
    errors = simulation.simulate(
        torch.cat([torch.tensor(list(named.values())), grid]),
        n_sets=n_sets,
        n=round(d / delta),
        d=d,
        prior=prior,
        snr=snr,
        generator=generator,
    )
    minority, majority = (
        dict(zip(named, e.T)) | {"grid": e[:, len(named) :]}
        for e in (e.cpu().numpy() for e in errors)
    )
    return SettingRun(
        setting=setting,
        named=named,
        grid=grid.numpy(),
        minority=minority,
        majority=majority,
    )


@dataclass(frozen=True)
class Agreement:
    """Theory against simulation over all settings.

    Attributes
    ----------
    table : DataFrame
        One row per setting.
    error_gap : Estimate
        Mean absolute difference of class errors.
    largest_gap : float
    log_crossing_gap : Estimate
        Mean absolute log of simulated crossing over predicted ratio, over the settings
        that balance.
    """

    table: pd.DataFrame
    error_gap: Estimate
    largest_gap: float
    log_crossing_gap: Estimate


def pooled(values: list[float], errors: list[float]) -> Estimate:
    """Mean of absolute values with the error of a mean of independent ones."""
    errors = np.asarray(errors, dtype=float)
    stderr = np.sqrt((errors**2).sum()) / len(errors)
    return Estimate(float(np.abs(values).mean()), float(stderr), len(errors))


def agreement(runs: list[SettingRun]) -> Agreement:
    """Score theory against simulation."""
    rows, gaps, crossings = [], [], []
    for run in runs:
        setting, ratios = run.setting, list(run.named.values())
        world = setting.prior, setting.delta, setting.snr
        theory = optimal_weight.class_errors(np.array(ratios), *world)
        for simulated, exact in zip((run.minority, run.majority), theory):
            for name, value in list(zip(run.named, exact))[:3]:
                e = estimate(simulated[name])
                gaps.append((abs(e.mean - value), e.stderr))
        cross, se = run.crossing()
        if setting.balances:
            crossings.append((np.log(cross / run.named["equal"]), se / cross))
        worst = np.maximum(*theory)
        balanced = f"{run.named['equal']:.2f}" if setting.balances else "none"
        found = f"{cross:.2f} ± {se:.2f}" if np.isfinite(cross) else "none"
        rows.append(
            {
                "d/n": setting.delta,
                "prior": setting.prior,
                "s": setting.snr,
                "predicted": balanced,
                "simulated ± s.e.": found,
                "best ratio": f"{run.named['best']:.2f}",
                "error at 1": f"{worst[0]:.3f}",
                "priors": f"{worst[1]:.3f}",
                "equal": f"{worst[2]:.3f}" if setting.balances else "–",
                "best": f"{worst[3]:.3f}",
            }
        )
    # The six errors of a setting come from the same data sets: treat them as one.
    gap, se = np.array(gaps).reshape(len(runs), -1, 2).mean(1).T
    mean_gap, largest = pooled(gap, se), np.array(gaps)[:, 0].max()
    table = pd.DataFrame(rows).set_index(["d/n", "prior", "s"])
    return Agreement(table, mean_gap, largest, pooled(*zip(*crossings)))


@dataclass(frozen=True)
class RidgeWorld:
    """A mixture with a decaying spectrum, fitted with a ridge.

    The noise variance of feature j is ``j ** -decay``.
    """

    d: int
    n: int
    ridge: float
    decay: float

    def __str__(self) -> str:
        shape = f"decay {self.decay:g}" if self.decay else "flat"
        return f"d {self.d}, n {self.n}, ridge {self.ridge:g}, {shape}"


@dataclass(frozen=True)
class RidgeRun:
    """The ratio that equalises in a ridge world, and the ratio of each rule."""

    world: RidgeWorld
    crossing: float
    stderr: float
    ratios: dict[str, float]

    def off(self, rule: str) -> float:
        """Log of the rule's ratio over the one that equalises."""
        return float(np.log(self.ratios[rule] / self.crossing))


def run_ridge_world(
    world: RidgeWorld, *, n_sets: int, grid: Tensor, generator: torch.Generator
) -> RidgeRun:
    """Find the equalising ratio by simulation and what each rule would choose.

    One rare sample in five, ``snr = 1.5``; rules are averaged over eight data sets and
    NaN where one of them leaves a rule undefined.
    """
    feature = torch.arange(1, world.d + 1, device=generator.device)
    kind = dict(
        n=world.n,
        d=world.d,
        prior=0.2,
        snr=1.5,
        spectrum=feature**-world.decay,
        generator=generator,
    )
    minority, majority = simulation.simulate(
        grid, n_sets=n_sets, ridge=world.ridge, **kind
    )
    found = simulation.bootstrap_crossing(grid, (minority - majority).cpu())
    X = simulation.draw(8, **kind).X
    ratios = candidate_ratios(X, 0.2, world.ridge)
    return RidgeRun(world, *found, {k: v.mean().item() for k, v in ratios.items()})


def logistic_crossing(
    grid: Tensor,
    *,
    n_sets: int,
    n: int,
    d: int,
    prior: float,
    snr: float,
    generator: torch.Generator,
) -> Estimate:
    """Log ratio at which logistic heads err equally, with bootstrap standard error.

    Parameters are those of `tailwise.weighting.simulation.simulate`; no ridge.
    """
    gaps = []
    for _ in range(n_sets):
        one = simulation.draw(1, n, d, prior=prior, snr=snr, generator=generator)
        weights = torch.where(one.y[0] > 0, grid.to(one.X)[:, None], 1.0)
        heads = solve_logistic_heads(one.X[0], one.y[0], weights)
        minority, majority = simulation.exact_errors(*heads, snr)
        gaps.append((minority - majority).cpu())
    cross, se = simulation.bootstrap_crossing(grid, torch.stack(gaps))
    return Estimate(float(np.log(cross)), se / cross, n_sets)


def multiclass_accuracies(
    n_classes: int, n_sets: int, *, d: int = 60, n: int = 200, seed: int = 0
) -> np.ndarray:
    """Worst-class accuracy with weights by priors and with corrected weights.

    Gaussian classes with means ``2 e_k``; the largest class is three times the
    smallest; square loss without ridge.

    Returns
    -------
    ndarray [n_sets, 2]
    """
    rng = np.random.default_rng(reseeded(seed))
    means = 2.0 * np.eye(n_classes, d)
    share = np.linspace(1, 3, n_classes)
    counts = np.round(n * share / share.sum()).astype(int)
    out = np.empty((n_sets, 2))
    y, new = np.repeat(np.arange(n_classes), counts), np.arange(n_classes).repeat(2000)
    for row in out:
        X = means[y] + rng.standard_normal((len(y), d))
        X_new = means[new] + rng.standard_normal((len(new), d))
        for k, rule in enumerate(("priors", "ambient")):
            hit = WeightedHead(rule, ridge=0.0).fit(X, y).predict(X_new) == new
            row[k] = hit.reshape(n_classes, -1).mean(1).min()
    return out


def train_pairs(
    names: list[tuple[str, str]], profile: Profile, *, n_networks: int, first: int = 0
) -> dict[str, list[FrozenPair]]:
    """Networks for pairs (rare, common) of classes, by the rare class; the seeds are
    `first` and those that follow."""
    seeds = range(first, first + n_networks)
    return {
        rare: [frozen_pair(rare, common, profile, seed=seed) for seed in seeds]
        for rare, common in names
    }


def compare_networks(
    pairs: dict[str, list[FrozenPair]], sizes: tuple[int, ...], ridge: float, **kwargs
) -> dict[tuple[str, int], list[RuleComparison]]:
    """`compare_rules` for every network and sample size, by (rare class, n)."""
    return {
        (rare, n): [compare_rules(pair, n, ridge, **kwargs) for pair in networks]
        for rare, networks in pairs.items()
        for n in sizes
    }


def by_ridge(
    pairs: dict[str, list[FrozenPair]],
    results: dict[tuple[str, int], list[RuleComparison]],
    ridges: tuple[float, ...],
    **kwargs,
) -> dict[tuple[str, int, float], RuleComparison]:
    """The first network of every pair at other ridges beside `results`, by (rare class,
    n, ridge) in this order; `results` are of ridge 0.01."""
    found = {(*key, 0.01): runs[0] for key, runs in results.items()}
    first = {rare: networks[:1] for rare, networks in pairs.items()}
    sizes = tuple({n: None for _, n in results})
    for ridge in ridges:
        runs = compare_networks(first, sizes, ridge, **kwargs)
        found |= {(*key, ridge): one for key, (one,) in runs.items()}
    return dict(sorted(found.items()))


def rule_scores(runs: list[RidgeRun]) -> pd.DataFrame:
    """How far each rule's ratio is from the one that equalises, over ridge worlds."""
    rows = []
    for rule in list(runs[0].ratios)[1:]:
        off = np.array([run.off(rule) for run in runs])
        defined = np.isfinite(off)
        rows.append((rule, f"{np.abs(off[defined]).mean():.2f}", defined.sum()))
    return pd.DataFrame(rows, columns=["rule", "mean |log off|", "defined in"])


def gain(results: list[RuleComparison], rule: str, other: str = "priors") -> Estimate:
    """Worst-class accuracy of a rule minus that of another, over trained networks.

    A network's gain is the mean over its resamples; the standard error is that over
    networks. Resamples on which one of the two is undefined are left out.
    """
    each = [(r.worst(rule) - r.worst(other)).cpu() for r in results]
    return estimate([d[torch.isfinite(d)].mean().item() for d in each])


def equal_accuracy_ratio(result: RuleComparison) -> Estimate:
    """Ratio at which both classes are equally accurate, bootstrap over resamples."""
    gap = (result.sweep[1] - result.sweep[0]).cpu()
    return Estimate(*simulation.bootstrap_crossing(result.grid.cpu(), gap), len(gap))


def log_ratio_growth(
    few: list[RuleComparison], many: list[RuleComparison]
) -> tuple[Estimate, int]:
    """Log of the equalising ratio with few samples over that with many, by network.

    Networks for which one of the two has no ratio on the grid are left out, and the
    second number counts them. What is left may be too few for a claim; from fewer than
    two networks the estimate is their number, or NaN, without a standard error.
    """
    pairs = zip(few, many)
    logs = [[np.log(equal_accuracy_ratio(r).mean) for r in pair] for pair in pairs]
    return over_networks([a - b for a, b in logs])


def over_networks(values: list[float]) -> tuple[Estimate, int]:
    """Estimate over the finite values, and how many are not."""
    values = np.asarray(values)
    found = values[np.isfinite(values)]
    missing = len(values) - len(found)
    if len(found) < 2:
        return Estimate(float(found.sum()) if len(found) else np.nan, 0.0, 1), missing
    return estimate(found), missing


def image_gains(
    results: dict[str, list[RuleComparison]], contests: dict[str, tuple[str, str]]
) -> dict[str, dict[str, Estimate]]:
    """`gain` by claim and minority class; a contest is a rule and its rival."""
    return {
        claim: {rare: gain(runs, *both) for rare, runs in results.items()}
        for claim, both in contests.items()
    }


def ratio_table(results: dict[tuple, RuleComparison]) -> pd.DataFrame:
    """The ratio of each rule beside the one at which both classes are equal.

    Keys are (minority class, n, ridge); "none" means no crossing on the grid, "–" a
    rule that is not defined on any resample.
    """
    rows = []
    for (minority, n, ridge), result in results.items():
        equal = equal_accuracy_ratio(result)
        crosses = np.isfinite(equal.mean)
        row = {"rare": minority, "n": n, "ridge": f"{ridge:g}"}
        row["equal at ± s.e."] = (
            f"{equal.mean:.1f} ± {equal.stderr:.1f}" if crosses else "none"
        )
        for rule in list(result.ratio)[2:]:
            ratio = result.ratio[rule].nanmean().item()
            row[rule] = f"{ratio:.1f}" if np.isfinite(ratio) else "–"
        rows.append(row)
    return pd.DataFrame(rows).set_index(["rare", "n", "ridge"])


def price_table(
    results: dict[str, list[RuleComparison]], rules: list[str]
) -> pd.DataFrame:
    """Accuracy on the rare and the common class, and on average, by rule.

    Means over networks and resamples; the average weights the classes by their shares
    among the samples, one in five.
    """
    rows = []
    for minority, runs in results.items():
        for rule in rules:
            mean = np.mean([r.accuracy[rule].nanmean(1).cpu().numpy() for r in runs], 0)
            rows.append((minority, rule, *mean, 0.2 * mean[0] + 0.8 * mean[1]))
    columns = ["pair", "rule", "rare right", "common right", "average right"]
    return pd.DataFrame(rows, columns=columns).set_index(["pair", "rule"]).round(3)


def own_accuracies(pairs: list[FrozenPair]) -> pd.DataFrame:
    """Test accuracy of the networks' own heads."""
    rows = [(*pair.names, *(f"{a:.3f}" for a in pair.own_accuracy)) for pair in pairs]
    columns = ["rare", "common", "rare right", "common right"]
    return pd.DataFrame(rows, columns=columns).set_index("rare")
