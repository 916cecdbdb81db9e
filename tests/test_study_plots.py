"""Figures of chapters 2 and 3: what they are given is what they draw."""

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color

from tailwise import explain, risk, severity
from tailwise import risk_plots as third
from tailwise import spurious_plots as second
from tailwise import spurious_study as study
from tailwise.data import corruption, spurious
from tailwise.metrics import GroupAccuracies, estimate
from tailwise.risk_study import NAMES, Result, Toy, difference, values
from tailwise.spurious_reports import Head, Report, Sparsity

GROUPS = ("y = 0, a = 0", "y = 0, a = 1", "y = 1, a = 0", "y = 1, a = 1")


def legend(ax):
    """Labels that a legend would show."""
    return ax.get_legend_handles_labels()[1]


def assert_bars(container, mean, stderr, axis):
    """Points and bars of two standard errors along an axis."""
    points, _, (bars,) = container.lines
    np.testing.assert_allclose(points.get_xydata()[:, axis], mean)
    for segment, m, se in zip(bars.get_segments(), mean, stderr, strict=True):
        np.testing.assert_allclose(segment[:, axis], [m - 2 * se, m + 2 * se])


def assert_band(line, area, x, e):
    """A line with a band of two standard errors, in its colour."""
    np.testing.assert_allclose(line.get_xydata(), np.stack([x, e.mean], 1))
    corners = np.asarray(area.get_paths()[0].vertices)
    for side in (-2, 2):
        for point in np.stack([x, e.mean + side * e.stderr], 1):
            assert np.isclose(corners, point).all(1).any(), point
    assert same_color(area.get_facecolor()[0, :3], line.get_color())


# Chapter 3


def made(seed, labels=("ERM", "SoftAD", "CVaR"), architecture="mlp", law="rare"):
    """A result of four seeds without a training."""
    g = torch.Generator().manual_seed(seed)
    shape = (4, len(labels))
    losses = 3 * torch.rand(*shape, 6, 10, generator=g)
    correct = torch.rand(*shape, 6, 10, generator=g) < 0.6
    none = torch.zeros(shape, dtype=torch.bool)
    return Result(
        architecture,
        law,
        labels,
        severity.dashboard(losses, correct, law),
        severity.dashboard(losses / 2, correct, law),
        torch.full(shape, 2.0),
        1 + torch.rand(shape, generator=g),
        none,
        none,
        losses,
        correct,
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
    assert third.lines(ax, toy, ["CVaR", "ERM"]) is ax
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
    third.lines(ax, toy, ["ERM"])
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
    assert third.weight_curves(axes, losses, rules) is axes
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
    assert third.differences(ax, results, labels, "loss_cvar", log=log) is ax
    assert legend(ax) == list(results)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == labels
    for container, result in zip(ax.containers, results.values(), strict=True):
        e = [difference(result, label, "loss_cvar", log=log) for label in labels]
        assert_bars(container, [x.mean for x in e], [x.stderr for x in e], 0)
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
    assert third.calibration(ax, result, labels) is ax
    assert legend(ax) == ["as trained", "after one temperature"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == labels
    for container, number in zip(ax.containers, ("loss_cvar", "scaled_cvar")):
        e = [estimate(values(result, label, number)) for label in labels]
        assert_bars(container, [x.mean for x in e], [x.stderr for x in e], 0)
    assert len(ax.containers) == 2
    assert ax.get_xlim()[0] == 0


def test_accuracy_by_severity_is_less_that_of_erm(page):
    ax, result = page(), made(0, architecture="cnn", law="uniform")
    labels = ["CVaR", "SoftAD", "ERM"]
    assert third.by_severity(ax, result, labels) is ax
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
    assert third.drift(ax, result, labels, number) is ax
    assert legend(ax) == labels
    assert ax.get_ylabel() == NAMES[number]
    assert len(ax.lines) == len(ax.collections) == 2
    mixed = (corruption.law("rare") + corruption.law("reversed")) / 2
    laws = {0.0: "rare", 0.5: mixed, 1.0: "reversed"}
    for line, k in zip(ax.lines, (1, 0)):
        assert len(line.get_xdata()) == 11
        shown = dict(zip(line.get_xdata().round(9), line.get_ydata()))
        for share, law in laws.items():
            view = severity.dashboard(result.losses[:, k], result.correct[:, k], law)
            expected = getattr(view, number).mean().item()
            assert shown[share] == pytest.approx(expected), (share, k)


def test_a_drift_begins_at_the_result_of_the_rare_law(page):
    ax, result = page(), made(3)
    third.drift(ax, result, ["CVaR"], "loss_mean")
    e = estimate(values(result, "CVaR", "loss_mean"))
    (line,), (area,) = ax.lines, ax.collections
    assert line.get_ydata()[0] == pytest.approx(e.mean, rel=1e-6)
    edges = np.asarray(area.get_paths()[0].vertices)
    edges = edges[edges[:, 0] == 0, 1]
    assert (edges.min(), edges.max()) == pytest.approx(
        (e.mean - 2 * e.stderr, e.mean + 2 * e.stderr), rel=1e-6
    )


def test_a_diverged_member_leaves_its_row_without_a_point(page):
    ax, other = page(1, 2)
    result = lost(made(0), 1, 1)
    third.differences(ax, {"mlp": result}, ["CVaR", "SoftAD"], "loss_mean", log=False)
    third.calibration(other, result, ["CVaR", "SoftAD"])
    for container in (*ax.containers, *other.containers):
        shown = container.lines[0].get_xydata()[:, 0]
        assert np.isnan(shown).tolist() == [False, True]


def test_a_method_that_diverged_in_a_seed_has_no_accuracies(page):
    ax = page()
    third.by_severity(ax, lost(made(0), 1, 1), ["CVaR", "SoftAD"])
    assert_lost(*ax.lines[:2])


def test_a_method_that_diverged_in_a_seed_has_no_drift(page):
    ax = page()
    third.drift(ax, lost(made(0), 1, 1), ["CVaR", "SoftAD"], "loss_sd")
    assert_lost(*ax.lines)


# Chapter 2


def test_planes_show_four_groups_and_a_boundary(page):
    axes, rng = page(1, 2), np.random.default_rng(0)
    panels = {
        title: (
            rng.normal(size=(20, 2)),
            np.arange(20) % 4,
            SimpleNamespace(coef_=np.array([coef]), intercept_=np.array([shift])),
        )
        for title, coef, shift in (("one", (2.0, -1.0), 0.5), ("two", (1.0, 0.0), -1.0))
    }
    assert second.planes(axes, panels) is None
    for ax, (title, (X, groups, head)) in zip(axes, panels.items()):
        assert ax.get_title(loc="left") == title
        assert legend(ax) == [*GROUPS, "boundary"]
        for k, points in enumerate(ax.collections):
            np.testing.assert_allclose(points.get_offsets(), X[groups == k])
        assert len(ax.collections) == 4
        (line,) = ax.lines
        scores = line.get_xydata() @ head.coef_[0] + head.intercept_
        np.testing.assert_allclose(scores, 0, atol=1e-12)
    # One legend below for all panels.
    (below,) = axes[0].figure.legends
    assert [text.get_text() for text in below.texts] == legend(axes[0])


def test_fitted_coefficients_stand_on_the_log_odds_ratio(page):
    ax, share = page(), np.array([0.5, 0.7, 0.9])
    fitted = np.random.default_rng(0).normal(size=(5, 3))
    assert second.log_odds(ax, share, fitted) is ax
    assert set(legend(ax)) == {"log odds ratio", "fitted"}
    p, height = ax.lines[0].get_data()
    # The ratio of odds p / (1 - p) and (1 - p) / p.
    np.testing.assert_allclose(np.exp(height), (p / (1 - p)) ** 2)
    assert height[0] == 0
    assert p[0] <= share.min() < share.max() <= p[-1]
    e = estimate(fitted)
    (container,) = ax.containers
    assert_bars(container, e.mean, e.stderr, 1)
    np.testing.assert_array_equal(container.lines[0].get_xdata(), share)


def test_a_gallery_shows_its_images_in_order(page):
    axes = page(1, 3)
    x = 2 * torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0)) - 0.5
    second.gallery(axes, x, ["a", "b", "c"])
    for ax, image, title in zip(axes, x, "abc"):
        (shown,) = ax.images
        assert shown.get_array().shape == (4, 5, 3)
        for channel in range(3):
            inside = image[channel].clamp(0, 1)
            np.testing.assert_allclose(shown.get_array()[..., channel], inside)
        assert ax.get_title(loc="center") == title
        assert not ax.axison


def images(group, seed=0):
    g = torch.Generator().manual_seed(seed)
    group = torch.as_tensor(group)
    shape = (len(group), 32, 32)
    masks = [torch.rand(shape, generator=g) < share for share in (0.3, 0.7)]
    x = torch.rand(len(group), 3, 32, 32, generator=g)
    rows = torch.arange(len(group))
    return spurious.Images(x, group // 2, group % 2, *masks, rows)


def test_edits_are_those_of_the_fourth_group(page):
    axes, group = page(1, 8), [1, 0, 3, 2, 3, 0]
    names = ("test", "test_same", "test_swapped")
    splits = SimpleNamespace(**{n: images(group, k) for k, n in enumerate(names)})
    second.edits(axes, splits)
    titles = [ax.get_title(loc="center") for ax in axes]
    assert titles == [*GROUPS, "redraw", "other a", "object", "nuisance"]
    test = splits.test
    expected = [test.x[row] for row in (1, 0, 3, 2)]
    expected += [splits.test_same.x[2], splits.test_swapped.x[2]]
    expected += [m[2].expand(3, -1, -1) for m in (test.object_mask, test.nuisance_mask)]
    for ax, image in zip(axes, expected):
        (shown,) = ax.images
        np.testing.assert_allclose(shown.get_array(), image.permute(1, 2, 0))


def fake(per_group):
    numbers = {f.name: 0.0 for f in fields(Report)}
    counts = np.array([10, 10, 10, 70])
    accuracy = GroupAccuracies(np.arange(4), counts, np.array(per_group), 0.25)
    return Report(**{**numbers, "accuracy": accuracy})


@pytest.fixture
def seeds():
    rng = np.random.default_rng(0)
    return [
        SimpleNamespace(
            reports={
                name: fake(level + 0.2 * rng.random(4))
                for name, level in (("ERM", 0.1), ("DFR", 0.5), ("AFR", 0.8))
            },
            sparsity=Sparsity(np.sort(rng.random(6))[::-1], 0.5, 0.8, 0.7, 0.1),
        )
        for _ in range(5)
    ]


def test_a_heat_map_has_a_cell_for_each_method_and_number(page, seeds):
    ax, methods = page(), ["DFR", "ERM"]
    assert second.heat(ax, seeds, methods, GROUPS) is ax
    numbers = [*(f"group {k}" for k in range(4)), *second.AVERAGES]
    (image,) = ax.images
    assert image.get_array().shape == (2, 7)
    cells = {text.get_position(): text for text in ax.texts}
    assert len(cells) == len(ax.texts) == 14
    for (column, row), text in cells.items():
        e = study.over_seeds(seeds, methods[row], numbers[column])
        assert image.get_array()[row, column] == pytest.approx(e.mean)
        mean, error = map(float, text.get_text().split(" ± "))
        assert mean == pytest.approx(100 * e.mean, abs=0.51)
        assert error == pytest.approx(100 * e.stderr, abs=0.051)
        # Light on dark, dark on light.
        assert (text.get_color() == "white") == (e.mean > 0.55)
    assert image.get_clim() == (0, 1)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == methods
    names = [tick.get_text().replace("\n", " ") for tick in ax.get_xticklabels()]
    assert names == [*GROUPS, *second.AVERAGES.values()]


def test_maps_are_those_of_each_head_for_what_it_predicts(page):
    axes, test = page(3, 6), images([0, 3, 1, 2, 1, 3, 2, 0])
    g, shown = torch.Generator().manual_seed(0), torch.tensor([0, 2, 4, 3, 6, 1])
    features = np.random.default_rng(0).normal(size=(8, 2))
    heads = {
        "ERM": Head(np.array([1.0, -2.0]), 0.3),
        "DFR": Head(np.array([-1.0, 0.5]), -0.1),
    }
    maps = torch.randn(6, 2, 4, 4, generator=g)
    run = SimpleNamespace(
        heads=heads, features={"test": features}, shown=shown, shown_maps=maps
    )
    second.maps(axes, run, test, ["DFR", "ERM"])
    words = set()
    for k, row in enumerate(shown.tolist()):
        y, a = divmod(int(test.group[row]), 2)
        assert axes[0, k].get_title(loc="center") == f"y = {y}, a = {a}"
        top = axes[0, k].images[0].get_array()
        np.testing.assert_allclose(top, test.x[row].permute(1, 2, 0))
        for method, ax in zip(("DFR", "ERM"), axes[1:, k]):
            head = heads[method]
            predicted = int(features[row] @ head.coef + head.intercept > 0)
            word = "right" if predicted == y else "wrong"
            words.add(word)
            assert ax.get_title(loc="center") == f"{method}: {word}"
            grey, heat = ax.images
            np.testing.assert_allclose(grey.get_array(), test.x[row].mean(0))
            cam = explain.class_activation_map(
                maps[k : k + 1], torch.from_numpy(head.coef), torch.tensor([predicted])
            )[0]
            np.testing.assert_allclose(
                heat.get_array(), cam / cam.max().clamp_min(1e-12), rtol=1e-5
            )
            assert heat.get_extent() == grey.get_extent()
            assert not ax.axison
    assert words == {"right", "wrong"}


def test_a_map_without_evidence_is_drawn_as_nothing(page):
    axes, test = page(2, 6), images([0] * 6)
    run = SimpleNamespace(
        heads={"ERM": Head(np.array([1.0]), 0.0)},
        features={"test": -np.ones((6, 1))},
        shown=torch.arange(6),
        shown_maps=torch.ones(6, 1, 2, 2),
    )
    second.maps(axes, run, test, ["ERM"])
    for ax in axes[1]:
        assert (ax.images[1].get_array() == 0).all()


def test_group_accuracies_are_shown_a_method_at_a_time(page, seeds):
    ax, methods = page(), ["ERM", "AFR", "DFR"]
    assert second.threshold_against_dfr(ax, seeds, methods, GROUPS) is ax
    assert legend(ax) == methods
    for container, method in zip(ax.containers, methods, strict=True):
        e = [study.over_seeds(seeds, method, f"group {g}") for g in range(4)]
        assert_bars(container, [x.mean for x in e], [x.stderr for x in e], 1)
    columns = np.array([container.lines[0].get_xdata() for container in ax.containers])
    np.testing.assert_allclose(columns.mean(0), np.arange(4), atol=1e-12)
    assert (np.diff(columns, axis=0) > 0).all()
    names = [tick.get_text().replace("\n", " ") for tick in ax.get_xticklabels()]
    assert names == list(GROUPS)


def test_zeros_have_a_line_a_seed_and_their_mean(page, seeds):
    ax, worlds = page(), {"birds": seeds, "skin": seeds[:3]}
    assert second.zeros(ax, worlds) is ax
    assert legend(ax) == ["birds", "skin"]
    assert len(ax.lines) == 5 + 1 + 3 + 1
    lines, areas, colors = iter(ax.lines), iter(ax.collections), set()
    for runs in worlds.values():
        each = np.array([run.sparsity.zeros for run in runs])
        for zeros in each:
            line = next(lines)
            np.testing.assert_array_equal(
                line.get_xydata(), np.stack([np.arange(1, 7), zeros], 1)
            )
        mean = next(lines)
        assert_band(mean, next(areas), np.arange(1, 7), estimate(each))
        assert mean.get_color() == line.get_color()
        colors.add(mean.get_color())
    assert len(colors) == 2
