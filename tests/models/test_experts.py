"""The transformer, its pretraining, and the experts that ship with the package."""

import shutil
from functools import cache

import pytest
import torch
from safetensors.torch import load as parse
from safetensors.torch import save
from torch.nn import functional as F

from tailwise.data import glyphs
from tailwise.data.glyph_corruption import corrupt
from tailwise.experts import pretraining
from tailwise.models import experts as pretrained
from tailwise.models.vit import Attention, GlyphViT, NameEncoder
from tailwise.training import loop
from tailwise.training.checkpoint import Checkpoint
from tools.book.layout import write_asset


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@cache
def expert(kind):
    return pretrained.load(kind)


# The network


def test_the_network_has_the_parts_and_shapes_it_states():
    vit, images = GlyphViT(), torch.rand(3, 1, 32, 32)
    assert 150_000 < sum(p.numel() for p in vit.parameters()) < 160_000
    tokens = vit.tokens(images)
    assert tokens.shape == (3, 17, vit.width)
    torch.testing.assert_close(
        tokens[:, 0], (vit.cls + vit.pos[:, :1])[:, 0].expand(3, -1)
    )
    for block in vit.blocks:
        tokens = tokens + block.attn(block.norm1(tokens))
        tokens = tokens + block.mlp(block.norm2(tokens))
    torch.testing.assert_close(vit(images), vit.norm(tokens)[:, 0])


def test_attention_is_the_softmax_of_scaled_products():
    attention, x = Attention(8, 2).double(), torch.randn(3, 5, 8).double()
    q, k, v = attention.qkv(x).chunk(3, -1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weight = (q[..., part] @ k[..., part].mT / 4**0.5).softmax(-1)
        heads.append(weight @ v[..., part])
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(heads, -1)))


def test_a_picture_does_not_depend_on_its_batch_or_its_contrast():
    vit, images = expert("visual"), torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        together = vit(images)
        torch.testing.assert_close(together[:1], vit(images[:1]), rtol=0, atol=1e-4)
        faint = vit(0.4 + 0.3 * images)
        # The floor under the variance, 1e-4, is 1 % of the faint picture's.
        torch.testing.assert_close(together, faint, rtol=0, atol=0.2)
        assert vit(torch.zeros(1, 1, 32, 32)).isfinite().all()


def test_names_are_bags_of_words():
    encoder = NameEncoder(["A", "B", "WITH"], width=16)
    bags = encoder.bags(["A WITH B", "B A B"])
    assert bags.tolist() == [[1, 1, 1], [1, 2, 0]]
    a, b, with_ = encoder.words
    mean = torch.stack([(a + b + with_) / 3, (a + 2 * b) / 3])
    torch.testing.assert_close(encoder(bags), encoder.mlp(mean))
    torch.testing.assert_close(encoder.encode(["A B"]), encoder.encode(["B A"]))
    nothing = encoder(torch.zeros(1, 3))
    torch.testing.assert_close(nothing, encoder.mlp(torch.zeros(1, 16)))


def test_bad_input_to_the_networks_is_refused():
    with pytest.raises(ValueError, match=r"images has shape \[2, 32, 32\]: expected"):
        GlyphViT().tokens(torch.rand(2, 32, 32))
    with pytest.raises(ValueError, match="width = 40: expected a multiple of 16"):
        GlyphViT(width=40)
    with pytest.raises(ValueError, match="vocabulary repeats a word"):
        NameEncoder(["A", "A"])
    with pytest.raises(ValueError, match=r"names\[1\] = 'B C' holds 'C'"):
        NameEncoder(["A", "B"]).bags(["A", "B C"])


# Pretraining


@pytest.mark.parametrize("kind", pretrained.KINDS)
def test_pretraining_is_reproducible_and_leaves_torchs_state_alone(kind):
    def weights(seed):
        out = getattr(pretraining, f"pretrain_{kind}")(seed, 3)
        vit = out if kind == "visual" else out[0]
        assert not vit.training
        return torch.cat([p.detach().flatten() for p in vit.parameters()])

    before = torch.random.get_rng_state()
    first = weights(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


@pytest.mark.parametrize("kind", pretrained.KINDS)
def test_a_pretraining_that_was_stopped_goes_on_bit_for_bit(
    monkeypatch, tmp_path, kind
):
    pretrain, draw = getattr(pretraining, f"pretrain_{kind}"), pretraining.source_batch
    drawn = []

    def stopping(*given, **options):
        if len(drawn) == 3:
            raise KeyboardInterrupt
        drawn.append(draw(*given, **options))
        return drawn[-1]

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "source_batch", stopping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(1, 5, checkpoint=Checkpoint(tmp_path, every=2))
    resumed = pretrain(1, 5, checkpoint=Checkpoint(tmp_path, every=2))
    whole = pretrain(1, 5)
    modules = zip([whole], [resumed]) if kind == "visual" else zip(whole, resumed)
    for one, other in modules:
        for a, b in zip(one.parameters(), other.parameters()):
            assert torch.equal(a, b)


def test_batches_hold_seen_source_letters():
    images, labels = pretraining.source_batch(90, corrupted=0, generator=gen())
    assert images.shape == (90, 1, 32, 32)
    # Only jittered: light ink on black.
    assert (images.flatten(1).median(1).values == 0).all()
    mixed, _ = pretraining.source_batch(90, corrupted=2 / 3, generator=gen())
    clean = (mixed.flatten(1).median(1).values == 0).nonzero()[:, 0]
    assert clean.tolist() == list(range(60, 90))
    assert labels.max() < len(glyphs.characters("source"))


def test_similarity_is_a_scaled_cosine():
    x = torch.randn(3, 5)
    out = pretraining.similarity(x, torch.cat([7 * x, -x]))
    torch.testing.assert_close(out.diag(), torch.full((3,), pretraining.SCALE))
    torch.testing.assert_close(out[:, 3:], -out[:, :3])


@pytest.mark.parametrize(
    ("seed", "steps", "message"),
    [(-1, 5, "seed = -1: expected ≥ 0"), (0, 0, "steps = 0: expected ≥ 1")],
)
def test_bad_settings_are_refused(seed, steps, message):
    for pretrain in (pretraining.pretrain_visual, pretraining.pretrain_language):
        with pytest.raises(ValueError, match=message):
            pretrain(seed, steps)


# The shipped experts


def accuracy_zero_shot(images, labels):
    vit, text = expert("language")
    with torch.no_grad():
        names = text.encode(glyphs.names("target"))
        found = pretraining.similarity(vit(images), names).argmax(1)
    return (found == labels).double().mean()


def test_the_language_expert_reads_names_it_has_never_seen():
    task = glyphs.draw(0, n_max=1, imbalance_ratio=1)
    # Chance is 1 in 60: four standard errors above it for 1,200 pictures is 0.031.
    for part in (task.test, task.test_unseen):
        assert accuracy_zero_shot(part.images, part.labels) > 0.4
        shuffled = part.labels.roll(20)
        assert accuracy_zero_shot(part.images, shuffled) < 0.031
    rows, k = glyphs.characters("target"), torch.arange(60)
    clean = corrupt(glyphs.atlas().images[rows, 0], level="clean", generator=gen())
    assert accuracy_zero_shot(clean, k) > 0.7


@pytest.mark.parametrize("kind", pretrained.KINDS)
def test_features_of_new_letters_are_close_to_their_class_mean(kind):
    vit = expert(kind)[0] if kind == "language" else expert(kind)
    task = glyphs.draw(0, n_max=20, imbalance_ratio=1)

    def accuracy(vit):
        train, test = (loop.extract(vit, s.images) for s in (task.train, task.test))
        member = F.one_hot(task.train.labels, 60).double()
        means = member.T @ F.normalize(train, dim=-1)
        found = pretraining.similarity(test, means).argmax(1)
        return (found == task.test.labels).double().mean()

    torch.manual_seed(0)
    # 1,200 pictures: four standard errors of a difference are at most 0.08.
    assert accuracy(vit) > accuracy(GlyphViT()) + 0.3


def test_the_shipped_files_are_small_and_in_half_precision():
    files = list(pretrained.EXPERTS.glob("*.safetensors"))
    shipped = {
        pretrained.file_name(kind, seed)
        for kind, seeds in pretrained.SEEDS.items()
        for seed in seeds
    }
    assert {f.name for f in files} == shipped
    assert sum(f.stat().st_size for f in files) < 6e6
    for file in files:
        kept = parse(file.read_bytes())
        dtypes = {v.dtype for k, v in kept.items() if k != "vocabulary"}
        assert dtypes == {torch.float16}
    vit, text = expert("language")
    assert text.vocabulary == glyphs.vocabulary()
    assert all(p.dtype == torch.float32 for p in vit.parameters())
    assert not vit.training


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(pretrained.EXPERTS, tmp_path / "experts")


@pytest.mark.parametrize("kind", pretrained.KINDS)
def test_a_damaged_expert_is_named(folder, kind):
    path = folder / f"{kind}-0.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        pretrained.load(kind, folder=folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("vit.cls", torch.zeros(1, 1, 32), r"cls has shape \[1, 1, 32\], expected"),
        ("vit.cls", None, r"cls has shape None, expected \[1, 1, 64\]"),
        ("vit.more", torch.zeros(2), r"vit.more has shape \[2\], expected None"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, key, value, message):
    name = pretrained.file_name("visual", 0)
    tensors = parse((pretrained.EXPERTS / name).read_bytes()) | {key: value}
    content = save({k: v for k, v in tensors.items() if v is not None})
    write_asset(tmp_path, name, content)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        pretrained.load("visual", folder=tmp_path)


def test_unknown_experts_are_refused():
    with pytest.raises(ValueError, match="unknown kind 'audio': expected visual or"):
        pretrained.load("audio")
    with pytest.raises(ValueError, match="seed = 9: there is no visual-9"):
        pretrained.load("visual", 9)
