"""Figures of chapter 5: what they are given is what they draw."""

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color

from tailwise.data.imbalance import Task
from tailwise.geometry import plots as figures
from tailwise.geometry import race, seli, study, sweep
from tailwise.geometry.networks import FEATURES, Networks
from tailwise.geometry.ufm import UFM, Config
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
        train_recall=torch.ones(seeds, M, 6),
        val_logits=logits[0],
        test_logits=logits[1],
        diverged=torch.zeros(seeds, M, dtype=torch.bool),
    )


# Three classes in a plane


@pytest.mark.parametrize("counts", [[20.0, 20, 20], [20, 1, 1], [9, 4, 1]])
@pytest.mark.parametrize("config", [Config(), Config(gamma=0.5), Config("cdt", 0.5)])
def test_planar_vectors_have_the_predicted_grams(counts, config):
    n = torch.tensor(counts, dtype=torch.float64)
    W, H = figures.planar_vectors(n, config)
    assert W.shape == H.shape == (3, 2)
    delta = (n / n.max()) ** config.gamma
    for v, gram in zip((W, H), seli.predicted_grams(n, delta, config.kind)):
        torch.testing.assert_close(v @ v.T, gram)
    torch.testing.assert_close(W @ H.T, seli.sel_matrix(delta, config.kind))


def free(W, H):
    """A model of three classes with these vectors in its first place."""
    W, H = (torch.stack([x, torch.ones_like(x)]) for x in (W, H))
    rest = dict.fromkeys(UFM.__dataclass_fields__, torch.zeros(0))
    return UFM(**rest | dict(configs=(Config(),), W=W, H=H))


@pytest.mark.parametrize("d", [2, 5])
def test_vectors_of_the_predicted_shape_lie_on_the_arrows(page, d):
    ax, n = page(), torch.tensor([20.0, 5, 1]).double()
    exact = figures.planar_vectors(n, Config())
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
    for dots, given, exact in zip(
        ax.collections, (W, H), figures.planar_vectors(n, Config())
    ):
        drawn = torch.from_numpy(np.array(dots.get_offsets()))
        # The shape is that of the model.
        error = seli.gram_error(drawn @ drawn.T, given @ given.T)
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


def blocks(gammas, seeds=None):
    """Random block averages; with seeds, one row each."""
    shape = (len(gammas),) if seeds is None else (seeds, len(gammas))
    g = torch.Generator().manual_seed(len(gammas))
    numbers = torch.rand(5, *shape, generator=g, dtype=torch.float64) + 0.5
    return seli.Blocks(*numbers)


def swept(loss="LDT", seeds=None, ratio=10.0, half=5):
    gammas = (-1.0, 0.0, 0.5)
    W, H = blocks(gammas, seeds), blocks(gammas, seeds)
    return sweep.Swept(loss=loss, half=half, ratio=ratio, gammas=gammas, W=W, H=H)


@pytest.mark.parametrize("seeds", [None, 3])
def test_lengths_are_theory_ours_and_the_papers(page, seeds):
    ax, own = page(), {"LDT": swept("LDT", seeds), "wCE": swept("wCE", seeds)}
    cells = sweep.marks(figure=1, panel="UFM")
    printed = {loss: cells[cells.loss == loss] for loss in own}
    assert figures.swept_lengths(ax, own, printed) is ax
    assert legend(ax) == ["LDT", "wCE"]
    assert ax.get_yscale() == "log"
    for i, (loss, kind, gamma) in enumerate((("LDT", "ldt", 1), ("wCE", "ldt", 0))):
        line, filled, hollow = ax.lines[3 * i : 3 * i + 3]
        fine = torch.as_tensor(line.get_xdata())
        w, _ = seli.step_blocks(5, 5, 10, gamma * fine, kind)
        np.testing.assert_allclose(line.get_ydata(), w.norm2_ratio, rtol=1e-5)
        ratio = own[loss].W.norm2_ratio.log()
        ratio = (ratio if seeds is None else ratio.mean(0)).exp()
        np.testing.assert_allclose(filled.get_ydata(), ratio)
        # Plain ratios in the figure, squared ones here.
        plain = cells[cells.loss == loss].value
        np.testing.assert_allclose(hollow.get_ydata(), plain**2)
        assert hollow.get_markerfacecolor() == "none"
        assert same_color(hollow.get_color(), line.get_color())
        assert same_color(filled.get_color(), line.get_color())


@pytest.mark.parametrize("which", "WH")
def test_swept_cosines_are_theory_ours_and_the_papers(page, which):
    ax, own, cells = page(), swept(), sweep.marks(figure=3, panel="ResNet", loss="LDT")
    assert figures.swept_cosines(ax, own, which, cells) is ax
    assert legend(ax) == ["two majority", "one of each", "two minority"]
    *drawn, etf = ax.lines
    assert set(etf.get_ydata()) == {-1 / 9}
    limits = dict(zip("WH", own.limit(torch.linspace(-1, 0.5, 61))))
    for i, name in enumerate(("cos_major", "cos_between", "cos_minor")):
        line, filled, hollow = drawn[3 * i : 3 * i + 3]
        np.testing.assert_allclose(line.get_ydata(), getattr(limits[which], name))
        expected = getattr(getattr(own, which), name)
        np.testing.assert_allclose(filled.get_ydata(), expected)
        at = cells[cells.what == f"{which.lower()}_{name}"]
        np.testing.assert_allclose(hollow.get_xydata(), at[["gamma", "value"]])


def test_a_row_of_the_sweep_shows_cosines_at_ten(page):
    axes = [page() for _ in range(3)]
    own = {f"R = {R}": swept(ratio=float(R)) for R in (2, 10)}
    cells = sweep.marks(figure=3, loss="LDT")
    figures.sweep_row(axes, own, cells)
    assert legend(axes[0])[:2] == ["R = 2", "R = 10"]
    assert legend(axes[0])[2:] == ["paper, UFM", "paper, MLP", "paper, ResNet"]
    assert axes[0].get_ylabel().startswith("LDT")
    for ax, which in zip(axes[1:], "WH"):
        filled = ax.lines[1]
        expected = getattr(own["R = 10"], which).cos_major
        np.testing.assert_allclose(filled.get_ydata(), expected)


def test_training_fit_is_the_mean_over_classes_and_seeds(page):
    labels = ("CE", "LDT -1", "CDT 1", "LDT 0.5")
    ax, networks = page(), made(labels=labels)
    g = torch.Generator().manual_seed(3)
    networks.train_recall.copy_(torch.rand(4, 4, 6, generator=g))
    assert figures.training_fit(ax, networks, sweep.marks(figure=5)) is ax
    (ldt, hollow, cdt, _) = ax.lines
    each = networks.train_recall.mean((0, 2))
    assert list(ldt.get_xdata()) == [-1, 0, 0.5]
    np.testing.assert_allclose(ldt.get_ydata(), each[[1, 0, 3]])
    np.testing.assert_allclose(cdt.get_ydata(), each[[0, 2]])
    cells = sweep.marks(figure=5, loss="LDT", what="balanced")
    np.testing.assert_allclose(hollow.get_ydata(), cells.value)


def test_recipes_are_distances_by_time_and_by_ridge(page):
    axes, times, ridges = [page(), page()], [1e3, 1e5], [1e-4, 1e-3]
    figures.recipes(axes, times, ridges)
    for i, loss in enumerate(("LDT", "CDT")):
        found = axes[0].lines[i].get_ydata(), axes[1].lines[i].get_ydata()
        np.testing.assert_allclose(found[0], sweep.by_time(loss, times)[0])
        np.testing.assert_allclose(found[1], sweep.by_ridge(loss, [1e-4, 5e-4, 1e-3]))
    assert legend(axes[0]) == legend(axes[1]) == ["LDT", "CDT"]
    assert [ax.lines[2].get_xdata()[0] for ax in axes] == [33_000, 5e-4]


def test_raced_is_the_median_over_losses_and_starts(page):
    ax, g = page(), torch.Generator().manual_seed(0)
    settings = ((10, "ldt", 0.0), (100, "ldt", 0.0), (10, "cdt", 0.5))
    races = {
        method: race.Race(
            method=method,
            settings=settings,
            rate=1.0,
            steps=torch.tensor([1, 10]),
            error_w=torch.rand(3, 3, 2, generator=g),
            ms=1.0,
        )
        for method in ("normalised", "spectral")
    }
    assert figures.raced(ax, races, 10) is ax
    assert legend(ax) == list(races)
    for line, found in zip(ax.lines, races.values()):
        each = torch.cat([found.error_w[0], found.error_w[2]]).numpy()
        np.testing.assert_allclose(line.get_ydata(), np.sort(each, 0)[2])


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
