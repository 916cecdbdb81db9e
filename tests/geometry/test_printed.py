"""What the paper prints against our forms, and slips in print against both."""

from itertools import product

import numpy as np
import pytest
import torch

from tailwise.geometry import entries, printed, seli

RNG = np.random.default_rng


def cases():
    for k, R, gamma in product((4, 6, 20), (2, 7, 100), printed.GAMMAS):
        n = seli.step_counts(k // 2, k // 2, R)
        delta = seli.temperatures(n, gamma) * R**gamma  # one of a minority class
        yield k, R, gamma, n, delta


def test_printed_formulas_equal_ours():
    found = printed.differences()["largest difference"]
    assert len(found) == 5
    assert found.max() < 1e-9


@pytest.mark.parametrize("change", [1.0, 1 + 1e-6])
def test_every_number_of_the_forms_enters(monkeypatch, change):
    """A planted error in any printed form is seen."""
    for name in ("cdt_grams", "ldt_numbers", "alignments", "seli_grams"):
        form = getattr(printed, name)
        with monkeypatch.context() as patch:
            patch.setattr(
                printed, name, lambda *x, f=form: (f(*x)[0], change * f(*x)[1])
            )
            if name == "ldt_numbers":
                off = lambda *x, f=form: (*f(*x)[:3], change * f(*x)[3])  # noqa: E731
                patch.setattr(printed, name, off)
            worst = printed.differences()["largest difference"].max()
            assert (worst < 1e-9) == (change == 1)


def test_corollaries_at_the_square_root():
    """1.1: CDT lays embeddings on classifiers; 1.2: LDT has an ETF."""
    rng = RNG(0)
    for _ in range(50):
        n = torch.tensor(np.round(10 ** rng.uniform(0, 3, 7)))
        delta = seli.etf_temperatures(n)
        W, H = seli.predicted_grams(n, delta, "cdt")
        own = seli.sel_matrix(delta, "cdt").diagonal()
        cos = own / (W.diagonal() * H.diagonal()).sqrt()
        torch.testing.assert_close(cos, torch.ones_like(cos))
        W, H = seli.predicted_grams(n, delta, "ldt")
        scaled = H * delta * delta.unsqueeze(-1)  # of M D
        for gram in (W, scaled):
            assert seli.gram_error(gram, seli.etf_gram(7)) < 1e-9


def test_more_examples_only_rescale():
    """Remark 3: counts times a^2 are W's Gram times a, and H's divided by it."""
    for _, _, _, n, delta in list(cases())[::7]:
        pairs = zip(
            seli.predicted_grams(9 * n, delta, "cdt"),
            seli.predicted_grams(n, delta, "cdt"),
            (3, 1 / 3),
        )
        for more, gram, factor in pairs:
            torch.testing.assert_close(more, factor * gram)


def test_the_singular_vectors_are_the_logits():
    for _, _, _, n, delta in cases():
        W, H = seli.predicted_grams(n, delta, "cdt")
        Z = seli.sel_matrix(delta, "cdt")
        # W W^T = (Z N Z^T)^(1/2), and the columns of Z are orthogonal to D^-1 1.
        torch.testing.assert_close(W @ W, (Z * n) @ Z.mT)
        assert ((1 / delta) @ Z).abs().max() < 1e-9
        assert torch.linalg.matrix_rank(Z, rtol=1e-9) == len(n) - 1


@pytest.mark.parametrize("kind", seli.KINDS)
def test_limits_are_where_the_forms_go(kind):
    for k in (4, 6, 10):
        for gamma in (-1.5, -0.5, 0, 1 / 6, 0.3, 0.5, 1.2):
            stated = printed.limits(k, gamma, kind)
            W, H = seli.step_blocks(k // 2, k // 2, 1e50, gamma, kind)
            found = W.cos_minor, W.cos_major, H.cos_minor, H.cos_major
            assert [x.item() for x in found] == pytest.approx(
                list(stated.values()), abs=1e-6
            )


def test_corrections_are_right_and_the_slips_are_not():
    found = printed.misprints()
    for row in found.itertuples(index=False):
        as_printed, corrected, computed = row
        assert corrected == pytest.approx(computed, abs=5e-3)
        assert abs(as_printed - computed) > 5e-3


def test_the_dual_of_any_share():
    """B* is minus the multipliers times the temperatures of the wrong class."""
    for k_major, k_minor, R, gamma in product((2, 7), (3, 5), (4, 50), (-0.5, 0.3, 1)):
        Delta = R**gamma
        n = seli.step_counts(k_major, k_minor, R)
        delta = seli.temperatures(n, gamma) * Delta
        ours = -(seli.multipliers(n, delta, "cdt") * delta.unsqueeze(-1))[-1, 0]
        args = k_major, k_minor, R, Delta
        assert printed.dual(*args, swap=False) == pytest.approx(ours.item(), rel=1e-9)
        assert printed.dual(*args, swap=True) != pytest.approx(ours.item(), rel=1e-2)


def separable(seed, d=6):
    rng = RNG(seed)
    y = np.array([1] * 20 + [0] * 6)
    return 0.3 * rng.normal(size=(26, d)) + 2 * (2 * y - 1)[:, None] * np.eye(d)[0], y


@pytest.mark.parametrize("seed", range(5))
def test_two_classes(seed):
    """Lemma 3.1: LDT is binary VS, CDT is plain cross-entropy with other lengths."""
    H, y = separable(seed)
    d = np.array([0.4, 1.7])
    sign = 2 * y - 1
    # Binary VS: min ||w|| subject to v_i d_y w.h_i >= 1.
    vs = printed._shortest((sign * d[y])[:, None] * H)
    ce = printed._shortest(sign[:, None] * H)
    assert ((sign * (H @ ce)) >= 1 - 1e-9).all()
    w = printed.binary_classifiers(H, y, tuple(d), "ldt")
    np.testing.assert_allclose(w[0] + w[1], 0, atol=1e-9)
    np.testing.assert_allclose(w[1] - w[0], vs, atol=1e-9)
    w = printed.binary_classifiers(H, y, tuple(d), "cdt")
    np.testing.assert_allclose(w[1], d[1] * ce / (d**2).sum(), atol=1e-9)
    np.testing.assert_allclose(w[0], -d[0] * ce / (d**2).sum(), atol=1e-9)
    assert np.linalg.norm(vs / np.linalg.norm(vs) - ce / np.linalg.norm(ce)) > 0.01


def test_the_difference_of_directions_sees_ldt():
    assert printed.binary_difference("cdt", 5) < 1e-9
    assert printed.binary_difference("ldt", 5) > 0.1


def test_the_shortest_vector_is_found():
    """Against random feasible ones."""
    H, y = separable(9)
    rows = (2 * y - 1)[:, None] * H
    x = printed._shortest(rows)
    rng = RNG(1)
    for _ in range(500):
        other = x + 0.3 * rng.normal(size=x.shape)
        least = (rows @ other).min()
        if least > 0:
            assert np.linalg.norm(other / least) > np.linalg.norm(x) - 1e-12


def test_the_width_counts_both_groups():
    fine = torch.linspace(-1, 2, 3001).double()
    for kind in seli.KINDS:
        W, _ = seli.step_blocks(5, 5, 100, fine, kind)
        inside = [
            g
            for g, a, b in zip(fine.tolist(), W.cos_major, W.cos_minor)
            if a <= 0.05 and b <= 0.05
        ]
        assert entries.width(kind) == pytest.approx(inside[-1] - inside[0], abs=5e-3)
