"""The training loop: what it minimises, that seeds decide it, and what it refuses."""

import pytest
import torch
from torch import nn

from tailwise.training import loop


def train(*, epochs=20, inputs=None, targets=None, **options):
    g = torch.Generator().manual_seed(0)
    X = torch.randn(64, 2, generator=g) if inputs is None else inputs
    y = (X[:, 0] > 0).long() if targets is None else targets
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
    history = loop.train(model, X, y, epochs=epochs, generator=g, lr=0.1, **options)
    return model, history


def test_training_lowers_the_loss_and_ends_in_eval_mode():
    model, history = train(batch_size=10)
    assert len(history) == 20
    assert history[-1] < history[0] / 2
    assert not model.training


def test_a_custom_loss_is_minimised():
    calls = []

    def loss(logits, y):
        calls.append(len(y))
        return (logits - y[:, None]).square().mean()

    _, history = train(loss=loss)
    assert calls == [64] * 20
    assert history[-1] < history[0]


def test_training_is_a_function_of_its_seeds():
    assert train()[1] == train()[1]


def test_bad_training_data_is_named():
    with pytest.raises(ValueError, match="64 inputs but 3 targets"):
        train(targets=torch.zeros(3).long())
    with pytest.raises(ValueError, match="loss is not finite in epoch 1"):
        train(inputs=torch.full((64, 2), torch.nan))
    with pytest.raises(ValueError, match="loss is not finite in epoch 1"):
        train(loss=lambda logits, y: logits.square().sum() * torch.inf)


def test_features_are_extracted_in_batches():
    X = torch.randn(1200, 3, generator=torch.Generator().manual_seed(0))
    sizes = []

    def features(rows):
        sizes.append(len(rows))
        return 2 * rows

    found = loop.extract(features, X)
    assert torch.equal(found, 2 * X.double())
    assert sizes == [500, 500, 200]
