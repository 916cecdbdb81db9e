"""Ways to train: single steps against their definitions, and the choice of a rate."""

from dataclasses import replace

import pytest
import torch

from tailwise.geometry import race, seli
from tailwise.geometry.ufm import Config, Descent, Loss, start, train_ufm

SETTINGS = ((10, "ldt", 0.0), (3, "cdt", 0.5))


def test_polar_makes_singular_values_one():
    g = torch.Generator().manual_seed(0)
    M = torch.randn(3, 4, 7, generator=g, dtype=torch.float64)
    U, _, Vh = torch.linalg.svd(M, full_matrices=False)
    torch.testing.assert_close(race.polar(M, 40), U @ Vh)
    s = torch.linalg.svdvals(race.polar(M))
    assert (s - 1).abs().max() < 0.05
    # Of a matrix without full rank the rest stays zero, and nothing is lost at zero.
    low = M[:, :, :2] @ M[:, :2]
    assert torch.linalg.matrix_rank(race.polar(low), rtol=1e-6).tolist() == [2] * 3
    assert race.polar(torch.zeros(1, 3, 3).double()).isfinite().all()


def slope(config, theta, n):
    """Gradient of the mean loss by autograd, [2, k, d]."""
    theta = theta.clone().requires_grad_()
    W, H = theta[0], theta[1] / n.sqrt().unsqueeze(-1)
    delta = (n / n.max()) ** config.gamma
    z = H @ W.T * (delta.unsqueeze(-1) if config.kind == "ldt" else delta)
    loss = torch.nn.functional.cross_entropy(z, torch.arange(len(n)), reduction="none")
    (found,) = torch.autograd.grad((loss * n).sum() / n.sum(), theta)
    return found


@pytest.mark.parametrize("method", race.METHODS)
def test_steps_are_what_they_are_called(method):
    n = torch.tensor([[9.0, 9, 2, 2]] * 2).double()
    scaled = method in ("normalised", "spectral")
    configs = [replace(Config(k, g), normalised=scaled) for _, k, g in SETTINGS]
    descent = Descent(Loss(n, configs), start(configs, 4, 6, n), configs)
    velocity = torch.zeros_like(descent.theta)
    before = torch.zeros_like(descent.theta)
    for _ in range(3):
        true = torch.stack(
            [slope(c, theta, n[0]) for c, theta in zip(configs, descent.theta)]
        )
        step = race.steps_of(method, descent, velocity).clone()
        length = true.flatten(1).norm(dim=-1).view(-1, 1, 1, 1)
        if method == "gradient descent":
            expected = true
        elif method == "momentum":
            before = 0.9 * before + true
            expected = before
        elif method == "normalised":
            expected = true / length
        else:
            expected = race.polar(true) / 8**0.5
        torch.testing.assert_close(step, expected, rtol=1e-6, atol=1e-9)
        descent.theta.sub_(step, alpha=0.2)


def test_normalised_steps_are_those_of_the_model():
    found = race.race("normalised", [5, 0, 1], settings=SETTINGS, steps=60, checks=3)
    n = torch.stack([seli.step_counts(5, 5, R, 5) for R, *_ in SETTINGS])
    for i, (_, kind, gamma) in enumerate(SETTINGS):
        configs = [Config(kind, gamma, lr=found.rate, seed=s) for s in (0, 1)]
        trained = train_ufm(n[i], configs, d=20, steps=60, checks=3)
        torch.testing.assert_close(found.error_w[i], trained.error_w)
    assert found.steps.tolist() == trained.steps.tolist()


def test_the_rate_is_chosen_on_the_first_start_alone(monkeypatch):
    seen = []

    def errors(method, settings, rates, seeds, stops):
        seen.append((rates, list(seeds)))
        values = torch.tensor([0.5, 0.1, 0.3, 0.7])[: len(rates)]
        return values.view(1, -1, 1, 1).expand(
            len(settings), -1, len(seeds), len(stops)
        )

    monkeypatch.setattr(race, "_errors", errors)
    found = race.race("momentum", [9, 1, 2], settings=SETTINGS, steps=10)
    rates = race.METHODS["momentum"]
    assert found.rate == rates[1]
    assert seen == [(rates, [9]), ((rates[1],), [1, 2])]
    assert found.error_w.shape == (2, 2, len(found.steps))


def test_steps_to_a_distance():
    error = torch.tensor([[[0.9, 0.04, 0.06, 0.01], [0.9, 0.8, 0.7, 0.6]]])
    found = race.Race(
        method="momentum",
        settings=SETTINGS[:1],
        rate=1.0,
        steps=torch.tensor([1, 5, 20, 90]),
        error_w=error,
        ms=12.3,
    )
    assert found.steps_to(0.05).tolist() == [[5, torch.inf]]
    assert found.steps_to(0.65).tolist() == [[5, 90]]
    shown = race.table({"momentum": found})
    assert shown["momentum"].tolist() == ["5", "1", "12"]
    assert list(shown.index)[0] == "CE, R = 10"
    never = race.table({"momentum": replace(found, error_w=error[:, 1:])})
    assert never["momentum"].iloc[0] == "> 90"


@pytest.mark.parametrize(("method", "seeds"), [("adam", [0, 1]), ("momentum", [0])])
def test_bad_input(method, seeds):
    with pytest.raises(ValueError, match="expected one of gradient descent, momentum"):
        race.race(method, seeds)
