"""What an expert adds to a backbone, and that the backbone does not notice."""

import pytest
import torch
from tiny_clip import ClipImageEncoder, torchvision_vit
from tiny_vit import expert_of, images_and_labels, rng, tiny
from torch import nn
from torch.nn import functional as F

from tailwise.data.compat import import_torchvision
from tailwise.experts.backbones import LAYOUTS, as_backbone
from tailwise.experts.expert import Expert, add_groups, make_expert, scores
from tailwise.experts.modules import (
    Adapter,
    CosineHead,
    GroupPrompts,
    SharedPrompts,
    seeded,
)
from tailwise.models import vit

IMAGES, LABELS = images_and_labels()
LIKE = torch.zeros(1, dtype=torch.float64)
MADE = dict(generator=rng(), like=LIKE)


def count(module):
    return sum(p.numel() for p in module.parameters())


FAMILIES = {
    "glyph": (tiny, 1),
    "torchvision": (torchvision_vit, 3),
    "clip": (ClipImageEncoder, 3),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    make, channels = FAMILIES[request.param]
    with seeded(rng(5)):
        module = make()
    images = torch.rand(6, channels, 32, 32, generator=rng())
    return module, images.to(next(module.parameters()))


def test_an_expert_that_adds_nothing_is_the_backbone(family):
    module, images = family
    backbone = as_backbone(module)
    expected = module(images)
    for tokens, adapter in ((0, 0), (0, 3)):
        expert = make_expert(
            backbone, 4, generator=rng(), tokens=tokens, adapter=adapter
        )
        with torch.no_grad():
            assert torch.equal(expert.features(images), expected)
    assert not module.training
    # No hook stays behind.
    assert torch.equal(module(images), expected)
    assert not any(m._forward_hooks for m in module.modules())


def test_prompts_and_adapters_reach_the_embedding(family):
    module, images = family
    # Of eight units some are not cut off by the ReLU.
    expert = make_expert(as_backbone(module), 4, generator=rng(), tokens=2, adapter=8)
    add_groups(expert, images, generator=rng(), pool=3, blocks=1, tokens=2)
    plain = module(images)
    assert (expert.features(images) - plain).abs().max() > 1e-4
    expert(images)[:, 0].sum().backward()
    # Up-projections are zero, so that down-projections get a gradient of zero.
    reached = [n for n, p in expert.named_parameters() if "down" not in n]
    for name, p in expert.named_parameters():
        if name != "groups.keys":
            assert (p.grad.abs().sum() > 0) == (name in reached), name
    assert expert.groups.keys.grad is None
    assert all(p.grad is None for p in module.parameters())


def test_the_layout_is_found_and_can_be_named(family):
    module, images = family
    name = next(n for n, (make, _) in FAMILIES.items() if type(module) is type(make()))
    found = as_backbone(module)
    assert found.layout is LAYOUTS[name]
    torch.testing.assert_close(
        as_backbone(module, name).tokens(images), found.tokens(images)
    )
    assert found.tokens(images).shape == (6, 17, found.width)
    assert found.embedding == module(images).shape[1]


def test_a_block_of_the_first_tokens_is_the_block_cut():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = vit.GlyphViT().double()
    block, x = module.blocks[0], torch.randn(3, 17, 64, generator=rng()).double()
    for first in (1, 5, 17):
        torch.testing.assert_close(block(x, first), block(x)[:, :first])
    x = module.tokens(IMAGES)
    for block in module.blocks:
        x = block(x)
    torch.testing.assert_close(module(IMAGES), module.norm(x)[:, 0])


def test_the_adapter_runs_beside_the_mlp():
    module = tiny()
    backbone, x = as_backbone(module), torch.randn(3, 5, 8, generator=rng()).double()
    adapter = Adapter(8, 3, scale=0.7, **MADE)
    nn.init.normal_(adapter.up.weight, generator=rng())
    block = module.blocks[1]
    middle = x + block.attn(block.norm1(x))
    u = block.norm2(middle)
    beside = 0.7 * adapter.up(adapter.down(u).relu())
    expected = middle + block.mlp(u) + beside
    torch.testing.assert_close(backbone.run(1, x, adapter), expected)
    assert beside.abs().max() > 0.1


def test_prompts_are_appended_and_dropped_at_every_block():
    expert = expert_of(tiny(), groups=True)
    nn.init.normal_(expert.shared.tokens, generator=rng())
    x = expert.backbone.tokens(IMAGES[:3])
    n, t, _ = x.shape
    group = torch.randn(n, 2, 2, 8, generator=rng()).double()
    expected = x
    for index, block in enumerate(expert.backbone.blocks):
        own = expert.shared.tokens[index].expand(n, -1, -1)
        extra = [own] if index == 0 else [own, group[:, index - 1]]
        expected = block(torch.cat([expected, *extra], 1))[:, :t]
    torch.testing.assert_close(expert.run(x, 0, 3, group), expected[:, :1])
    seen = []
    hook = expert.backbone.blocks[2].register_forward_hook(
        lambda _, given, out: seen.append(given[0].shape[1])
    )
    expert(IMAGES[:3])
    hook.remove()
    assert seen == [17 + 2, 17 + 2 + 2]  # the query's pass, then the prompted one


def test_chosen_prompts_are_averaged():
    groups = GroupPrompts(4, 3, 2, 8, 8, **MADE)
    with torch.no_grad():
        groups.keys.copy_(torch.eye(8)[:4])
    queries = torch.tensor([[9.0, 1, 4, 2], [0, 1, 2, 3]]).double()
    match, chosen = groups.match(F.pad(queries, (0, 4)))
    assert chosen.tolist() == [[0, 2], [3, 2]]
    length = queries.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(match, queries.gather(1, chosen) / length)
    expected = (groups.tokens[[0, 3]] + groups.tokens[[2, 2]]) / 2
    torch.testing.assert_close(groups.prompts(chosen), expected)
    assert groups.prompts(chosen).shape == (2, 2, 3, 8)
    assert groups.usage(F.pad(queries, (0, 4))).tolist() == [1, 0, 2, 1]


def test_keys_learn_through_the_cosines_alone():
    expert = expert_of(tiny(), groups=True)
    out = expert.embed(expert.backbone.tokens(IMAGES))
    given = dict(allow_unused=True, retain_graph=True)
    keys = expert.groups.keys
    assert torch.autograd.grad(out.features.sum(), keys, **given) == (None,)
    (gradient,) = torch.autograd.grad(out.match.sum(), keys, **given)
    used = out.chosen.unique()
    assert (gradient[used].abs().sum(-1) > 0).all()
    assert 2 <= len(used)
    # Nothing else gets any: queries have no gradient.
    others = [p for p in expert.parameters() if p is not keys]
    assert set(torch.autograd.grad(out.match.sum(), others, **given)) == {None}


def test_queries_do_not_depend_on_group_prompts():
    expert = expert_of(tiny(), groups=True)
    x = expert.backbone.tokens(IMAGES)
    query = expert.query(x, 0)
    nn.init.normal_(expert.groups.tokens, generator=rng())
    assert torch.equal(expert.query(x, 0), query)
    with torch.no_grad():
        start = expert.group_start
        given = expert.embed(expert.run(x, 0, start), start, query).features
        torch.testing.assert_close(given, expert.features(IMAGES))
        expert.groups = None
        torch.testing.assert_close(expert.features(IMAGES), query)


def test_keys_start_at_distinct_queries():
    expert = expert_of(tiny(), groups=True)
    keys, expert.groups = expert.groups.keys, None
    with torch.no_grad():
        near = torch.cdist(keys, expert.features(IMAGES))
    assert near.amin(1).max() < 1e-6
    assert len(near.argmin(1).unique()) == len(keys)


def test_cosine_head():
    head = CosineHead(8, 4, scale=20.0, **MADE)
    features = torch.randn(30, 8, generator=rng()).double()
    expected = F.cosine_similarity(features[:, None], head.weight[None], dim=-1)
    torch.testing.assert_close(head(features), 20 * expected)
    torch.testing.assert_close(head(7 * features), head(features))
    torch.testing.assert_close(head.weight.norm(dim=-1), torch.ones(4).double())
    labels = torch.arange(30) % 4
    head.init_means(features, labels)
    unit = features / features.norm(dim=-1, keepdim=True)
    means = torch.stack([unit[labels == c].mean(0) for c in range(4)])
    torch.testing.assert_close(head.weight.detach(), F.normalize(means, dim=-1))
    head.init_text(3 * means)
    torch.testing.assert_close(head.weight.detach(), F.normalize(means, dim=-1))


def test_parameters_of_a_vit_b_16():
    with torch.device("meta"):
        module = import_torchvision().models.vit_b_16()
    module.heads = nn.Identity()
    backbone = count(module)
    assert backbone == 85_798_656
    made = dict(generator=rng(), like=torch.zeros(1))
    shared = SharedPrompts(12, 10, 768, **made)
    groups = GroupPrompts(20, 10, 6, 768, 768, **made)
    assert count(shared) == 92_160
    assert groups.tokens.numel() == 921_600
    assert groups.keys.numel() == 15_360
    assert round(100 * (count(shared) + count(groups)) / backbone, 1) == 1.2
    r = 8
    adapters = [Adapter(768, r, **made) for _ in range(12)]
    assert sum(map(count, adapters)) == 12 * (2 * 768 * r + r + 768)


def test_construction_follows_the_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = expert_of(tiny(), groups=True).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    again = expert_of(tiny(), groups=True).state_dict()
    other = expert_of(tiny(), groups=True, seed=3).state_dict()
    assert not any("backbone" in name for name in first)
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
    for name in ("shared.tokens", "adapters.0.down.weight", "groups.tokens"):
        assert not torch.equal(first[name], other[name]), name


def test_scores_are_logits_in_chunks():
    expert = expert_of(tiny())
    images = IMAGES.repeat(20, 1, 1, 1)
    assert len(images) > 500
    found = scores(expert, images)
    assert not found.requires_grad
    torch.testing.assert_close(found, expert(images).detach())


def test_bad_input():
    backbone = as_backbone(tiny())
    with pytest.raises(ValueError, match="module is a Linear: expected one of glyph"):
        as_backbone(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="layout is 'timm': expected one of glyph"):
        as_backbone(tiny(), "timm")
    with pytest.raises(ValueError, match=r"head.weight is \[4, 9\]: expected \[4, 8\]"):
        Expert(backbone, CosineHead(9, 4, **MADE))
    head = CosineHead(8, 4, **MADE)
    with pytest.raises(ValueError, match=r"shared.tokens is \[2, 5, 8\]: expected \[3"):
        Expert(backbone, head, shared=SharedPrompts(2, 5, 8, **MADE))
    with pytest.raises(ValueError, match=r"groups.keys is \[4, 9\]: expected \[any, 8"):
        Expert(backbone, head, groups=GroupPrompts(4, 1, 1, 8, 9, **MADE))
    with pytest.raises(ValueError, match="adapters has 1: expected 3"):
        Expert(backbone, head, adapters=nn.ModuleList([Adapter(8, 2, **MADE)]))
    with pytest.raises(ValueError, match="blocks is 4: expected 1 to 3"):
        add_groups(expert_of(tiny()), IMAGES, generator=rng(), blocks=4)
    with pytest.raises(ValueError, match="images has 9: expected at least the 10 keys"):
        add_groups(expert_of(tiny()), IMAGES[:9], generator=rng())
    with pytest.raises(ValueError, match="top is 3: expected at most the pool's 2"):
        GroupPrompts(2, 1, 1, 8, 8, top=3, **MADE)
    with pytest.raises(ValueError, match=r"queries is \[5, 8\]: expected \[4, 8\]"):
        GroupPrompts(4, 1, 1, 8, 8, **MADE).init_keys(torch.zeros(5, 8))
    with pytest.raises(ValueError, match="tokens is -1: expected at least 1"):
        SharedPrompts(3, -1, 8, **MADE)
    for scale in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"scale is {scale}: expected a finite"):
            CosineHead(8, 4, scale=scale, **MADE)
    with pytest.raises(ValueError, match="n_classes is 1: expected at least 2"):
        make_expert(backbone, 1, generator=rng())


def test_bad_starts_of_the_head():
    head = CosineHead(8, 4, **MADE)
    features = torch.ones(len(LABELS), 8).double()
    with pytest.raises(ValueError, match=r"weights is \[8, 4\]: expected \[4, 8\]"):
        head.init_text(torch.ones(8, 4))
    with pytest.raises(ValueError, match=r"weights\[1\] has no direction"):
        head.init_text(torch.tensor([1.0, 0, 1, 1]).expand(8, 4).T)
    with pytest.raises(ValueError, match=r"features is \[35, 8\]: expected \[3, 8\]"):
        head.init_means(features, LABELS[:3])
    with pytest.raises(ValueError, match="no sample of class 3: expected at least one"):
        head.init_means(features, LABELS.clamp_max(2))
    with pytest.raises(ValueError, match="labels holds 4: expected 0 to 3"):
        head.init_means(features, LABELS + 1)
