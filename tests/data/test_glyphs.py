"""New compositions of known parts, a long tail, and letters drawn badly."""

import shutil
from collections import Counter
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
import torch

from tailwise.data import assets, glyphs
from tailwise.data.glyph_corruption import LEVELS, Level, corrupt, jitter
from tools.studies.draw_glyphs import without_twins

SETS = ("train", "val", "test", "test_unseen")


@cache
def task(seed=0, **settings):
    return glyphs.draw(seed, **settings)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def letters(n=200):
    return glyphs.atlas().images[:n, 0]


# The atlas


def test_the_atlas_has_every_letter_in_every_face():
    atlas = glyphs.atlas()
    n = len(atlas.names)
    assert atlas.images.shape == (n, len(glyphs.FACES), 32, 32)
    assert atlas.images.dtype == torch.uint8
    assert len(set(atlas.names)) == n > 1000
    assert {name.split(" ")[0] for name in atlas.names} == set(glyphs.SCRIPTS)
    assert (atlas.images.flatten(2).amax(-1) > 128).all()
    assert (glyphs.GLYPHS / glyphs.ATLAS).stat().st_size <= 1.5e6


def test_no_two_letters_are_twins_in_any_face():
    images = glyphs.atlas().images
    for face in range(len(glyphs.FACES)):
        assert len(images[:, face].flatten(1).unique(dim=0)) == len(images)


def test_twins_are_found_in_any_face():
    pictures = np.arange(6, dtype=np.uint8).reshape(3, 2, 1, 1)
    assert without_twins(pictures) == [0, 1, 2]
    pictures[2, 1] = pictures[0, 1]
    assert without_twins(pictures) == [0, 1]


def test_marks_are_drawn_and_no_ink_touches_the_border():
    atlas = glyphs.atlas()
    row = {name: k for k, name in enumerate(atlas.names)}
    a, ring = (f"LATIN CAPITAL LETTER A{end}" for end in ("", " WITH RING ABOVE"))
    tops = [
        (atlas.images[row[name]].amax(-1) > 64).int().argmax(-1) for name in (a, ring)
    ]
    assert (tops[0] - tops[1] >= 2).all()  # pixels higher, in every face
    assert not atlas.images[:, :, [0, 31]].any()
    assert not atlas.images[..., [0, 31]].any()


def test_a_damaged_atlas_is_named(tmp_path):
    for name in (glyphs.ATLAS, "SHA256SUMS"):
        shutil.copy(glyphs.GLYPHS / name, tmp_path)
    raw = bytearray((tmp_path / glyphs.ATLAS).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / glyphs.ATLAS).write_bytes(raw)
    with pytest.raises(ValueError, match="glyphs.npz is damaged"):
        assets.read_asset(glyphs.ATLAS, tmp_path)


# Source and target


def test_the_splits_part_the_letters():
    parts = [glyphs.characters(split) for split in glyphs.SPLITS]
    assert [len(part) for part in parts[1:]] == [glyphs.N_TARGETS] * 2 == [60, 60]
    everything = torch.cat(parts).sort().values
    assert torch.equal(everything, torch.arange(len(glyphs.atlas().names)))
    assert not set(glyphs.names("source")) & set(glyphs.names("target"))


def test_targets_are_new_compositions_of_known_parts():
    source = glyphs.names("source")
    uses = Counter(word for name in source for word in set(name.split()))
    for name in glyphs.names("target") + glyphs.names("development"):
        base, _, marks = name.partition(" WITH ")
        assert marks
        assert base in source
        assert min(uses[word] for word in name.split()) >= glyphs.MIN_USES
    assert sorted(uses) == glyphs.vocabulary()


def test_the_shipped_targets_are_those_of_the_rule():
    atlas = glyphs.atlas()
    chosen = glyphs.choose_targets(atlas.names)
    assert chosen.tolist() == atlas.is_target.tolist()
    # The order of the names does not matter.
    assert glyphs.choose_targets(atlas.names[::-1]).tolist() == chosen[::-1].tolist()


def test_a_part_that_would_become_rare_stays_in_the_source():
    """Seven names hold DOT and seven WITH; the marks 0 to 5 are in too few."""
    names = ["A", *(f"A WITH {k}" for k in range(6))]
    names += ["A WITH DOT"] + [f"A DOT {k}" for k in range(6)]
    assert np.flatnonzero(glyphs.choose_targets(names, 1)).tolist() == [7]
    with pytest.raises(ValueError, match="n_targets = 2: the names allow only 1"):
        glyphs.choose_targets(names, 2)
    with pytest.raises(ValueError, match="allow only 0"):
        glyphs.choose_targets(names[:-2], 1)  # would leave four
    with pytest.raises(ValueError, match="allow only 0"):
        glyphs.choose_targets(names[1:], 1)  # without the base


# The task


def test_training_counts_follow_the_long_tail():
    d = task()
    assert torch.equal(d.train.labels.bincount(), d.counts)
    falling = d.counts.sort(descending=True).values
    assert falling[0] == 200
    assert falling[-1] == 2
    # Geometric: one ratio between neighbours, each count rounded to one half.
    ideal = 200 * 100 ** (-torch.arange(60).double() / 59)
    assert ((falling - ideal).abs() <= 0.5).all()
    groups = d.many.int() + d.medium.int() + d.few.int()
    assert (groups == 1).all()
    assert d.counts[d.many].min() > 100 >= d.counts[d.medium].max()
    assert d.counts[d.medium].min() >= 20 > d.counts[d.few].max()


@pytest.mark.parametrize(
    ("n", "group"), [(101, "many"), (100, "medium"), (20, "medium"), (19, "few")]
)
def test_groups_include_their_bounds(n, group):
    d = glyphs.draw(0, n_max=n, imbalance_ratio=1, n_val=1, n_test=1, level="clean")
    assert getattr(d, group).all()


def test_the_other_sets_are_balanced():
    d = task(n_val=3, n_test=4)
    for part, n in ((d.val, 3), (d.test, 4), (d.test_unseen, 4)):
        assert part.labels.bincount().tolist() == [n] * 60
    for part in (d.train, d.val, d.test):
        assert part.faces.unique().tolist() == list(range(9))
    assert d.test_unseen.faces.unique().tolist() == [9]


def test_pictures_show_their_class_and_face():
    d, atlas = task(level="clean"), glyphs.atlas()
    for name in SETS:
        part = getattr(d, name)
        assert part.images.shape == (len(part.labels), 1, 32, 32)
        rows = torch.tensor([atlas.names.index(d.names[k]) for k in part.labels])
        expected = atlas.images[rows, part.faces][:, None] / 255
        assert torch.equal(part.images, expected)


def test_development_letters_are_others_with_the_same_frequencies():
    d, other = task(), task(letters="development")
    assert set(other.names) == set(glyphs.names("development"))
    assert not set(other.names) & set(d.names)
    assert torch.equal(other.counts, d.counts)


def test_neighbours_are_added_at_their_distance_and_cut_by_the_border(monkeypatch):
    """A bar of one column, in the middle, shows where each letter stands."""
    bar = torch.zeros(4, 10, 32, 32, dtype=torch.uint8)
    bar[..., 16] = 200
    atlas = glyphs.Atlas(bar, ("A", "B", "C", "D"), torch.zeros(4, dtype=torch.bool))
    monkeypatch.setattr(glyphs, "atlas", lambda: atlas)
    monkeypatch.setattr(glyphs, "characters", lambda split: torch.arange(4))
    images = torch.zeros(300, 32, 32, dtype=torch.uint8)
    images[..., 16] = 100
    crowded = glyphs.crowded(images, gen())
    assert crowded.dtype == torch.uint8
    ink = crowded[:, 0] > 0
    assert torch.equal(crowded, crowded[:, :1].expand(-1, 32, -1))
    assert (ink.sum(1) == 3).all()
    assert (crowded[:, 0, 16] == 100).all()
    places = [row.nonzero()[:, 0].tolist() for row in ink]
    left = {16 - row[0] for row in places}
    right = {row[2] - 16 for row in places}
    assert left == right == set(range(11, 16))
    far = torch.zeros_like(bar)
    far[..., [0, 31]] = 200  # one of both leaves the picture, whichever the side
    far = glyphs.Atlas(far, atlas.names, atlas.is_target)
    monkeypatch.setattr(glyphs, "atlas", lambda: far)
    crowded = glyphs.crowded(torch.zeros_like(images), gen())
    assert (crowded[:, 0].count_nonzero(1) == 2).all()


def test_a_crowd_changes_the_pictures_of_all_sets_and_nothing_else():
    d, other = task(level="clean"), task(level="clean", crowd=True)
    assert torch.equal(d.counts, other.counts)
    for name in SETS:
        alone, crowded = getattr(d, name), getattr(other, name)
        assert torch.equal(alone.labels, crowded.labels)
        assert torch.equal(alone.faces, crowded.faces)
        assert (crowded.images >= alone.images).all()
        more = (crowded.images > alone.images).flatten(1).any(1)
        assert more.double().mean() > 0.99


def test_the_same_seed_draws_the_same_task_and_another_does_not():
    a, b, other = glyphs.draw(0), task(), task(1)
    assert torch.equal(a.counts, b.counts)
    assert not torch.equal(a.counts, other.counts)
    for name in SETS:
        one, two, three = (getattr(d, name).images for d in (a, b, other))
        assert torch.equal(one, two)
        pooled = torch.cat([one, three]).flatten(1)
        assert len(pooled.unique(dim=0)) == len(pooled)


def test_the_frequency_of_a_class_depends_on_the_seed_alone():
    counts = torch.stack([task(s).counts for s in range(6)]).double().log()
    correlation = torch.corrcoef(counts) - torch.eye(6)
    # 1 / sqrt(59) is one standard error of a correlation of independent orders.
    assert correlation.abs().max() < 4 / 59**0.5
    gentle = glyphs.draw(0, imbalance_ratio=10, n_max=50).counts
    rarer = task().counts[:, None] < task().counts
    assert (gentle[:, None] <= gentle)[rarer].all()


def test_no_picture_is_in_two_sets():
    images = torch.cat([getattr(task(), name).images for name in SETS]).flatten(1)
    assert len(images.unique(dim=0)) == len(images)


def test_val_and_test_are_drawn_apart():
    d = task(n_val=20)
    assert not torch.equal(d.val.faces, d.test.faces)


def test_evaluation_does_not_depend_on_the_training_set():
    small = glyphs.draw(0, imbalance_ratio=2, n_max=4)
    for name in SETS[1:]:
        assert torch.equal(getattr(small, name).images, getattr(task(), name).images)


def test_torchs_own_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    glyphs.draw(3, n_max=2, imbalance_ratio=2, n_val=1, n_test=1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"imbalance_ratio": 0.5}, "imbalance_ratio is 0.5: expected at least 1"),
        (
            {"imbalance_ratio": float("nan")},
            "imbalance_ratio is nan: expected at least 1",
        ),
        ({"n_max": 99}, "n_max is 99: expected at least the imbalance_ratio 100"),
        ({"n_val": 0}, "n_val = 0: expected ≥ 1"),
        ({"n_test": 0}, "n_test = 0: expected ≥ 1"),
        ({"seed": -1}, "seed = -1: expected ≥ 0"),
        ({"level": "dirty"}, "unknown level 'dirty': expected clean, jittered"),
        ({"letters": "source"}, "letters is 'source': expected target or development"),
    ],
)
def test_a_task_that_cannot_be_drawn_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        glyphs.draw(**({"seed": 0} | settings))


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="unknown split 'val': expected source or"):
        glyphs.characters("val")


# Corruption


def test_clean_pictures_are_left_unchanged():
    x = corrupt(letters(), level="clean", generator=gen())
    assert x.dtype == torch.float32
    assert torch.equal(x * 255, letters()[:, None].float())


@pytest.mark.parametrize("level", list(LEVELS)[1:])
def test_corruption_is_a_function_of_the_generators_state(level):
    x, same, other = (
        corrupt(letters(), level=level, generator=gen(seed)) for seed in (0, 0, 1)
    )
    assert x.shape == (200, 1, 32, 32)
    assert 0 <= x.min() < x.max() <= 1
    assert torch.equal(x, same)
    assert (x != other).flatten(1).any(1).all()
    assert corrupt(letters(0), level=level, generator=gen()).shape == (0, 1, 32, 32)


def test_every_picture_is_corrupted_in_its_own_way():
    one = letters(1).expand(100, -1, -1)
    x = corrupt(one, level="jittered", generator=gen()).flatten(1)
    assert len(x.unique(dim=0)) == 100


def test_jitter_moves_ink_and_keeps_its_amount():
    x = corrupt(letters(), level="jittered", generator=gen())
    before = letters().flatten(1).sum(1) / 255
    share = x.flatten(1).sum(1) / before
    # Scaling by up to 10 % and shearing move the area by at most a quarter.
    assert ((share > 0.75) & (share < 1.3)).all()
    grid = torch.arange(32.0)
    mass = x[:, 0].sum(1)
    moved = (mass @ grid) / mass.sum(1)
    still = (letters().float().sum(1) @ grid) / letters().float().flatten(1).sum(1)
    assert 0.3 < (moved - still).std() < 3


def test_half_of_the_pictures_are_dark_on_light():
    n = 1000
    x = corrupt(letters(n), level="target", generator=gen())
    light = (x.flatten(1).median(1).values > 0.5).double().mean()
    assert abs(light - 0.5) < 4 * 0.5 / n**0.5


def test_the_target_is_harder_to_recognise_than_pretraining():
    """Distance to the clean picture after removing polarity, contrast and mean."""
    clean = letters(1000)[:, None].double()
    similarity = []
    for level in LEVELS:
        x = corrupt(letters(1000), level=level, generator=gen()).double()
        pair = torch.stack([x.flatten(1), clean.flatten(1)])
        pair = pair - pair.mean(-1, keepdim=True)
        a, b = pair / pair.norm(dim=-1, keepdim=True)
        similarity.append((a * b).sum(-1).abs().mean().item())
    assert similarity == sorted(similarity, reverse=True)
    assert abs(similarity[0] - 1) < 1e-9


def test_augmentation_moves_letters_and_repeats_the_border():
    x = corrupt(letters(), level="target", generator=gen())
    found = jitter(x, gen(1))
    assert found.shape == x.shape
    assert 0 <= found.min() < found.max() <= 1
    assert torch.equal(found, jitter(x, gen(1)))
    assert (found != jitter(x, gen(2))).flatten(1).any(1).all()
    grey = torch.full((400, 1, 32, 32), 0.75)
    middle = jitter(grey, gen()).mean((1, 2, 3))
    # One grey stays one grey or its opposite, to the border; noise has mean zero.
    assert torch.minimum((middle - 0.75).abs(), (middle - 0.25).abs()).max() < 0.01
    assert 0.4 < (middle > 0.5).double().mean() < 0.6


PLAIN = Level(affine=0.0)
BLANK = torch.full((2000, 32, 32), 128, dtype=torch.uint8)


def drawn_badly(monkeypatch, images, **settings):
    """Pictures with one kind of corruption, ``[n, 32, 32]``."""
    monkeypatch.setitem(LEVELS, "one kind", replace(PLAIN, **settings))
    return corrupt(images, level="one kind", generator=gen())[:, 0].double()


@pytest.mark.parametrize("kind", [f.name for f in fields(Level)])
def test_each_kind_of_corruption_is_in_force_at_the_target(monkeypatch, kind):
    setting = getattr(LEVELS["target"], kind)
    x = drawn_badly(monkeypatch, letters(), **{kind: setting})
    assert setting != getattr(PLAIN, kind)
    assert ((x - letters() / 255).abs().flatten(1).amax(1) > 0.01).sum() > 50


def test_noise_and_background_have_their_size(monkeypatch):
    x = drawn_badly(monkeypatch, BLANK, noise=(0.05, 0.05))
    # Four standard errors of the s.d. of two million normal numbers.
    assert abs(x.std() - 0.05) < 4 * 0.05 / (2 * x.numel()) ** 0.5
    x = drawn_badly(monkeypatch, BLANK, background=0.3)
    span = x.flatten(1).amax(1) - x.flatten(1).amin(1)
    assert span.max() <= 0.3 + 1e-6
    # A uniform span: its mean is 0.15, with a standard error of 0.3 / sqrt(12 n).
    assert abs(span.mean() - 0.15) < 4 * 0.3 / (12 * len(span)) ** 0.5


def test_a_bar_is_straight_narrow_and_of_one_grey(monkeypatch):
    x = drawn_badly(monkeypatch, BLANK, bar=3.0)
    ink = (x - 128 / 255).abs() > 1e-6
    # At most 3 pixels wide along a diagonal of 45 pixels.
    assert 0 < ink.flatten(1).sum(1).max() <= 3 * 32 * 2**0.5 + 32
    for picture, mask in zip(x[:50], ink[:50]):
        assert len(picture[mask].unique()) <= 1


def test_blur_keeps_the_mean_and_smooths(monkeypatch):
    x, clean = drawn_badly(monkeypatch, letters(), blur=0.8), letters() / 255
    # No ink touches the border, so that none is lost.
    torch.testing.assert_close(x.mean((1, 2)), clean.mean((1, 2)).double())
    assert (x.std((1, 2)) < clean.std((1, 2))).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 32, 32), r"images is torch.float32 \[2, 32, 32\]: expected"),
        (torch.zeros(2, 28, 28, dtype=torch.uint8), r"\[2, 28, 28\]: expected"),
        (torch.zeros(32, 32, dtype=torch.uint8), r"\[32, 32\]: expected"),
    ],
)
def test_bad_pictures_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        corrupt(images, level="clean", generator=gen())
