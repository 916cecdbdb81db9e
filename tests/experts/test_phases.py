"""Phases: what they leave alone, what they train, and equal runs in two ways."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from tiny_vit import COUNTS, expert_of, images_and_labels, rng, tiny
from torch.nn import functional as F

from tailwise.experts import phases
from tailwise.experts.scorer import Scorer
from tailwise.experts.training import Settings
from tailwise.training.batches import class_balanced, class_counts, instance_balanced

IMAGES, LABELS = images_and_labels()
SHORT = Settings(steps=4, batch=16)
# Float64 runs of a few steps. AdamW divides by the size of gradients, so that
# rounding of 1e-16 grows by at most the inverse of the smallest that counts.
CLOSE = dict(rtol=1e-7, atol=1e-9)


def jitter(images, generator):
    return images + 0.1 * torch.rand(len(images), 1, 1, 1, generator=generator)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    after = module.state_dict()
    return {n for n, value in after.items() if not torch.equal(value, before[n])}


def probe(module):
    expert = expert_of(module)
    expert.shared = expert.adapters = None
    return expert


def run_joint(expert, images, labels, **given):
    scorer = Scorer(1, len(expert.head.weight), generator=rng()).double()
    return phases.train_jointly([expert], scorer, images, labels, **given)


RUNS = {
    "linear_probe": (phases.linear_probe, False),
    "phase_one": (phases.phase_one, False),
    "full_fine_tuning": (phases.full_fine_tuning, False),
    "phase_two": (phases.phase_two, True),
    "joint": (run_joint, True),
}


def start(name):
    """A phase, and an expert that it takes."""
    run, groups = RUNS[name]
    module = tiny()
    return run, probe(module) if "linear" in name else expert_of(module, groups=groups)


@pytest.mark.parametrize("augment", [None, jitter])
@pytest.mark.parametrize("name", RUNS)
def test_the_backbone_never_changes(name, augment):
    run, expert = start(name)
    module = expert.backbone.module
    before, features = state(module), module(IMAGES)
    # As someone may do who trains all in sight: dropout and batch norm would wake up.
    module.train()
    expert.train()
    run(expert, IMAGES, LABELS, generator=rng(), settings=SHORT, augment=augment)
    assert not changed(module, before)
    module.eval()
    assert torch.equal(module(IMAGES), features)
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("linear_probe", {"head"}),
        ("phase_one", {"head", "shared", "adapters"}),
        ("phase_two", {"head", "groups"}),
        ("joint", {"head", "shared", "adapters", "groups"}),
        ("full_fine_tuning", set()),  # it trains a copy
    ],
)
def test_a_phase_trains_its_own_parts(name, trained):
    run, expert = start(name)
    before = state(expert)
    run(expert, IMAGES, LABELS, generator=rng(), settings=SHORT)
    assert {n.split(".")[0] for n in changed(expert, before)} == trained
    assert all(p.grad is None for p in expert.parameters())
    if name == "phase_two":
        assert {"groups.keys", "groups.tokens"} <= changed(expert, before)


def test_full_fine_tuning_trains_a_copy():
    expert = expert_of(tiny())
    tuned, history = phases.full_fine_tuning(
        expert, IMAGES, LABELS, generator=rng(), settings=SHORT
    )
    new, old = tuned.backbone.module, expert.backbone.module
    moved = changed(new, state(old))
    assert {"stem.0.weight", "cls", "blocks.2.mlp.0.weight", "norm.weight"} <= moved
    assert "stem.1.running_mean" in moved
    assert not torch.equal(tuned.head.weight, expert.head.weight)
    assert not new.training
    assert not any(p.requires_grad for p in new.parameters())
    assert tuned.backbone.blocks[0] is new.blocks[0]
    assert len(history.losses) == SHORT.steps


@pytest.mark.parametrize("name", RUNS)
def test_a_phase_follows_its_generator(name):
    found = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        run, expert = start(name)
        torch.manual_seed(noise)
        history = run(
            expert,
            IMAGES,
            LABELS,
            generator=rng(seed),
            settings=SHORT,
            augment=jitter,
        )
        history = history[1] if name == "full_fine_tuning" else history
        found.append(history.losses)
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("name", ["linear_probe", "phase_one", "phase_two"])
def test_cached_is_naive(name, schedule):
    found = []
    for cached in (False, True):
        run, expert = start(name)
        settings = replace(SHORT, schedule=schedule)
        given = dict(generator=rng(), settings=settings, cached=cached)
        history = run(expert, IMAGES, LABELS, **given)
        found.append((torch.tensor(history.losses), expert(IMAGES), history.usage))
    for naive, cached in zip(*found):
        torch.testing.assert_close(cached, naive, **CLOSE)


@pytest.mark.parametrize("name", ["phase_one", "phase_two"])
def test_a_cached_phase_computes_the_prefix_once(name):
    run, expert = start(name)
    calls = []
    stem = expert.backbone.module.stem
    stem.register_forward_hook(lambda *_: calls.append(1))
    for cached, expected in ((False, SHORT.steps), (True, 1)):
        calls.clear()
        given = dict(generator=rng(), settings=SHORT, cached=cached)
        run(expert, IMAGES, LABELS, **given)
        assert len(calls) == expected


@pytest.mark.parametrize("name", ["linear_probe", "phase_one", "phase_two"])
def test_losses_fall_and_images_are_learnt(name):
    run, expert = start(name)
    settings = Settings(steps=40, batch=32, lr=2e-2)
    history = run(expert, IMAGES, LABELS, generator=rng(), settings=settings)
    first, last = (sum(part) for part in (history.losses[:5], history.losses[-5:]))
    assert last < 0.8 * first
    assert (expert(IMAGES).argmax(-1) == LABELS).double().mean() > 0.9


def test_phase_one_by_hand():
    _, expert = start("phase_one")
    history = phases.phase_one(
        expert_of(tiny()), IMAGES, LABELS, generator=rng(), settings=SHORT
    )
    rows = next(instance_balanced(LABELS, SHORT.batch, generator=rng()))
    priors = (torch.tensor(COUNTS) / len(LABELS)).log()
    loss = F.cross_entropy(expert(IMAGES[rows]) + priors, LABELS[rows])
    assert history.losses[0] == pytest.approx(loss.item(), rel=1e-6)


def test_the_weight_of_the_instance_balanced_half_falls_to_zero():
    settings = Settings(steps=10)
    cosines, match = torch.rand(16, 4, generator=rng()), torch.rand(16, 2)
    labels, counts = torch.arange(16) % 4, torch.tensor(COUNTS)

    def loss(step, **change):
        return phases.dual_loss(
            cosines,
            labels,
            match,
            counts,
            step,
            replace(settings, **change),
            scale=20.0,
            generator=rng(),
        )

    alone = loss(0, instance_weight=0.0)
    for step, weight in ((0, 0.5), (5, 0.25), (10, 0.0)):
        torch.testing.assert_close(
            loss(step) - alone, 2 * weight * (loss(0) - alone), rtol=1e-4, atol=1e-5
        )
    # The keys' term: summed over chosen keys, averaged over a half.
    keys = match.sum(-1)
    expected = 0.5 * (keys[:8].mean() + 0.5 * keys[8:].mean())
    torch.testing.assert_close(loss(0, key_weight=0.0) - loss(0), expected)


@pytest.mark.parametrize("dual", [True, False])
def test_with_the_adjusted_loss_each_half_has_its_samplers_prior(dual):
    counts, g = class_counts(LABELS, len(COUNTS)), rng(4)
    cosines = torch.rand(8, len(COUNTS), generator=g).double()
    labels = torch.randint(len(COUNTS), (8,), generator=g)
    settings = replace(SHORT, loss="adjusted", dual=dual)
    options = dict(scale=20.0, generator=g)
    found = phases.dual_loss(cosines, labels, None, counts, 1, settings, **options)
    log_prior = (counts / counts.sum()).log()
    adjusted = F.cross_entropy(20 * cosines + log_prior, labels, reduction="none")
    plain = F.cross_entropy(20 * cosines, labels, reduction="none")
    expected = adjusted.mean()
    if dual:
        expected = plain[:4].mean() + 0.5 * (1 - 1 / 4) * adjusted[4:].mean()
    torch.testing.assert_close(found, expected)


def test_one_sampler_gives_a_whole_batch_by_instance():
    settings = replace(SHORT, dual=False)
    rows = phases.dual_rows(LABELS, settings, rng(2))
    same = instance_balanced(LABELS, settings.batch, generator=rng(2))
    for found, expected in islice(zip(rows, same), 4):
        assert torch.equal(found.flatten(), expected)


def test_the_head_alone_has_the_loss_of_phase_two_without_its_keys():
    expert = expert_of(tiny())
    before = state(expert)
    found = phases.head_alone(expert, IMAGES, LABELS, generator=rng(1), settings=SHORT)
    assert changed(expert, before) == {"head.weight"}
    assert len(found.losses) == SHORT.steps
    other, g = expert_of(tiny()), rng(1)
    rows = phases.dual_rows(LABELS, SHORT, g)
    chosen = next(rows).flatten()
    counts = class_counts(LABELS, len(COUNTS))
    cosines = other.head.cosines(other.features(IMAGES[chosen]))
    loss = phases.dual_loss(
        cosines, LABELS[chosen], None, counts, 0, SHORT, scale=20.0, generator=g
    )
    assert found.losses[0] == pytest.approx(loss.item())
    grouped = expert_of(tiny(), groups=True)
    with pytest.raises(ValueError, match="expert has group prompts: expected none"):
        phases.head_alone(grouped, IMAGES, LABELS, generator=rng())


def test_blocks_alone_may_be_tuned():
    expert = probe(tiny())
    options = dict(generator=rng(), settings=replace(SHORT, lr=1e-2), blocks_only=True)
    tuned, _ = phases.full_fine_tuning(expert, IMAGES, LABELS, **options)
    before = expert.backbone.module.state_dict()
    moved = changed(tuned.backbone.module, before)
    statistics = {"stem.1.running_mean", "stem.1.running_var"}
    statistics |= {"stem.1.num_batches_tracked"}
    assert moved - statistics
    assert all(name.startswith("blocks") for name in moved - statistics)


def test_usage_counts_every_choice():
    run, expert = start("phase_two")
    history = run(expert, IMAGES, LABELS, generator=rng(), settings=SHORT)
    assert history.usage.shape == (5,)
    assert history.usage.sum() == SHORT.steps * SHORT.batch * expert.groups.top


def test_permuted_classes_permute_the_outputs():
    order = torch.tensor([2, 0, 3, 1])
    found = []
    for labels, rows in ((LABELS, torch.arange(4)), (order[LABELS], order.argsort())):
        expert = expert_of(tiny())
        expert.head.init_text(expert.head.weight.detach()[rows])
        phases.phase_one(expert, IMAGES, labels, generator=rng(), settings=SHORT)
        found.append(expert(IMAGES))
    torch.testing.assert_close(found[1][:, order], found[0], **CLOSE)
    assert (found[1] - found[0]).abs().max() > 0.1


def test_joint_training_reaches_every_expert_and_the_scorer():
    experts = [expert_of(tiny(seed), groups=True, seed=seed) for seed in (0, 5)]
    scorer = Scorer(2, len(COUNTS), generator=rng()).double()
    parts = [*experts, scorer]
    before = [state(part) for part in parts]
    phases.train_jointly(
        experts, scorer, IMAGES, LABELS, generator=rng(), settings=SHORT
    )
    for part, old in zip(parts, before):
        assert changed(part, old) == set(old)


def test_progress_is_told_of_each_step():
    _, expert = start("phase_one")
    seen = []
    history = phases.phase_one(
        expert,
        IMAGES,
        LABELS,
        generator=rng(),
        settings=SHORT,
        progress=lambda *told: seen.append(told),
    )
    assert seen == list(enumerate(history.losses, 1))


def test_the_head_has_its_own_rate():
    moved = []
    for head_lr in (None, 5e-3, 1e-6):
        _, expert = start("phase_one")
        before = expert.head.weight.detach().clone()
        settings = replace(SHORT, head_lr=head_lr)
        phases.phase_one(expert, IMAGES, LABELS, generator=rng(), settings=settings)
        moved.append((expert.head.weight - before).abs().max().item())
    assert moved[0] == moved[1] > 1e-3 > 1e-5 > moved[2]


# Samplers


def drawn(stream, batches):
    return torch.cat(list(islice(stream, batches)))


def test_samplers_frequencies():
    n = 8000
    for sampler, shares in (
        (class_balanced, torch.full((4,), 1 / 4)),
        (instance_balanced, torch.tensor(COUNTS) / len(LABELS)),
    ):
        rows = drawn(sampler(LABELS, 16, generator=rng()), n // 16)
        found = LABELS[rows].bincount() / n
        # Both draw in passes, closer to the shares than independent draws.
        errors = (shares * (1 - shares) / n).sqrt()
        assert ((found - shares).abs() < 3 * errors).all(), sampler
        # Within a class all samples count the same: each is due once a pass.
        for c in range(4):
            times = rows.bincount()[LABELS == c]
            assert times.max() - times.min() <= 1


def test_passes_are_complete_and_differ():
    passes = drawn(instance_balanced(LABELS, 5, generator=rng()), 21).split(len(LABELS))
    for rows in passes:
        assert rows.sort().values.tolist() == list(range(len(LABELS)))
    assert not torch.equal(passes[0], passes[1])
    rows = drawn(class_balanced(LABELS, 8, generator=rng(), per_class=4), 40)
    runs = LABELS[rows].view(-1, 4)
    assert (runs == runs[:, :1]).all()
    for four in runs[:, 0].split(4):
        assert four.sort().values.tolist() == [0, 1, 2, 3]


def test_dual_batches_have_a_half_of_each():
    halves = torch.stack(list(islice(phases.dual_rows(LABELS, SHORT, rng()), 200)), 1)
    assert halves.shape == (2, 200, SHORT.batch // 2)
    balanced, natural = (LABELS[rows.flatten()].bincount() / 1600 for rows in halves)
    # A pass that is cut short: at most its length off, of 1600
    torch.testing.assert_close(balanced, torch.full((4,), 0.25), rtol=0, atol=0.01)
    shares = torch.tensor(COUNTS) / len(LABELS)
    torch.testing.assert_close(natural, shares, rtol=0, atol=0.02)


@pytest.mark.parametrize("sampler", [class_balanced, instance_balanced])
def test_samplers_are_functions_of_the_generator(sampler):
    first, again, other = (
        drawn(sampler(LABELS, 8, generator=rng(s)), 5) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# Bad input


def test_bad_labels():
    run, expert = start("phase_one")
    for labels, message in (
        (LABELS.clamp_max(2), "labels has no sample of class 3: expected at least one"),
        (LABELS + 1, "labels holds 4: expected 0 to 3"),
        (LABELS - 1, "labels holds -1: expected 0 to 3"),
        (LABELS.double(), "labels is torch.float64: expected a tensor of integers"),
        (LABELS[:9], "images has 35: expected 9, as labels"),
    ):
        for name in ("phase_one", "phase_two", "full_fine_tuning"):
            run, expert = start(name)
            with pytest.raises(ValueError, match=message):
                run(expert, IMAGES, labels, generator=rng())
    with pytest.raises(ValueError, match=r"labels is \[0\]: expected \[n\], not empty"):
        class_counts(LABELS[:0], 4)
    with pytest.raises(ValueError, match="no sample of class 1"):
        class_balanced(2 * LABELS, 4, generator=rng())
    with pytest.raises(ValueError, match="batch is 0: expected at least 1"):
        instance_balanced(LABELS, 0, generator=rng())
    with pytest.raises(ValueError, match="per_class is 0: expected at least 1"):
        class_balanced(LABELS, 4, generator=rng(), per_class=0)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="loss is 'ce': expected agcl or adjusted"):
        Settings(loss="ce")


def test_bad_settings():
    for change, message in (
        (dict(steps=0), "steps is 0: expected at least 1"),
        (dict(batch=1), "batch is 1: expected at least 2"),
        (dict(lr=0.0), "lr is 0.0: expected a finite number > 0"),
        (dict(head_lr=float("nan")), "head_lr is nan: expected a finite"),
        (dict(schedule="step"), "schedule is 'step': expected one of onecycle, cosine"),
    ):
        with pytest.raises(ValueError, match=message):
            Settings(**change)


def test_phases_out_of_order():
    given = dict(generator=rng(), settings=SHORT)
    with pytest.raises(ValueError, match="no group prompts: expected add_groups"):
        phases.phase_two(expert_of(tiny()), IMAGES, LABELS, **given)
    with pytest.raises(ValueError, match="has group prompts: expected none"):
        phases.phase_one(expert_of(tiny(), groups=True), IMAGES, LABELS, **given)
    with pytest.raises(ValueError, match="expert has shared: expected a head alone"):
        phases.linear_probe(expert_of(tiny()), IMAGES, LABELS, **given)
    with pytest.raises(ValueError, match="cached is True: expected False with augment"):
        phases.phase_one(
            expert_of(tiny()), IMAGES, LABELS, augment=jitter, cached=True, **given
        )
    with pytest.raises(ValueError, match=r"experts\[0\] has no group prompts"):
        run_joint(expert_of(tiny()), IMAGES, LABELS, **given)
    experts = [expert_of(tiny(), groups=True, scale=s) for s in (20.0, 5.0)]
    with pytest.raises(ValueError, match=r"scales \[20.0, 5.0\]: expected one"):
        phases.train_jointly(experts, None, IMAGES, LABELS, **given)
    with pytest.raises(ValueError, match="counts that differ"):
        phases.phase_two(
            expert_of(tiny(), groups=True), IMAGES[:4], torch.arange(4), **given
        )


def test_a_loss_that_is_not_finite_is_named():
    _, expert = start("phase_one")
    with torch.no_grad():
        expert.shared.tokens.fill_(float("inf"))
    with pytest.raises(ValueError, match=r"logits holds nan|the loss is nan at step 0"):
        phases.phase_one(expert, IMAGES, LABELS, generator=rng(), settings=SHORT)
