"""Figures of chapter 1: what they are given is what they draw."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color
from plotted import assert_band, assert_bars, legend
from tiny_rules import RULES, compared

from tailwise.methods import optimal_weight
from tailwise.metrics import bootstrap, estimate
from tailwise.weighting import plots as figures
from tailwise.weighting.simulation import Rivals
from tailwise.weighting.study import RidgeRun, RidgeWorld, Setting, SettingRun

RATIOS = np.geomspace(1, 1000, 13)


def ticks(ax):
    return [text.get_text() for text in ax.get_xticklabels()]


def verticals(ax):
    """Where lines from bottom to top stand, by label."""
    return {
        line.get_label(): line.get_xdata()[0]
        for line in ax.lines
        if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2
    }


def test_a_histogram_counts_the_wrong_side(page):
    ax, rng = page(), np.random.default_rng(0)
    y = torch.tensor([1, -1, -1, -1]).repeat(50)
    scores = torch.from_numpy(rng.normal(0.4 * y.numpy()))
    assert figures.score_histogram(ax, scores, y) is ax
    edges, labels = np.linspace(-3, 3, 37), legend(ax)
    for bars, sign, name in zip(ax.containers, (1, -1), ("rare", "common")):
        values = [s for s, label in zip(scores.tolist(), y.tolist()) if label == sign]
        wrong = sum(sign * v < 0 for v in values) / len(values)
        assert f"{name}: {wrong:.0%} wrong" == labels.pop(0)
        for bar, low, high in zip(bars, edges[:-1], edges[1:], strict=True):
            share = sum(low <= v < high for v in values) / len(values)
            assert bar.get_x() == pytest.approx(low)
            assert bar.get_height() == pytest.approx(share / (high - low))
    colors = [bars[0].get_facecolor() for bars in ax.containers]
    assert not same_color(*colors)
    assert ax.containers[0][0].get_hatch() != ax.containers[1][0].get_hatch()
    assert list(verticals(ax).values()) == [0]


def setting_run(delta, snr):
    rng = np.random.default_rng(0)
    minority, majority = ({"grid": rng.random((7, len(RATIOS)))} for _ in range(2))
    return SettingRun(
        setting=Setting(delta, prior=0.2, snr=snr),
        named={"equal": 7.0},
        grid=RATIOS,
        minority=minority,
        majority=majority,
    )


def test_errors_are_theory_as_lines_and_simulation_as_points(page):
    ax, run = page(), setting_run(0.2, 1.5)
    assert figures.error_curves(ax, run) is ax
    assert ax.get_title(loc="left") == "d/n = 0.2, s = 1.5"
    assert ax.get_xscale() == "log"
    assert ticks(ax) == ["1", "10", "100", "1000"]
    curves = [line for line in ax.lines if "theory" in str(line.get_label())]
    simulated = (run.minority["grid"], run.majority["grid"])
    for k, (name, curve, bars) in enumerate(
        zip(("rare", "common"), curves, ax.containers)
    ):
        assert (curve.get_label(), bars.get_label()) == (
            f"{name}, theory",
            f"{name}, simulated",
        )
        each = [optimal_weight.class_errors(r, 0.2, 0.2, 1.5)[k] for r in RATIOS]
        np.testing.assert_allclose(curve.get_xydata(), np.stack([RATIOS, each], 1))
        e = estimate(simulated[k][:, ::3])
        assert_bars(bars, e.mean, e.half, 1)
        np.testing.assert_allclose(bars.lines[0].get_xdata(), RATIOS[::3])
        assert same_color(curve.get_color(), bars.lines[0].get_color())
    assert not same_color(curves[0].get_color(), curves[1].get_color())
    assert curves[0].get_linestyle() != curves[1].get_linestyle()
    assert list(verticals(ax).values()) == [7.0]
    assert [text.get_text() for text in ax.texts] == [" 7.0"]


def test_where_no_ratio_balances_none_is_marked(page):
    ax = page()
    figures.error_curves(ax, setting_run(0.5, 1.0))
    assert verticals(ax) == {}
    assert not ax.texts


def best(delta, s, prior):
    """What is true at a point, by trying many ratios."""
    if delta > 2 * prior:
        return "no ratio\nbalances"

    def worst(ratio):
        return np.maximum(*optimal_weight.class_errors(ratio, prior, delta, s))

    rho = optimal_weight.equal_error_ratio(prior, delta)
    if worst(1.0) < worst(rho):
        return "weight 1 beats\nthe equal-error ratio"
    ratios = rho * np.geomspace(0.01, 100, 2001)
    place = ratios[worst(ratios).argmin()] / rho
    return "a smaller ratio is best" if place < 0.99 else "equal-error ratio is best"


def layer(filled, point):
    """Which of the filled regions holds a point."""
    paths = enumerate(filled.get_paths())
    (found,) = (k for k, path in paths if path.contains_point(point))
    return found


@pytest.mark.parametrize("prior", [0.1, 0.2])
def test_the_regions_of_the_map_are_what_many_ratios_show(page, prior):
    drawn, ax = page(1, 2)
    assert figures.region_map(ax, prior) is ax
    # The chapter's map: there each text lies in the region that it names.
    (filled,) = figures.region_map(drawn, 0.2).collections
    names = {layer(filled, t.get_position()): t.get_text() for t in drawn.texts}
    assert len(names) == len(drawn.texts) == 4
    (filled,) = ax.collections
    rng, seen = np.random.default_rng(0), set()
    for delta, s in zip(rng.uniform(0.05, 2.9, 80) * prior, rng.uniform(0.6, 4.9, 80)):
        corners = [(delta * (1 + a), s + b) for a in (-0.05, 0.05) for b in (-0.1, 0.1)]
        around = {best(*corner, prior) for corner in corners}
        if len(around) == 1:  # else it is beside a border
            assert {names[layer(filled, (delta, s))]} == around, (delta, s)
            seen |= around
    assert seen == set(names.values())
    assert len({tuple(color) for color in filled.get_facecolor()}) == 4


def test_the_price_is_the_error_of_each_class_and_their_average(page):
    ax = page()
    prior, delta, snr = 0.25, 0.1, 1.2
    assert figures.price(ax, prior, delta, snr) is ax
    rare, common, mean, star = ax.lines
    assert legend(ax) == [line.get_label() for line in ax.lines]
    for k in range(0, len(rare.get_xdata()), 20):
        ratio = rare.get_xdata()[k]
        errors = optimal_weight.class_errors(ratio, prior, delta, snr)
        found = [line.get_ydata()[k] for line in (rare, common, mean)]
        assert found[:2] == pytest.approx(list(errors))
        assert found[2] == pytest.approx(errors[0] / 4 + 3 * errors[1] / 4)
    # The moved threshold, where both classes err alike, is at weight 1.
    ((x, y),) = star.get_xydata()
    assert (x, y) == (1, pytest.approx(optimal_weight.shifted_error(prior, delta, snr)))
    assert len({line.get_linestyle() for line in ax.lines}) == 4
    assert ticks(ax) == ["1", "2", "4", "7", "15", "30"]


def test_averages_are_worst_mean_errors_over_data_sets(page):
    ax, g = page(), torch.Generator().manual_seed(0)
    weighted, moved = torch.rand(2, 9, 2, generator=g, dtype=torch.float64)
    averaged = torch.rand(9, 2, 5, generator=g, dtype=torch.float64)
    assert figures.averaging(ax, Rivals(weighted, moved, averaged)) is ax
    assert legend(ax) == [
        "downsampled heads, averaged",
        "equal-error ratio",
        "moved threshold",
    ]
    flat = (x.unsqueeze(-1).expand(9, 2, 5) for x in (weighted, moved))
    for line, area, errors in zip(ax.lines, ax.collections, (averaged, *flat)):
        each = [
            bootstrap(lambda rows: rows.mean(0).max(), errors[..., k].numpy())
            for k in range(5)
        ]
        e = SimpleNamespace(
            mean=np.array([x.mean for x in each]),
            half=np.array([x.half for x in each]),
        )
        assert_band(line, area, np.arange(1, 6), e)
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    assert ax.get_xlabel() == "heads averaged"


RULED = {
    "ambient d": "D",
    "PCA 99 %": "s",
    "participation": "^",
    "noise edge": "v",
    "effective dof": "o",
}


def test_rules_stand_beside_the_ratio_that_equalises(page):
    ax, rng = page(), np.random.default_rng(0)
    worlds = [RidgeWorld(60, 200, 0.1, 0.0), RidgeWorld(60, 200, 1.0, 1.0)]
    runs = [
        RidgeRun(world, 4 + k, 0.1 + k, dict(zip(RULED, rng.uniform(4, 9, 5))))
        for k, world in enumerate(worlds)
    ]
    runs[1].ratios["noise edge"] = np.nan
    assert figures.ratio_rules(ax, runs) is ax
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == [str(world) for world in worlds]
    (bars,) = ax.containers
    assert bars.get_label() == "equalises"
    assert_bars(bars, [4, 5], [1.96 * 0.1, 1.96 * 1.1], 0)
    shown = {line.get_label(): line for line in ax.lines if line.get_label() in RULED}
    assert set(legend(ax)) == {*RULED, "equalises"}
    for rule, marker in RULED.items():
        expected = [[run.ratios[rule], row] for row, run in enumerate(runs)]
        np.testing.assert_array_equal(shown[rule].get_xydata(), expected)
        assert shown[rule].get_marker() == marker


def test_a_sweep_is_the_worst_class_with_two_rules_marked(page):
    ax, result = page(), compared(0)
    result.ratio["effective dof"][3] = torch.nan
    assert figures.ratio_sweep(ax, result) is ax
    worst = np.array(
        [[min(pair) for pair in zip(*member)] for member in zip(*result.sweep.tolist())]
    )
    e = estimate(worst)
    assert_band(ax.lines[0], ax.collections[0], result.grid, e)
    live = result.ratio["effective dof"][[0, 1, 2, 4, 5]].mean().item()
    priors = result.ratio["priors"].mean().item()
    assert verticals(ax) == {
        f"priors: {priors:.1f}": pytest.approx(priors),
        f"effective dof: {live:.1f}": pytest.approx(live),
    }
    low, high = ax.get_ylim()
    assert low < e.mean.max() < high
    assert len({line.get_linestyle() for line in ax.lines}) == 3


def test_gains_are_over_the_priors_with_a_marker_a_pair(page):
    ax, rules = page(), ["effective dof", "ambient d", "threshold shift"]
    assert set(rules) < set(RULES)
    results = {
        name: [compared(10 * k + j) for j in range(4)] for k, name in enumerate("abc")
    }
    assert figures.gains(ax, results, rules) is ax
    assert legend(ax) == list(results)
    assert [text.get_text() for text in ax.get_yticklabels()] == rules
    for container, runs in zip(ax.containers, results.values(), strict=True):
        mean, half = [], []
        for rule in rules:
            each = []
            for run in runs:
                both = [run.accuracy[name].numpy().min(0) for name in (rule, "priors")]
                each.append(100 * np.nanmean(both[0] - both[1]))
            mean.append(np.mean(each))
            # The quantile of Student's t with three degrees of freedom.
            half.append(3.18244630528 * np.std(each, ddof=1) / 2)
        assert_bars(container, mean, half, 0)
    rows = np.array([container.lines[0].get_ydata() for container in ax.containers])
    np.testing.assert_allclose(rows.mean(0), [0, 1, 2], atol=1e-12)
    assert (np.diff(rows, axis=0) > 0).all()
    assert len({container.lines[0].get_marker() for container in ax.containers}) == 3
    assert any(set(line.get_xdata()) == {0} for line in ax.lines)
