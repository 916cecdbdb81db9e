"""Figures of chapter 5: what they are given is what they draw."""

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color

from tailwise.data.imbalance import Task
from tailwise.geometry import plots as figures
from tailwise.geometry import study, theory
from tailwise.geometry.networks import FEATURES, Networks
from tailwise.geometry.ufm import UFM, Config, train_ufm
from tailwise.metrics import estimate

LABELS = ("CE", "LA", "LDT")
COUNTS = torch.tensor([30.0, 30, 30, 3, 3, 3]).double()


def legend(ax):
    """Labels that a legend would show."""
    return ax.get_legend_handles_labels()[1]


def assert_bars(container, estimates):
    """Points and horizontal bars of their intervals."""
    points, _, (bars,) = container.lines
    np.testing.assert_allclose(points.get_xydata()[:, 0], [e.mean for e in estimates])
    for segment, e in zip(bars.get_segments(), estimates, strict=True):
        ends = [e.mean - e.half, e.mean + e.half]
        np.testing.assert_allclose(segment[:, 0], ends, atol=1e-12)


def assert_rows(ax, labels):
    """A row a label, first on top, and the series side by side about it."""
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(labels)
    low, high = ax.get_ylim()
    assert low > high
    rows = np.array([container.lines[0].get_ydata() for container in ax.containers])
    np.testing.assert_allclose(rows.mean(0), np.arange(len(labels)), atol=1e-12)
    markers = {container.lines[0].get_marker() for container in ax.containers}
    assert len(markers) == len(ax.containers)
    return rows


def made(seed=0, labels=LABELS, seeds=4):
    """Networks without a training, of random numbers."""
    g = torch.Generator().manual_seed(seed)
    M = len(labels)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    val_y, test_y = torch.arange(30) % 6, torch.arange(42) % 6
    W, H = normal(2, seeds, M, 6, 8)
    logits = [H[:, :, y] @ W.mT + 4 * torch.eye(6)[y] for y in (val_y, test_y)]
    none = torch.zeros(0)
    task = Task(
        seeds=tuple(range(seeds)),
        counts=COUNTS,
        X=none,
        y=none,
        val_X=none,
        val_y=val_y,
        test_X=none,
        test_y=test_y,
    )
    errors = torch.rand(2, seeds, M, 3, generator=g, dtype=torch.float64)
    return Networks(
        labels=tuple(labels),
        configs=tuple(Config(gamma=0.2 * i) for i in range(M)),
        task=task,
        recipe=FEATURES,
        W=W,
        H=H,
        epochs=(2, 5, 9),
        error_w=errors[0],
        error_h=errors[1],
        train_accuracy=torch.ones(seeds, M),
        val_logits=logits[0],
        test_logits=logits[1],
        diverged=torch.zeros(seeds, M, dtype=torch.bool),
    )


# Three classes in a plane


@pytest.mark.parametrize("counts", [[20.0, 20, 20], [20, 1, 1], [9, 4, 1]])
def test_planar_vectors_have_the_predicted_grams(counts):
    n = torch.tensor(counts, dtype=torch.float64)
    W, H = figures.planar_vectors(n)
    assert W.shape == H.shape == (3, 2)
    ones = torch.ones(3, dtype=torch.float64)
    for v, gram in zip((W, H), theory.predicted_grams(n, ones, "ldt")):
        torch.testing.assert_close(v @ v.T, gram)
    torch.testing.assert_close(W @ H.T, theory.sel_matrix(ones, "ldt"))


def free(W, H):
    """A model of three classes with these vectors in its first place."""
    W, H = (torch.stack([x, torch.ones_like(x)]) for x in (W, H))
    rest = dict.fromkeys(UFM.__dataclass_fields__, torch.zeros(0))
    return UFM(**rest | dict(configs=(Config(),), W=W, H=H))


@pytest.mark.parametrize("d", [2, 5])
def test_vectors_of_the_predicted_shape_lie_on_the_arrows(page, d):
    ax, n = page(), torch.tensor([20.0, 5, 1]).double()
    exact = figures.planar_vectors(n)
    # Turned, mirrored and scaled.
    turn = torch.randn(d, d, generator=torch.Generator().manual_seed(0)).double()
    turn = torch.linalg.qr(turn)[0][:, :2].T
    W, H = (size * v @ turn for size, v in zip((0.3, 7.0), exact))
    assert figures.plane(ax, n, free(W, H)) is ax
    assert legend(ax) == ["classifier", "embedding"]
    lines = iter(ax.lines)
    for dots, vectors in zip(ax.collections, exact, strict=True):
        unit = vectors / vectors.norm(dim=-1).max()
        np.testing.assert_allclose(dots.get_offsets(), unit, atol=1e-9)
        for tip in unit:
            line = next(lines)
            np.testing.assert_allclose(line.get_xydata(), [[0, 0], tip.tolist()])
            assert same_color(line.get_color(), dots.get_facecolor()[0])
    assert next(lines, None) is None
    letters = {text.get_text(): np.array(text.get_position()) for text in ax.texts}
    assert list(letters) == ["A", "B", "C"]
    for place, w in zip(letters.values(), exact[0].numpy()):
        # Beyond the arrow, in its direction.
        cosine = place @ w / np.linalg.norm(place) / np.linalg.norm(w)
        assert cosine == pytest.approx(1)
        assert np.linalg.norm(place) > 1
    assert ax.get_aspect() == 1


def test_other_vectors_are_as_near_the_arrows_as_they_can_be(page):
    ax, n = page(), torch.tensor([20.0, 5, 1]).double()
    g = torch.Generator().manual_seed(1)
    W, H = torch.randn(2, 3, 2, generator=g, dtype=torch.float64)
    figures.plane(ax, n, free(W, H))
    for dots, given, exact in zip(ax.collections, (W, H), figures.planar_vectors(n)):
        drawn = torch.from_numpy(np.array(dots.get_offsets()))
        # The shape is that of the model.
        error = theory.gram_error(drawn @ drawn.T, given @ given.T)
        assert error < 1e-9
        tips = exact / exact.norm(dim=-1).max()
        least = (drawn - tips).square().sum()
        for angle in torch.linspace(0, 6.3, 200).tolist():
            c, s = np.cos(angle), np.sin(angle)
            for mirror in (1, -1):
                turn = torch.tensor([[c, -s * mirror], [s, c * mirror]])
                for size in (0.9, 1, 1.1):
                    other = size * drawn @ turn.to(drawn)
                    assert (other - tips).square().sum() >= least - 1e-9


# Free features


@pytest.fixture(scope="module")
def grid():
    """All settings, trained so shortly that they are off the curves."""
    counts, configs = study.main_grid()
    return train_ufm(counts, configs, steps=30, checks=1)


def summary(grid, kind, ratio):
    """Numbers of the trained classifiers by exponent, from their Gram matrices."""
    found = {}
    for W, n, config in zip(grid.W, grid.class_counts, grid.configs):
        if config.kind == kind and n.max() / n.min() == ratio:
            length = W.norm(dim=-1)
            cosine = (W @ W.T) / torch.outer(length, length)
            off = ~torch.eye(5, dtype=torch.bool)
            found[config.gamma] = {
                "norm2_ratio": length[:5].square().mean() / length[5:].square().mean(),
                "cos_major": cosine[:5, :5][off].mean(),
                "cos_minor": cosine[5:, 5:][off].mean(),
                "cos_between": cosine[:5, 5:].mean(),
            }
    assert list(found) == list(study.GAMMAS)
    return found


def assert_curve(line, markers, kind, ratio, name, grid):
    """A line of the closed form and markers of the trained classifiers."""
    x, height = line.get_data()
    assert (x[0], x[-1], len(x)) == (-0.5, 1, 61)
    w, _ = theory.step_blocks(5, 5, ratio, torch.as_tensor(x), kind)
    np.testing.assert_allclose(height, getattr(w, name))
    at = summary(grid, kind, ratio)
    assert list(markers.get_xdata()) == list(at)
    np.testing.assert_allclose(markers.get_ydata(), [v[name] for v in at.values()])
    assert markers.get_marker() != "None"
    assert markers.get_linestyle() == "None"
    assert same_color(line.get_color(), markers.get_color())


@pytest.mark.parametrize("ratio", study.RATIOS)
def test_lengths_are_those_of_the_form_and_of_the_model(page, grid, ratio):
    ax = page()
    assert figures.lengths(ax, grid, ratio) is ax
    assert legend(ax) == ["LDT", "CDT"]
    *drawn, one = ax.lines
    assert len(drawn) == 4
    for j, kind in enumerate(("ldt", "cdt")):
        line, markers = drawn[2 * j : 2 * j + 2]
        assert line.get_label() == kind.upper()
        assert_curve(line, markers, kind, ratio, "norm2_ratio", grid)
    assert set(one.get_ydata()) == {1}
    assert ax.get_yscale() == "log"
    ticks = dict(zip(ax.get_yticks(), ax.get_yticklabels()))
    assert all(float(text.get_text()) == at for at, text in ticks.items())


@pytest.mark.parametrize("ratio", study.RATIOS)
@pytest.mark.parametrize("kind", theory.KINDS)
def test_cosines_are_those_of_the_form_and_of_the_model(page, grid, kind, ratio):
    ax = page()
    assert figures.cosines(ax, grid, kind, ratio) is ax
    assert legend(ax) == ["two majority", "one of each", "two minority"]
    *drawn, balanced = ax.lines
    names = ("cos_major", "cos_between", "cos_minor")
    for j, name in enumerate(names):
        assert_curve(*drawn[2 * j : 2 * j + 2], kind, ratio, name, grid)
    assert len(drawn) == 6
    # Ten classes at equal angles.
    etf = theory.norms_and_cosines(theory.etf_gram(10))[1][0, 1].item()
    np.testing.assert_allclose(balanced.get_ydata(), etf)
    assert ax.get_title(loc="left") == kind.upper()


def test_lines_of_a_panel_differ_in_style_and_colour(page, grid):
    ax = page()
    figures.cosines(ax, grid, "ldt", 10)
    lines = ax.lines[0:6:2]
    assert len({line.get_linestyle() for line in lines}) == 3
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_marker() for line in ax.lines[1:6:2]}) == 3


def test_collapse_has_a_line_a_loss(page):
    ax, ridges = page(), np.logspace(-6, -2, 7)
    g = torch.Generator().manual_seed(0)
    cosine = {name: torch.rand(7, generator=g) for name in ("CE", "VS")}
    assert figures.collapse(ax, ridges, cosine, "ridge") is ax
    assert legend(ax) == ["CE", "VS"]
    for line, values in zip(ax.lines, cosine.values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack([ridges, values], 1))
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "ridge"


# Networks


def test_tracked_is_the_distance_of_classifiers_over_the_epochs(page):
    ax, networks = page(), made()
    assert figures.tracked(ax, networks, ["LDT", "CE"]) is ax
    assert legend(ax) == ["LDT", "CE"]
    for line, area, i in zip(ax.lines, ax.collections, (2, 0), strict=True):
        e = estimate(networks.error_w[:, i].numpy())
        np.testing.assert_allclose(line.get_xydata(), np.stack([(2, 5, 9), e.mean], 1))
        corners = np.asarray(area.get_paths()[0].vertices)
        for side in (-1, 1):
            for point in np.stack([(2, 5, 9), e.mean + side * e.half], 1):
                assert np.isclose(corners, point).all(1).any(), point
        assert same_color(area.get_facecolor()[0, :3], line.get_color())
        assert ax.get_ylim()[1] > e.mean.max()
    assert ax.get_ylim()[0] == 0


def test_destinations_are_two_distances_of_each_label(page):
    ax, networks, labels = page(), made(), ["LA", "LDT", "CE"]
    assert figures.destinations(ax, networks, labels) is ax
    assert legend(ax) == ["to the limit", "to the exact ridge solution"]
    limit, ridge = ax.containers
    at = [networks.index(label) for label in labels]
    assert_bars(limit, [estimate(networks.error_w[:, i, -1].numpy()) for i in at])
    exact = [estimate(study.exact_ridge_error(networks, x)) for x in labels]
    assert_bars(ridge, exact)
    assert_rows(ax, labels)
    assert ax.get_xlim()[0] == 0


def test_groups_are_majority_and_minority_accuracy(page):
    ax, networks, labels = page(), made(), ["LA", "CE"]
    assert figures.groups(ax, networks, labels) is ax
    assert legend(ax) == ["majority", "minority"]
    y = networks.task.test_y
    right = (networks.test_logits.argmax(-1) == y).double()
    for container, group in zip(ax.containers, (y < 3, y >= 3), strict=True):
        # Classes have equally many test images.
        each = right[..., group].mean(-1)[:, [1, 0]].numpy()
        assert_bars(container, [estimate(column) for column in each.T])
    assert_rows(ax, labels)


@pytest.mark.parametrize("label", ["CE", "LDT"])
def test_rebalanced_is_the_gain_over_raw_logits(page, label):
    ax, runs = page(), {"one": made(1), "two": made(2)}
    assert figures.rebalanced(ax, runs, label) is ax
    assert legend(ax) == ["geometry", "norm", "additive"]
    for container, how in zip(ax.containers, study.REBALANCE, strict=True):
        gains = [
            study.choose(n, label, how).accuracy[0] - study.accuracies(n, label)[0]
            for n in runs.values()
        ]
        assert_bars(container, [estimate(gain.numpy()) for gain in gains])
    rows = assert_rows(ax, runs)
    assert (np.diff(rows, axis=0) > 0).all()
    assert np.ptp(rows, axis=0).max() < 1
    assert any(set(line.get_xdata()) == {0} for line in ax.lines)


def test_a_member_that_diverged_leaves_no_point(page):
    ax, other, networks = page(), page(), made()
    networks.error_w[1, 1] = torch.nan
    networks.W[1, 1] = torch.nan
    figures.tracked(ax, networks, ["CE", "LA"])
    there, gone = ax.lines
    assert np.isfinite(there.get_ydata()).all()
    assert np.isnan(gone.get_ydata()).all()
    assert np.isfinite(ax.get_ylim()).all()
    figures.destinations(other, networks, ["CE", "LA"])
    for container in other.containers:
        shown = container.lines[0].get_xydata()[:, 0]
        assert np.isnan(shown).tolist() == [False, True]
