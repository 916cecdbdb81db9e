"""Worlds of pictures: pieces are shared out without overlap, features are turned."""

from dataclasses import replace

import pytest
import torch

from tailwise.matrix import pictures
from tailwise.matrix.pictures import COUNTS, N_COMPONENTS, PAIR, PIECES
from tailwise.matrix.run import run_world
from tailwise.models import backbone
from tailwise.own import field
from tailwise.profiles import current
from tailwise.weighting import frozen

KINDS = dict(zip(field.KINDS, (1000, 500, 500)))


@pytest.fixture
def P():
    return replace(current("full"), device="cpu")


@pytest.fixture
def pieces(monkeypatch):
    """Textiles whose first feature says which piece it is."""
    g = torch.Generator().manual_seed(0)
    found, start = {}, 0
    for kind, n in KINDS.items():
        X = torch.randn(n, 4, generator=g)
        X[:, 0] = torch.arange(start, start + n)
        found[kind], start = {field.USUAL: X}, start + n
    monkeypatch.setattr(field, "features", found.get)


@pytest.fixture
def clothes(monkeypatch):
    def features(name, *, device):
        g = torch.Generator().manual_seed(PAIR.index(name))
        sizes = {"pool": 1500, "val": 500, "test": 1000}
        return {k: torch.randn(n, 200, generator=g) for k, n in sizes.items()}

    monkeypatch.setattr(frozen, "class_features", features)


def test_every_textile_is_in_one_part_and_in_its_group(P, pieces):
    world = pictures.textiles(P, [3, 4])
    parts = (world.train, world.val, world.test)
    for s in range(2):
        seen = []
        for part, sizes in zip(parts, PIECES):
            assert part.group[s].bincount().tolist() == list(sizes)
        for part in parts:
            # Features are scaled: the first one still grows with the piece's number.
            seen.append(part.X[s, :, 0])
            assert torch.equal(part.y[s], (part.group[s] > 0).long())
        rank = torch.cat(seen).argsort().argsort()
        assert len(rank) == sum(KINDS.values()) == len(torch.cat(seen).unique())
        group = torch.cat([part.group[s] for part in parts])
        bounds = torch.tensor([KINDS["nominal"], KINDS["nominal"] + KINDS["global"]])
        assert torch.equal(group, torch.bucketize(rank, bounds, right=True))
    assert not torch.equal(world.test.X[0], world.test.X[1])
    assert world.labelled


def test_shirts_are_rare_and_share_validation_and_test(P, clothes):
    world = pictures.rare_shirts(P, [3, 4])
    assert [row.bincount().tolist() for row in world.train.y] == [list(COUNTS)] * 2
    assert world.val.y.shape == (2, 1000)
    assert world.test.y.shape == (2, 2000)
    assert world.train.X.shape[-1] == N_COMPONENTS
    assert world.groups == PAIR
    assert not world.labelled
    assert not torch.equal(world.train.X[0], world.train.X[1])


@pytest.mark.parametrize("make", [pictures.rare_shirts, pictures.textiles])
def test_a_seed_is_the_same_alone_and_among_others(P, pieces, clothes, make):
    both, one = make(P, [3, 4]), make(P, [4])
    for part in ("train", "val", "test"):
        for a, b in zip(*(vars(getattr(w, part)).values() for w in (both, one))):
            assert torch.equal(a[1:], b)


def test_all_components_are_the_features_turned():
    g = torch.Generator().manual_seed(0)
    X, new = torch.randn(40, 6, generator=g), torch.randn(9, 6, generator=g)
    turned, close = pictures.principal(X, new, k=6), dict(rtol=0, atol=1e-4)
    centre, spread = X.mean(0), X.std(0)
    for found, Z in zip(turned, (X, new)):
        at = (Z - centre) / spread
        torch.testing.assert_close(found @ found.T, (at @ at.T).double(), **close)
    few = pictures.principal(X, new, k=2)
    torch.testing.assert_close(few[1], turned[1][:, :2])
    assert (turned[0].var(0).diff() <= 0).all()
    off = turned[0].T.cov().fill_diagonal_(0)
    torch.testing.assert_close(off, torch.zeros_like(off), **close)


@pytest.mark.parametrize("have", [(), ("backbone",), ("backbone", "textiles")])
def test_what_is_not_installed_is_left_out_with_a_sentence(monkeypatch, have):
    needs = {
        name: (extra, lambda name=name: name in have)
        for name, (extra, _) in pictures.NEEDS.items()
    }
    monkeypatch.setattr(pictures, "NEEDS", needs)
    assert pictures.available(current("full")) == list(have)
    said = pictures.left_out(current("full"))
    for name, (extra, _) in needs.items():
        assert (f"'tailwise[{extra}]'" in said) == (name not in have)
    for small in ("smoke", "laptop"):
        assert pictures.available(current(small)) == []
        assert pictures.left_out(current(small)) == ""


@pytest.mark.skipif(not backbone.installed(), reason="needs the extra")
def test_real_features_go_through_every_method(P):
    described, values = run_world(pictures.rare_shirts(P, [0]), n_subsets=2)
    assert described["features"] == N_COMPONENTS
    assert "DFR" not in values
