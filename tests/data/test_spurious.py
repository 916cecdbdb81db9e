"""The drawn worlds: counts, masks and redraws are what they say."""

import pytest
import torch

from tailwise.data import spurious

SMALL = {name: world.scaled(0.05) for name, world in spurious.WORLDS.items()}
SMALL["harsh birds"] = spurious.HARSH_BIRDS.scaled(0.05)


@pytest.fixture(scope="module", params=SMALL)
def splits(request):
    g = torch.Generator().manual_seed(0)
    return spurious.draw(SMALL[request.param], generator=g)


def test_groups_have_the_counts_of_the_world(splits):
    for split, counts in splits.world.counts.items():
        found = getattr(splits, split).group.bincount(minlength=4)
        assert found.tolist() == list(counts), split


def test_no_garment_is_in_two_splits(splits):
    seen = [set(getattr(splits, s).source.tolist()) for s in splits.world.counts]
    assert sum(map(len, seen)) == len(set.union(*seen))
    for split, sources in zip(splits.world.counts, seen, strict=True):
        assert len(sources) == len(getattr(splits, split)), split


def test_a_group_is_missing_from_skin_but_for_the_test():
    world = spurious.SKIN
    assert [c[3] == 0 for c in world.counts.values()] == [True, True, True, False]


def test_birds_has_the_counts_of_waterbirds_and_its_correlation():
    counts = torch.tensor(spurious.BIRDS.counts["train"])
    assert counts.sum() == 4795
    agree = (counts[0] + counts[3]) / counts.sum()
    assert 0.94 < agree < 0.96


def test_redraws_keep_the_object_and_its_place(splits):
    for other in (splits.test_same, splits.test_swapped):
        assert torch.equal(other.object_mask, splits.test.object_mask)
        assert torch.equal(other.y, splits.test.y)
        assert torch.equal(other.source, splits.test.source)
    assert torch.equal(splits.test_same.a, splits.test.a)
    assert torch.equal(splits.test_swapped.a, 1 - splits.test.a)
    # A redraw is another picture, so that it can serve as a floor.
    assert not torch.equal(splits.test_same.x, splits.test.x)


def test_the_nuisance_mask_marks_the_nuisance(splits):
    test = splits.test
    if splits.world.name == "birds":
        assert torch.equal(test.nuisance_mask, ~test.object_mask)
    else:
        area = test.nuisance_mask.sum((-2, -1))
        assert (area[test.a == 0] == 0).all()
        assert (area[test.a == 1] > 20).all()


def test_the_oracle_has_equal_groups_and_the_training_garments(splits):
    counts = splits.balanced.group.bincount(minlength=4)
    assert counts.max() - counts.min() <= 1
    garments = set(splits.balanced.source.tolist())
    assert garments <= set(splits.train.source.tolist())


def test_pasted_images_are_the_plain_validation_images_of_label_one(splits):
    plain = (splits.val.y == 1) & (splits.val.a == 0)
    assert torch.equal(splits.val_pasted.source, splits.val.source[plain])
    assert (splits.val_pasted.group == 3).all()


def test_images_are_finite_and_in_range(splits):
    for split in (*splits.world.counts, "balanced", "test_swapped"):
        x = getattr(splits, split).x
        assert x.shape[1:] == (3, 32, 32)
        assert x.dtype == torch.float32
        assert x.min() >= 0
        assert x.max() <= 1


def test_the_same_generator_draws_the_same_world():
    a, b = (
        spurious.draw(SMALL["skin"], generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(a.train.x, b.train.x)
    assert torch.equal(a.test_swapped.x, b.test_swapped.x)


def test_stripes_run_as_asked():
    g = torch.Generator().manual_seed(0)
    vertical = torch.tensor([True, False]).repeat(200)
    texture = spurious.waves(vertical, g)
    across = (texture.diff(dim=-1) ** 2).mean((-2, -1))
    along = (texture.diff(dim=-2) ** 2).mean((-2, -1))
    upright = across > along
    assert (upright == vertical).double().mean() > 0.95


def test_a_world_that_is_too_large_says_what_is_missing():
    with pytest.raises(ValueError, match="world 'birds'.*garments of label 0.*left"):
        spurious.draw(spurious.BIRDS.scaled(2), generator=torch.Generator())


def share_along(x):
    """Share of the change between neighbours that runs across upright stripes."""
    column = x.diff(dim=-1).square().mean((-2, -1))
    row = x.diff(dim=-2).square().mean((-2, -1))
    return column / (column + row)


def test_turned_waves_tell_less_of_their_kind():
    n = 400
    vertical = torch.arange(n) % 2 == 0

    def told(turn):
        x = spurious.waves(vertical, torch.Generator().manual_seed(0), turn)
        assert ((x >= 0) & (x <= 1)).all()
        return ((share_along(x) > 0.5) == vertical).double().mean().item()

    # A normal turn t changes the kind beyond 45 degrees: P(|t| < pi / 4) for turns up
    # to pi / 2, where most of them lie.
    normal = torch.distributions.Normal(0.0, 1.0)
    for turn in (0.3, 0.55):
        stay = 2 * normal.cdf(torch.tensor(torch.pi / 4 / turn)).item() - 1
        # Bends turn the stripes a little more; four standard errors.
        assert abs(told(turn) - stay) < 0.02 + 4 * (stay * (1 - stay) / n) ** 0.5
    assert told(0.0) > 0.99


def test_birds_differ_from_harsh_birds_in_classes_and_look_alone():
    easy, harsh = spurious.BIRDS, spurious.HARSH_BIRDS
    assert easy.counts == harsh.counts
    assert easy.name == harsh.name == "birds"
    assert harsh.look == {}


def test_the_mean_tint_is_the_look():
    n = 3000
    canvas = spurious.Canvas(
        torch.zeros(n, 32, 32),
        torch.zeros(n, 32, 32, dtype=torch.bool),
        torch.zeros(n, dtype=torch.int64),
        torch.arange(n),
    )
    a = torch.arange(n) % 2
    for tint in (0.0, 0.05):
        g = torch.Generator().manual_seed(0)
        x, nuisance = spurious.draw_birds(canvas, a, g, turn=0.4, tint=tint)
        assert nuisance.all()
        mean = x.mean((-2, -1))
        greener = mean[:, 1] - mean[:, 2]
        found = greener[a == 0].mean() - greener[a == 1].mean()
        # Twice 1.7 tints; the clamp to [0, 1] takes a little. Five standard errors of
        # two channels with spread 0.10, over two halves.
        assert abs(found - 3.4 * tint) < 5 * 0.1 * 2 * (1 / n) ** 0.5 + 0.05 * tint
