"""Many more features than samples: the same heads, cheaper, and features kept once."""

import json
import math

import pytest
import torch

from tailwise.models import backbone
from tailwise.training import cache
from tailwise.weighting import frozen, reports
from tailwise.weighting.frozen import BackbonePair, WideComparison
from tailwise.weighting.images import FrozenPair, RuleComparison, compare_rules

D, N, PRIOR = 70, 40, 0.2
GRID = torch.tensor([1.0, 4.0, 30.0], dtype=torch.float64)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pair() -> BackbonePair:
    """Two wide made-up classes, apart along the first features."""
    g, shift = rng(1), torch.zeros(D)
    shift[:4] = 0.8
    parts = {
        part: tuple(
            torch.randn(m, D, generator=g).double() + s * shift for s in (1, -1)
        )
        for part, m in (("pool", 90), ("val", 60), ("test", 80))
    }
    return BackbonePair(("rare", "common"), **parts)


def compare(pair, ridges=(0.3,), n_resamples=2):
    options = dict(n_resamples=n_resamples, prior=PRIOR, grid=GRID, generator=rng())
    return frozen.compare_wide(pair, N, ridges=ridges, **options)


def test_heads_of_the_row_space_are_the_heads(pair):
    found, g = compare(pair), rng()
    for part in ("val", "test"):
        g = rng()
        places = getattr(pair, part)
        direct = [
            compare_rules(
                FrozenPair(pair.names, pair.pool, places, (0.0, 0.0)),
                N,
                0.3,
                n_resamples=1,
                grid=GRID,
                generator=g,
                n_draws=8,
            )
            for _ in range(2)
        ]
        wide = getattr(found, part)[0.3]
        for rule in reports.RULES:
            expected = torch.cat([one.accuracy[rule] for one in direct], 1)
            torch.testing.assert_close(wide.accuracy[rule], expected, equal_nan=True)
        torch.testing.assert_close(wide.sweep, torch.cat([o.sweep for o in direct], 1))


def test_a_rule_of_the_ambient_dimension_is_undefined(pair):
    assert compare(pair).test[0.3].accuracy["ambient d"].isnan().all()


def test_scaling_is_that_of_the_mixture():
    g = rng(2)
    rare, common = 3 * torch.randn(30, 5, generator=g) + 2, torch.randn(60, 5)
    rare[:, 4] = common[:, 4] = 7.0  # says nothing
    scale = frozen.standardiser(rare.double(), common.double(), 0.25)
    # Each rare row twice and each common row three times: shares 60 and 180 of 240.
    mixed = scale(torch.cat([rare.repeat(2, 1), common.repeat(3, 1)]).double())
    live = mixed[:, :4]
    torch.testing.assert_close(live.mean(0), torch.zeros(4).double())
    spread = live.std(0, correction=0)
    torch.testing.assert_close(spread, torch.ones(4).double())
    assert (mixed[:, 4] == 0).all()


# Which ridge


def judged(worst, rule="priors"):
    accuracy = torch.tensor([worst, [1.0] * len(worst)])
    return RuleComparison({rule: accuracy}, {}, GRID, torch.zeros(2, 0, 0))


def test_each_rule_takes_the_ridge_that_validation_prefers():
    nan = float("nan")
    val = {0.1: judged([0.5, 0.7]), 1.0: judged([0.8, 0.6]), 10.0: judged([0.9, nan])}
    test = {ridge: judged([0.0, 0.0]) for ridge in val}
    # At ridge 10 the rule exists for half of the samples only.
    assert WideComparison(val, test).chosen("priors") == 1.0
    none = {0.1: judged([nan, nan])}
    assert math.isnan(WideComparison(none, none).chosen("priors"))


# The cache


@pytest.fixture
def loads(tmp_path, monkeypatch):
    """A cache of its own, and a backbone that counts how often it is loaded."""
    monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path))
    calls = []

    def embed(model, images, size):
        return [images.float().mean((1, 2, 3))[:, None].expand(-1, 4) / 255 + size]

    monkeypatch.setattr(backbone, "load", calls.append)
    monkeypatch.setattr(backbone, "embed", embed)
    return calls


def test_features_are_computed_once_and_checked(loads):
    images = torch.randint(0, 256, (6, 28, 28), generator=rng(), dtype=torch.uint8)
    first = frozen.features(images)
    assert torch.equal(frozen.features(images), first)
    assert loads == ["cpu"]
    (kept,) = cache.folder().glob("*.safetensors")
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert torch.equal(frozen.features(images), first)
    assert len(loads) == 2  # computed again, as the checksum failed
    assert kept.read_bytes() == content


def test_other_images_or_another_size_are_other_features(loads):
    images = torch.zeros(3, 28, 28, dtype=torch.uint8)
    frozen.features(images)
    frozen.features(images, 64)
    frozen.features(images + 1)
    assert len(loads) == 3


def test_a_pair_keeps_training_and_test_images_apart(loads, monkeypatch):
    def images(name, split, n, full=True):
        shift = {"train": 0, "test": 100}[split] + (name == "coat")
        levels = torch.arange(n) % 50 + shift
        return levels.to(torch.uint8)[:, None, None].expand(-1, 28, 28)

    monkeypatch.setattr(frozen, "class_images", images)
    pair = frozen.backbone_pair("coat", "shirt")
    sizes = [len(X) for part in (pair.pool, pair.val, pair.test) for X in part]
    assert sizes == [1500] * 2 + [500] * 2 + [1000] * 2
    assert min(pair.test[1][:, 0]) > max(pair.pool[1][:, 0])


# The record


def test_a_summary_holds_what_was_measured(pair):
    ridges = (0.3, 30.0)
    found = compare(pair, ridges, n_resamples=3)
    row = json.loads(json.dumps(reports.summary(found, pair.names, PRIOR, N)))
    assert (row["rare"], row["common"], row["n"]) == ("rare", "common", N)
    for rule, kept in row["rules"].items():
        assert kept["ridge"] == found.chosen(rule)
        expected = found.test[kept["ridge"]].accuracy[rule]
        for name, values in zip(("minority", "majority"), expected.tolist()):
            given = [math.nan if v is None else v for v in kept[name]]
            assert given == pytest.approx(values, abs=1e-4, nan_ok=True)
    sweep = torch.tensor(row["ridges"]["30"]["sweep"]).double()
    assert torch.allclose(sweep, found.test[30.0].sweep.mean(1), atol=1e-4)
    assert row["ridges"]["30"]["ratio"]["priors"] == pytest.approx(4)


def row(minority, majority, n=180, prior=0.2, rare="shirt"):
    rules = {
        rule: {"ridge": 1.0, "minority": a, "majority": b}
        for rule, a, b in zip(reports.RULES, minority, majority)
    }
    ridges = {
        ridge: {"equal": [ratio, 0.1], "sweep": [[0.2, 0.6], [0.9, 0.5]]}
        for ridge, ratio in (("10", None), ("100", 5.2), ("1000", 4.1))
    }
    named = {"rare": rare, "common": "coat", "prior": prior, "n": n, "grid": [1.0, 4.0]}
    return named | {"rules": rules, "ridges": ridges}


def test_gains_are_paired_over_samples():
    # Four rules: unweighted, priors, PCA (undefined once), effective dof.
    minority = [[0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [0.6, None, 0.9], [0.8, 0.8, 0.8]]
    majority = [[0.9] * 3, [0.9] * 3, [0.7, 0.9, 0.8], [0.7] * 3]
    made = row(minority, majority)
    e = reports.wide_gain(made, "PCA 99 %", "priors")
    assert (e.mean, e.n) == (pytest.approx((0.1 + 0.1) / 2), 2)
    table = reports.backbone_table([made]).iloc[0]
    assert table["ratio, ridge 10"] == "none"
    assert table["ratio, ridge 100"] == "5.2"
    assert table["unweighted"] == "80.0 (1)"
    assert table["effective dof"] == "30.0 (1)"
    assert table["one downsample"] == "–"


def test_claims_are_of_one_number_of_samples():
    every = [[0.5, 0.6]] * 7
    rows = [
        row(every, every),
        row(every, every, n=400),
        row(every, every, prior=0.09),
        row(every, every, prior=0.05, rare="dress"),
    ]
    rows[0]["rules"].pop("PCA 99 %")  # nowhere defined
    found = reports.backbone_claims(rows)
    assert all(list(parts) == ["shirt, 20 %", "dress, 5 %"] for parts in found.values())
    exists = found["ch1.backbone_pca_exists"]
    assert [e.mean for e in exists.values()] == [0, 1]
    assert found["ch1.backbone_shift"]["dress, 5 %"].mean == 0


def test_misses_are_logs_of_the_ratio_that_balances():
    common = {"stderr": 0.1, "width": 16}
    rows = [
        common | {"rare": "a", "seed": 0, "equal": 4.0, "PCA 99 %": 2.0, "x": 4.0},
        common | {"rare": "a", "seed": 1, "equal": 4.0, "PCA 99 %": 8.0, "x": 8.0},
        common | {"rare": "a", "seed": 2, "equal": None, "PCA 99 %": 8.0, "x": 8.0},
    ]
    missed = reports.dimension_misses(rows)
    assert missed["PCA 99 %"].tolist() == pytest.approx([math.log(2)] * 2)
    assert missed["x"].tolist() == pytest.approx([0, math.log(2)])
    table = reports.dimension_table(rows)
    assert table.loc["all", "networks"] == 2
    assert table.loc[16, "balances at"] == 4
    assert table.loc[16, "x"] == pytest.approx(math.log(2) / 2, abs=0.01)


def test_without_the_extra_the_live_cell_says_so(monkeypatch):
    monkeypatch.setattr(backbone, "installed", lambda: False)
    assert "pip install 'tailwise[backbone]'" in reports.live_backbone(2)
