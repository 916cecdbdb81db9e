"""Figures of chapter 2: what they are given is what they draw."""

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from plotted import assert_band, assert_bars, legend

from tailwise.data import spurious
from tailwise.metrics import GroupAccuracies, estimate
from tailwise.spurious import explain, study
from tailwise.spurious import plots as figures
from tailwise.spurious.reports import Head, Report, Sparsity

GROUPS = ("y = 0, a = 0", "y = 0, a = 1", "y = 1, a = 0", "y = 1, a = 1")


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
    assert figures.planes(axes, panels) is None
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
    assert figures.log_odds(ax, share, fitted) is ax
    assert set(legend(ax)) == {"log odds ratio", "fitted"}
    p, height = ax.lines[0].get_data()
    # The ratio of odds p / (1 - p) and (1 - p) / p.
    np.testing.assert_allclose(np.exp(height), (p / (1 - p)) ** 2)
    assert height[0] == 0
    assert p[0] <= share.min() < share.max() <= p[-1]
    e = estimate(fitted)
    (container,) = ax.containers
    assert_bars(container, e.mean, e.half, 1)
    np.testing.assert_array_equal(container.lines[0].get_xdata(), share)


def test_a_gallery_shows_its_images_in_order(page):
    axes = page(1, 3)
    x = 2 * torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0)) - 0.5
    figures.gallery(axes, x, ["a", "b", "c"])
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
    return spurious.Images(
        x=x,
        y=group // 2,
        a=group % 2,
        object_mask=masks[0],
        nuisance_mask=masks[1],
        source=torch.arange(len(group)),
    )


def test_edits_are_those_of_the_fourth_group(page):
    axes, group = page(1, 8), [1, 0, 3, 2, 3, 0]
    names = ("test", "test_same", "test_swapped")
    splits = SimpleNamespace(**{n: images(group, k) for k, n in enumerate(names)})
    figures.edits(axes, splits)
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
            sparsity=Sparsity(
                zeros=np.sort(rng.random(6))[::-1],
                zeros_single=0.5,
                mixed=0.8,
                mixed_kept=0.7,
                C=0.1,
            ),
        )
        for _ in range(5)
    ]


def test_a_heat_map_has_a_cell_for_each_method_and_number(page, seeds):
    ax, methods = page(), ["DFR", "ERM"]
    assert figures.heat(ax, seeds, methods, GROUPS) is ax
    numbers = [*(f"group {k}" for k in range(4)), *figures.AVERAGES]
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
    assert names == [*GROUPS, *figures.AVERAGES.values()]


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
    figures.maps(axes, run, test, ["DFR", "ERM"])
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
                maps[k : k + 1], torch.from_numpy(head.coef), torch.tensor([y])
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
        features={"test": np.ones((6, 1))},
        shown=torch.arange(6),
        shown_maps=torch.ones(6, 1, 2, 2),
    )
    figures.maps(axes, run, test, ["ERM"])
    for ax in axes[1]:
        assert (ax.images[1].get_array() == 0).all()


def test_group_accuracies_are_shown_a_method_at_a_time(page, seeds):
    ax, methods = page(), ["ERM", "AFR", "DFR"]
    assert figures.threshold_against_dfr(ax, seeds, methods, GROUPS) is ax
    assert legend(ax) == methods
    for container, method in zip(ax.containers, methods, strict=True):
        e = [study.over_seeds(seeds, method, f"group {g}") for g in range(4)]
        assert_bars(container, [x.mean for x in e], [x.half for x in e], 1)
    columns = np.array([container.lines[0].get_xdata() for container in ax.containers])
    np.testing.assert_allclose(columns.mean(0), np.arange(4), atol=1e-12)
    assert (np.diff(columns, axis=0) > 0).all()
    names = [tick.get_text().replace("\n", " ") for tick in ax.get_xticklabels()]
    assert names == list(GROUPS)


def test_zeros_have_a_line_a_seed_and_their_mean(page, seeds):
    ax, worlds = page(), {"birds": seeds, "skin": seeds[:3]}
    assert figures.zeros(ax, worlds) is ax
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
