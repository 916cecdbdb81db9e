"""The contest of chapter 4 is fair: what each part starts from and may read."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from tailwise.data import glyphs
from tailwise.data.glyph_corruption import jitter
from tailwise.experts import choices, contest, mixing, reports, study
from tailwise.experts.contest import Bench, Terms
from tailwise.experts.expert import scores
from tailwise.experts.mechanisms import Repetition
from tailwise.experts.training import Settings, fit
from tailwise.training.batches import instance_balanced

TINY = Terms(steps=3, views=2)


@pytest.fixture(scope="module")
def task() -> glyphs.Task:
    sizes = dict(n_max=4, imbalance_ratio=2, n_val=2, n_test=2)
    return glyphs.draw(5, crowd=True, **sizes)


@pytest.fixture(scope="module")
def pair() -> study.Pair:
    return study.load_pair()


@pytest.fixture
def bench(pair, task):
    return lambda kind, **given: Bench(
        pair, kind, given.get("task", task), 5, given.get("terms", TINY)
    )


def test_shipped_pairs_have_different_experts():
    pairs = [study.load_pair(number) for number in range(reports.N_PAIRS)]
    first = [
        tuple(getattr(pair, kind).cls[0, 0, 0].item() for kind in study.KINDS)
        for pair in pairs
    ]
    assert len(set(first)) == reports.N_PAIRS > 1


@torch.no_grad()
def unit(pair, kind, images):
    return F.normalize(getattr(pair, kind)(images), dim=-1)


def test_the_language_expert_starts_at_its_names(pair, task, bench):
    names = F.normalize(pair.text.encode(task.names).detach(), dim=-1)
    expected = 20 * unit(pair, "language", task.test.images) @ names.T
    found = scores(bench("language").start(), task.test.images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_visual_expert_starts_at_its_class_means(pair, task, bench):
    embedded = unit(pair, "visual", task.train.images)
    labels = task.train.labels
    means = torch.stack([embedded[labels == k].mean(0) for k in range(60)])
    expected = (
        20 * unit(pair, "visual", task.test.images) @ F.normalize(means, dim=-1).T
    )
    found = scores(bench("visual").start(), task.test.images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_unknown_heads_are_refused(pair, task):
    for kind, head in (("visual", "text"), ("language", "zeros")):
        with pytest.raises(ValueError, match=f"head is '{head}' for {kind}"):
            pair.fresh(kind, task, 0, head=head)


@pytest.mark.parametrize("tau", [0.0, 1.0])
@pytest.mark.parametrize("kind", study.KINDS)
def test_a_probe_descends_on_the_loss_that_it_was_asked_for(
    pair, task, bench, kind, tau
):
    one = bench(kind)
    found = one.probe(tau=tau)
    views = contest.seen_anew(task.train.images, TINY.views, one.generator("views"))
    with torch.no_grad():
        seen = getattr(pair, kind)(views)
    labels = task.train.labels.repeat(TINY.views)
    head, log_prior = one.start().head, (task.counts / task.counts.sum()).log()
    rows = instance_balanced(labels, 128, generator=one.generator("train"))

    def loss(step):
        chosen = next(rows)
        logits = head(seen[chosen]) + tau * log_prior
        return F.cross_entropy(logits, labels[chosen])

    fit((), loss, Settings(steps=3, lr=TINY.rates["probe"]), head=head)
    torch.testing.assert_close(found.head.weight, head.weight, rtol=1e-3, atol=1e-4)


def test_every_way_reads_as_many_augmented_pictures(monkeypatch, bench):
    seen = []

    def watched(images, generator):
        seen.append(jitter(images, generator))
        return seen[-1]

    monkeypatch.setattr(contest, "jitter", watched)
    one = bench("visual")
    first = one.parts()
    for make in (one.parts, one.full, lambda: one.second(first, pool=0)):
        seen.clear()
        make()
        assert [len(batch) for batch in seen] == [128] * TINY.steps
        assert all(not torch.equal(a, b) for a, b in pairwise(seen))


@pytest.mark.parametrize("kind", study.KINDS)
def test_rates_are_chosen_on_validation_images_only(pair, task, kind):
    """Labels that only the wild rate predicts, on those images, make it the choice."""
    rates, options = (1e-4, 1e-1), dict(terms=TINY)
    wild = replace(TINY, rates=dict(TINY.rates) | {"full": rates[1]})
    wild = Bench(pair, kind, task, 5, wild).full()
    labels = scores(wild, task.val.images).argmax(-1)
    fooled = replace(task, val=replace(task.val, labels=labels))
    other = replace(task, test=task.val, test_unseen=task.val)
    for given, best in ((task, 0), (fooled, 1), (other, 0)):
        rows = choices.tried(pair, kind, given, 5, "full", rates=rates, **options)
        assert choices.chosen(rows) == {"full": rates[best]}


def test_the_chosen_rate_is_the_best_in_the_mean_of_all_rows():
    rows = [
        dict(way="full", rate=rate, accuracy=accuracy)
        for rate, accuracy in ((1, 0.9), (1, 0.1), (2, 0.6), (2, 0.5), (3, 0.2))
    ]
    assert choices.chosen(rows) == {"full": 2.0}


def test_no_reported_letter_is_one_that_settings_were_chosen_on():
    parts = [set(glyphs.names(split)) for split in glyphs.SPLITS]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


@pytest.fixture
def repetition(monkeypatch, pair, task) -> Repetition:
    monkeypatch.setattr(glyphs, "draw", lambda seed, **settings: task)
    return Repetition(5, (0, 0), lambda seed: pair, Terms(steps=1))


def test_a_scorer_never_sees_a_test_image(monkeypatch, repetition, task):
    """What it may be fitted on stays as it is when test images and labels change."""
    experts = [repetition.trained("phase 1", kind) for kind in study.KINDS]
    monkeypatch.setattr(mixing, "cross_fitted", lambda rep: torch.zeros(2, 1, 60))
    found = mixing.fitted_on(repetition, experts)
    part = replace(task.test, images=task.val.images.flip(0), labels=task.test.labels)
    changed = replace(task, test=part, test_unseen=part)
    monkeypatch.setattr(glyphs, "draw", lambda seed, **settings: changed)
    repetition._kept = {k: v for k, v in repetition._kept.items() if k[0] != "task"}
    again = mixing.fitted_on(repetition, experts)
    sizes = {"training": 1, "views": mixing.VIEWS}
    for source, (seen, labels) in found.items():
        assert torch.equal(seen, again[source][0])
        assert torch.equal(labels, again[source][1])
        if source in sizes:
            assert seen.shape[1] == sizes[source] * len(task.train.labels)


def test_cross_fitted_scores_are_of_experts_that_did_not_see_the_picture(
    monkeypatch, repetition, task
):
    """An expert that answers with the labels that it was trained on knows no other."""
    trained = []

    class Told:
        def __init__(self, pair, kind, task, seed, terms):
            self.task = task

        def parts(self):
            trained.append(self.task)
            return self

        backbone = type("backbone", (), dict(like=torch.zeros(1)))

    monkeypatch.setattr("tailwise.experts.mechanisms.Bench", Told)
    monkeypatch.setattr(
        mixing,
        "scores",
        lambda expert, images: torch.stack(
            [
                torch.full(
                    (60,),
                    float((expert.task.train.images == image).all((1, 2, 3)).any()),
                )
                for image in images
            ]
        ),
    )
    found = mixing.cross_fitted(repetition)
    assert found.shape == (2, len(task.train.labels), 60)
    assert not found.any()
    assert len(trained) == 2 * mixing.FOLDS
    for part in trained:
        assert part.train.labels.unique().tolist() == list(range(60))
