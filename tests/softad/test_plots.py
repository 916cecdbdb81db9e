"""Figures of chapter 3: what they are given is what they draw."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from plotted import assert_band, assert_bars, legend

from tailwise.data import corruption
from tailwise.methods import risk
from tailwise.metrics import estimate
from tailwise.softad import levels, views
from tailwise.softad import plots as figures
from tailwise.softad.plane import Toy
from tailwise.softad.study import NAMES, Result, difference, values


def made(seed, labels=("ERM", "SoftAD", "CVaR"), architecture="mlp", law="rare"):
    """A result of four seeds without a training."""
    g = torch.Generator().manual_seed(seed)
    shape = (4, len(labels))
    losses = 3 * torch.rand(*shape, 6, 10, generator=g)
    correct = torch.rand(*shape, 6, 10, generator=g) < 0.6
    none = torch.zeros(shape, dtype=torch.bool)
    return Result(
        architecture=architecture,
        law=law,
        labels=labels,
        view=views.dashboard(losses, correct, law),
        scaled=views.dashboard(losses / 2, correct, law),
        temperature=torch.full(shape, 2.0),
        norm=1 + torch.rand(shape, generator=g),
        diverged=none,
        gave_up=none,
        losses=losses,
        correct=correct,
        eigenvalue=torch.rand(shape, generator=g),
        loss_rise=torch.rand(shape, generator=g),
        train_losses=torch.rand(*shape, 20, generator=g),
        train_severity=torch.arange(20).expand(shape[0], 20) % 6,
        held_losses=torch.rand(*shape, 15, generator=g),
        held_correct=torch.rand(*shape, 15, generator=g) < 0.5,
    )


def assert_lost(there, gone):
    assert np.isfinite(there.get_ydata()).all()
    assert np.isnan(gone.get_ydata()).all()


def lost(result, seed, k):
    diverged = result.diverged.clone()
    diverged[seed, k] = True
    return replace(result, diverged=diverged)


@pytest.fixture
def toy():
    g = torch.Generator().manual_seed(0)
    y, hard = torch.tensor([0, 1]).repeat(10), torch.arange(20) % 5 == 0
    return Toy(
        labels=("ERM", "SoftAD", "CVaR"),
        **{name: np.zeros((2, 3)) for name in ("accuracy", "easy", "hard", "angle")},
        X=torch.randn(20, 2, generator=g),
        y=y,
        is_hard=hard,
        coef=np.array([[1.0, 0.0], [2.0, 1.0], [-1.0, 3.0]]),
        intercept=np.array([0.5, -1, 0]),
    )


def test_lines_are_the_boundaries_over_the_first_points(page, toy):
    ax = page()
    assert figures.lines(ax, toy, ["CVaR", "ERM"]) is ax
    assert legend(ax) == ["CVaR", "ERM"]
    for line, k in zip(ax.lines, (2, 0), strict=True):
        assert len(line.get_xydata()) == 2
        scores = line.get_xydata() @ toy.coef[k] + toy.intercept[k]
        np.testing.assert_allclose(scores, 0, atol=1e-12)
        # From the bottom of the panel to its top.
        assert tuple(line.get_ydata()) == ax.get_ylim()
    assert len({line.get_color() for line in ax.lines}) == 2
    assert len({line.get_linestyle() for line in ax.lines}) == 2


def test_points_are_shown_by_class_and_difficulty(page, toy):
    ax = page()
    figures.lines(ax, toy, ["ERM"])
    shown = [np.asarray(points.get_offsets()) for points in ax.collections]
    for k, (y, hard) in enumerate(((0, False), (0, True), (1, False), (1, True))):
        rows = (toy.y == y) & (toy.is_hard == hard)
        assert rows.any()
        np.testing.assert_allclose(shown[k], toy.X[rows])
        assert len(ax.collections[k].get_edgecolor()) == hard
    assert sum(map(len, shown)) == len(toy.X)
    sizes = [points.get_sizes()[0] for points in ax.collections]
    assert min(sizes[1::2]) > max(sizes[::2])


def test_weight_curves_are_the_rules_on_sorted_losses(page):
    axes = page(1, 2)
    losses = 3 * torch.rand(12, generator=torch.Generator().manual_seed(0)) + 0.1
    rules = {
        "ERM": ("erm", {}),
        "CVaR": ("cvar", {"quantile": 0.5}),
        "tilted": ("tilted", {"gamma": 0.3}),
        "SoftAD": ("softad", {"tau": 0.4}),
    }
    assert figures.weight_curves(axes, losses, rules) is axes
    assert [legend(ax) for ax in axes] == [["ERM", "CVaR"], ["tilted", "SoftAD"]]
    for ax in axes:
        *curves, zero = ax.lines
        assert set(zero.get_ydata()) == {0}
        assert [text.get_text() for text in ax.get_legend().texts] == legend(ax)
        for curve in curves:
            rule, params = rules[curve.get_label()]
            by_loss = dict(
                zip(losses.tolist(), risk.example_weights(losses, rule, **params))
            )
            x, height = curve.get_data()
            assert sorted(by_loss) == list(x)
            expected = [12 * by_loss[loss] for loss in x.tolist()]
            np.testing.assert_allclose(height, expected, rtol=1e-5)
    # Weights that sum to one have mean one here.
    for curve in (*axes[0].lines[:2], axes[1].lines[0]):
        assert np.mean(curve.get_ydata()) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("log", [False, True])
def test_differences_have_a_marker_a_model(page, log):
    ax, labels = page(), ["CVaR", "SoftAD"]
    results = {"linear": made(0), "mlp": made(1), "cnn": made(2)}
    assert figures.differences(ax, results, labels, "loss_cvar", log=log) is ax
    assert legend(ax) == list(results)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == labels
    for container, result in zip(ax.containers, results.values(), strict=True):
        e = [difference(result, label, "loss_cvar", log=log) for label in labels]
        assert_bars(container, [x.mean for x in e], [x.half for x in e], 0)
    rows = np.array([container.lines[0].get_ydata() for container in ax.containers])
    # Side by side about the row of their method.
    np.testing.assert_allclose(rows.mean(0), [0, 1], atol=1e-12)
    assert (np.diff(rows, axis=0) > 0).all()
    assert np.ptp(rows, axis=0).max() < 1
    markers = {container.lines[0].get_marker() for container in ax.containers}
    assert len(markers) == 3
    words = f"{NAMES['loss_cvar']}, less ERM"
    assert ax.get_xlabel() == ("log " if log else "") + words
    assert any(set(line.get_xdata()) == {0} for line in ax.lines)


def test_calibration_is_the_tail_before_and_after(page):
    ax, result, labels = page(), made(0), ["SoftAD", "ERM"]
    assert figures.calibration(ax, result, labels) is ax
    assert legend(ax) == ["as trained", "after one temperature"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == labels
    for container, number in zip(ax.containers, ("loss_cvar", "scaled_cvar")):
        e = [estimate(values(result, label, number)) for label in labels]
        assert_bars(container, [x.mean for x in e], [x.half for x in e], 0)
    assert len(ax.containers) == 2
    assert ax.get_xlim()[0] == 0


def test_accuracy_by_severity_is_less_that_of_erm(page):
    ax, result = page(), made(0, architecture="cnn", law="uniform")
    labels = ["CVaR", "SoftAD", "ERM"]
    assert figures.by_severity(ax, result, labels) is ax
    assert legend(ax) == labels
    right = result.correct.double().mean(-1)
    for line, area, k in zip(ax.lines, ax.collections, (2, 1, 0)):
        e = estimate((right[:, k] - right[:, 0]).numpy())
        assert_band(line, area, np.arange(6), e)
    assert len(ax.collections) == 3
    assert "cnn" in ax.get_title(loc="left")
    assert "uniform" in ax.get_title(loc="left")


@pytest.mark.parametrize("number", ["accuracy_average", "loss_sd"])
def test_drift_goes_from_the_rare_law_to_the_reversed_one(page, number):
    ax, result, labels = page(), made(0), ["SoftAD", "ERM"]
    assert figures.drift(ax, result, labels, number) is ax
    assert legend(ax) == labels
    assert ax.get_ylabel() == NAMES[number]
    assert len(ax.lines) == len(ax.collections) == 2
    mixed = (corruption.law("rare") + corruption.law("reversed")) / 2
    laws = {0.0: "rare", 0.5: mixed, 1.0: "reversed"}
    for line, k in zip(ax.lines, (1, 0)):
        assert len(line.get_xdata()) == 11
        shown = dict(zip(line.get_xdata().round(9), line.get_ydata()))
        for share, law in laws.items():
            view = views.dashboard(result.losses[:, k], result.correct[:, k], law)
            expected = getattr(view, number).mean().item()
            assert shown[share] == pytest.approx(expected), (share, k)


def test_a_drift_begins_at_the_result_of_the_rare_law(page):
    ax, result = page(), made(3)
    figures.drift(ax, result, ["CVaR"], "loss_mean")
    e = estimate(values(result, "CVaR", "loss_mean"))
    (line,), (area,) = ax.lines, ax.collections
    assert line.get_ydata()[0] == pytest.approx(e.mean, rel=1e-6)
    edges = np.asarray(area.get_paths()[0].vertices)
    edges = edges[edges[:, 0] == 0, 1]
    assert (edges.min(), edges.max()) == pytest.approx(
        (e.mean - e.half, e.mean + e.half), rel=1e-6
    )


def test_a_diverged_member_leaves_its_row_without_a_point(page):
    ax, other = page(1, 2)
    result = lost(made(0), 1, 1)
    figures.differences(ax, {"mlp": result}, ["CVaR", "SoftAD"], "loss_mean", log=False)
    figures.calibration(other, result, ["CVaR", "SoftAD"])
    for container in (*ax.containers, *other.containers):
        shown = container.lines[0].get_xydata()[:, 0]
        assert np.isnan(shown).tolist() == [False, True]


def test_a_method_that_diverged_in_a_seed_has_no_accuracies(page):
    ax = page()
    figures.by_severity(ax, lost(made(0), 1, 1), ["CVaR", "SoftAD"])
    assert_lost(*ax.lines[:2])


def test_a_method_that_diverged_in_a_seed_has_no_drift(page):
    ax = page()
    figures.drift(ax, lost(made(0), 1, 1), ["CVaR", "SoftAD"], "loss_sd")
    assert_lost(*ax.lines)


def test_severities_are_one_garment_with_the_shares_of_the_laws(page):
    axes = page(1, 6)
    images = torch.rand(6, 14, 14, generator=torch.Generator().manual_seed(0))
    assert figures.severities(axes, images) is axes
    for s, ax in enumerate(axes):
        np.testing.assert_array_equal(ax.images[0].get_array(), images[s])
        assert ax.get_title() == f"severity {s}"
        for name in corruption.LAWS:
            assert f"{name} {corruption.law(name)[s]:.3f}" in ax.get_xlabel()


@pytest.mark.parametrize("number", ["accuracy_average", "loss_mean"])
def test_a_number_by_level_is_that_of_each_level(page, number):
    ax = page()
    result = made(3, tuple(method.label for method in levels.METHODS))
    assert figures.by_level(ax, result, number) is ax
    assert legend(ax) == ["ERM", "flooding", "SoftAD"]
    erm, *curves = ax.lines
    assert set(erm.get_ydata()) == {values(result, "ERM", number).mean()}
    for curve, name in zip(curves, ("flooding", "SoftAD"), strict=True):
        assert list(curve.get_xdata()) == list(levels.LEVELS)
        expected = [
            values(result, method.label, number).mean() for method in levels.GRIDS[name]
        ]
        np.testing.assert_allclose(curve.get_ydata(), expected)
    assert ax.get_ylabel() == NAMES[number]


def test_drift_of_levels_shows_each_answer_where_it_is_known(page):
    ax = page()
    g = np.random.default_rng(0)
    moved = {
        "kept": {share: g.random(4) for share in (0.0, 0.5, 1.0)},
        "retrained": {share: g.random(4) for share in (0.5, 1.0)},
    }
    assert figures.level_drift(ax, moved) is ax
    assert legend(ax) == list(moved)
    for line, found in zip(ax.lines, moved.values(), strict=True):
        assert list(line.get_xdata()) == list(found)
        np.testing.assert_allclose(
            line.get_ydata(), [losses.mean() for losses in found.values()]
        )


def test_shown_rules_are_rules():
    losses = 3 * torch.rand(20, generator=torch.Generator().manual_seed(0))
    for rule, params in figures.RULES.values():
        assert risk.example_weights(losses, rule, **params).isfinite().all()
