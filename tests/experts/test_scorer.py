"""Mixtures: means, three kinds of scorers, and what they learn."""

import math

import pytest
import torch

from tailwise.experts.scorer import (
    INPUTS,
    Scorer,
    confidences,
    fit_scorer,
    mean_logits,
    mean_probabilities,
    mix,
    summary,
)
from tailwise.experts.training import Settings

LABELS = torch.arange(5).repeat_interleave(torch.tensor([40, 20, 10, 6, 4]))
SHORT = Settings(steps=80, batch=40, lr=2e-2)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def scores_of(m=2, seed=0, size=4.0):
    """Logits of experts that are a little right, ``[m, n, 5]``."""
    noise = torch.randn(m, len(LABELS), 5, generator=rng(seed), dtype=torch.float64)
    return size * (noise + torch.nn.functional.one_hot(LABELS, 5))


def scorer_of(inputs, m=2):
    return Scorer(m, 5, generator=rng(), inputs=inputs).double()


def test_means():
    scores = scores_of(3)
    torch.testing.assert_close(mean_logits(scores), sum(scores) / 3)
    expected = sum(part.softmax(-1) for part in scores) / 3
    torch.testing.assert_close(mean_probabilities(scores), expected)
    equal = torch.full((len(LABELS), 3), 1 / 3).double()
    torch.testing.assert_close(mix(scores, equal), mean_logits(scores))
    first = torch.tensor([1.0, 0, 0]).expand(len(LABELS), -1).double()
    assert torch.equal(mix(scores, first), scores[0])


def test_inputs_by_hand():
    scores = scores_of()
    p = scores.softmax(-1)
    torch.testing.assert_close(confidences(scores)[3], torch.cat([p[0, 3], p[1, 3]]))
    expected = []
    for member in p[:, 3]:
        expected += sorted(member.tolist(), reverse=True)[:3]
        expected.append(-sum(q * math.log(q) for q in member.tolist()))
    torch.testing.assert_close(summary(scores)[3], torch.tensor(expected).double())
    # A probability that rounds to zero has no logarithm, but an entropy.
    assert summary(1e4 * scores).isfinite().all()


@pytest.mark.parametrize("inputs", INPUTS)
def test_weights_are_a_distribution_for_each_image(inputs):
    weights = scorer_of(inputs, 3)(scores_of(3))
    assert weights.shape == (len(LABELS), 3)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(LABELS)).double())
    varies = weights.std(0).max() > 1e-3
    assert varies == (inputs != "scalar")


def test_numbers_of_parameters():
    count = {i: sum(p.numel() for p in scorer_of(i).parameters()) for i in INPUTS}
    # Norm 2 w, then w 32 + 32 and 32 2 + 2, for a width w of 10 and of 8
    assert count == {"confidences": 438, "summary": 370, "scalar": 2}


@pytest.mark.parametrize("inputs", ["summary", "scalar"])
def test_permuted_classes_keep_the_weights(inputs):
    scorer, scores, order = scorer_of(inputs), scores_of(), torch.randperm(5)
    weights = scorer(scores)
    torch.testing.assert_close(scorer(scores[..., order]), weights)
    mixed = mix(scores[..., order], weights)
    torch.testing.assert_close(mixed, mix(scores, weights)[:, order])


def test_scalars_of_equal_experts_give_the_mean():
    scores = scores_of(1).repeat(3, 1, 1)
    scorer = scorer_of("scalar", 3)
    fit_scorer(scorer, scores, LABELS, generator=rng(), settings=SHORT)
    # Softmax gradients of equal experts cancel to rounding, which AdamW enlarges to at
    # most its rate; the mixture of equal experts is theirs all the same.
    torch.testing.assert_close(mix(scores, scorer(scores)), mean_logits(scores))


def test_scalars_at_the_start_give_the_mean_of_different_experts():
    scores = scores_of(3)
    mixed = mix(scores, scorer_of("scalar", 3)(scores))
    torch.testing.assert_close(mixed, mean_logits(scores))


@pytest.mark.parametrize("inputs", INPUTS)
def test_a_poor_expert_loses_weight(inputs):
    scores = scores_of()
    scores[1] = 8 * torch.randn(scores[1].shape, generator=rng(7), dtype=scores.dtype)
    scorer = scorer_of(inputs)
    before = scorer(scores)[:, 1].mean()
    losses = fit_scorer(scorer, scores, LABELS, generator=rng(), settings=SHORT)
    assert scorer(scores)[:, 1].mean() < 0.7 * before
    assert sum(losses[-5:]) < sum(losses[:5])


def test_the_scorer_listens_to_its_input():
    # Each expert is right and sure on half of the images, unsure on the others.
    scores = scores_of(size=0.2)
    sure = torch.arange(len(LABELS)) % 2
    right = torch.nn.functional.one_hot(LABELS, 5).double()
    for expert in (0, 1):
        scores[expert][sure == expert] += 2 * right[sure == expert]
    scorer = scorer_of("summary")
    fit_scorer(scorer, scores, LABELS, generator=rng(), settings=SHORT)
    weights = scorer(scores)
    assert (weights.argmax(-1) == sure).double().mean() > 0.95


def test_a_fit_follows_the_generator_and_leaves_scores_alone():
    scores = scores_of().requires_grad_()
    found = []
    for seed in (0, 0, 1):
        scorer = scorer_of("summary")
        fit_scorer(scorer, scores, LABELS, generator=rng(seed), settings=SHORT)
        found.append(scorer(scores).detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert scores.grad is None


def test_construction_follows_the_generator_alone():
    before = torch.get_rng_state()
    first, again = (scorer_of("summary").state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = Scorer(2, 5, generator=rng(1)).double().state_dict()
    assert not torch.equal(first["network.1.weight"], other["network.1.weight"])


def test_batches_are_class_balanced():
    # Expert 0 is right on the largest class alone, expert 1 on the four others.
    right = torch.nn.functional.one_hot(LABELS, 5).double()
    large = (LABELS == 0).double().unsqueeze(-1)
    scores = 4 * torch.stack([right * large, right * (1 - large)])
    scorer = scorer_of("scalar")
    fit_scorer(scorer, scores, LABELS, generator=rng(), settings=SHORT)
    # By images the halves would be even: 40 and 40.
    assert scorer(scores)[0, 1] > 0.6


def test_bad_input():
    scores = scores_of()
    made = dict(generator=rng())
    for kind, message in (
        ((2, 5, "top"), "inputs is 'top': expected one of"),
        ((0, 5, "scalar"), "n_experts is 0: expected at least 1"),
        ((2, 2, "summary"), "n_classes is 2: expected at least 3"),
    ):
        with pytest.raises(ValueError, match=message):
            Scorer(*kind[:2], inputs=kind[2], **made)
    with pytest.raises(ValueError, match="hidden is 0: expected at least 1"):
        Scorer(2, 5, hidden=0, **made)
    with pytest.raises(ValueError, match=r"has \(m, k\) = \(2, 5\): expected \(3, 5\)"):
        scorer_of("scalar", 3)(scores)
    for function in (mean_logits, mean_probabilities, scorer_of("scalar")):
        with pytest.raises(ValueError, match=r"scores is \[80, 5\]: expected \[m, n"):
            function(scores[0])
        with pytest.raises(ValueError, match="scores holds nan: expected finite"):
            function(scores.where(scores < 3, math.nan))
    for labels, message in (
        (LABELS[:9], "scores has n = 80: expected 9"),
        (LABELS + 1, "labels holds 5: expected 0 to 4"),
        (LABELS.clamp_max(3), "labels has no sample of class 4: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_scorer(scorer_of("scalar"), scores, labels, generator=rng())
