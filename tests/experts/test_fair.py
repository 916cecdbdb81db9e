"""The contest of chapter 4 is fair: what each part starts from and may read."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tailwise.data import glyphs
from tailwise.experts import choices, study
from tailwise.experts.expert import scores
from tailwise.experts.training import Settings, fit
from tailwise.training.streams import instance_balanced

TINY = Settings(steps=3, batch=16)


@pytest.fixture(scope="module")
def task() -> glyphs.Task:
    return glyphs.draw(5, n_max=24, imbalance_ratio=12, n_val=2, n_test=2)


@pytest.fixture(scope="module")
def pair() -> study.Pair:
    return study.load_pair()


@pytest.fixture(scope="module")
def split(pair, task) -> study.Split:
    rates = dict.fromkeys(study.KINDS, 1e-3)
    return study.run(pair, task, 5, rates, settings=TINY, joint=False)


@torch.no_grad()
def unit(pair, kind, images):
    return F.normalize(getattr(pair, kind)(images), dim=-1)


def test_the_language_expert_starts_at_its_names(pair, task, split):
    names = F.normalize(pair.text.encode(task.names).detach(), dim=-1)
    cosines = unit(pair, "language", task.test.images) @ names.T
    found = split.logits["language, names"]["test"]
    scale = (found * cosines).sum() / (cosines * cosines).sum()
    torch.testing.assert_close(found, scale * cosines, rtol=1e-4, atol=1e-4)


def test_the_visual_expert_starts_at_its_class_means(pair, task, split):
    embedded = unit(pair, "visual", task.train.images)
    labels = task.train.labels
    means = torch.stack([embedded[labels == k].mean(0) for k in range(60)])
    cosines = unit(pair, "visual", task.test.images) @ F.normalize(means, dim=-1).T
    found = split.logits["visual, class means"]["test"]
    scale = (found * cosines).sum() / (cosines * cosines).sum()
    torch.testing.assert_close(found, scale * cosines, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "tau"), [("probe with CE", 0.0), ("probe", 1.0)])
@pytest.mark.parametrize("kind", study.KINDS)
def test_a_probe_descends_on_the_loss_that_its_name_says(
    pair, task, split, kind, name, tau
):
    probe = pair.fresh(kind, task, 5, tokens=0, adapter=0)
    generator = study.generator_for(5, kind, "probe")
    rows = instance_balanced(task.train.labels, 16, generator=generator)
    log_prior = (task.counts / task.counts.sum()).log()

    def loss(step):
        chosen = next(rows)
        logits = probe(task.train.images[chosen]) + tau * log_prior
        return F.cross_entropy(logits, task.train.labels[chosen])

    fit((), loss, TINY, head=probe.head)
    expected = probe(task.test.images).detach()
    found = split.logits[f"{kind}, {name}"]["test"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", study.KINDS)
def test_rates_are_chosen_on_validation_images_only(pair, task, kind):
    """Labels that only the wild rate predicts, on those images, make it the choice."""
    rates = (1e-4, 1e-1)
    wild = study.tuned(pair, kind, task, 5, replace(TINY, lr=rates[1]))
    labels = scores(wild, task.val.images).argmax(-1)
    fooled = replace(task, val=replace(task.val, labels=labels))
    options = dict(settings=TINY, rates=rates)
    assert choices.choose_rates(pair, task, 5, **options)[kind] == rates[0]
    assert choices.choose_rates(pair, fooled, 5, **options)[kind] == rates[1]
    other = replace(task, test=task.val, test_unseen=task.val)
    assert choices.choose_rates(pair, other, 5, **options)[kind] == rates[0]


def test_a_scorer_never_sees_a_test_image(task, split):
    """Its weights on a test image do not depend on the others, or on their labels."""
    halved = study.Split(
        replace(task, test=replace(task.test, labels=task.test.labels.flip(0)))
    )
    for method, parts in split.logits.items():
        tests = {name: parts[name].clone() for name in study.TESTS}
        for logits in tests.values():
            logits[10:] = logits[10:].flip(0)
        halved.logits[method] = parts | tests
    study._mixtures(halved, "phase 2", 5)
    for inputs, weights in split.weights.items():
        assert torch.equal(halved.weights[inputs][:10], weights[:10])
