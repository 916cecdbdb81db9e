"""SoftAD: its soft absolute value, where its slope changes sign, its level's guard."""

import math
import warnings

import pytest
import torch

from tailwise.methods import softad

EXACT = dict(rtol=0, atol=1e-14)


def same(found, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=found.dtype)
    torch.testing.assert_close(found, expected, **tolerance)


def test_rho_and_its_slope():
    x = torch.linspace(-30, 30, 601).double()
    # The difference rounds at the size of the root, 30.
    same(softad.rho(x), (1 + x**2).sqrt() - 1, rtol=0, atol=1e-14)
    same(softad.rho_slope(x), x / (1 + x**2).sqrt(), **EXACT)
    same(softad.rho(x), softad.rho(-x), **EXACT)


def test_rho_far_out_and_near_zero():
    huge, small = torch.tensor([3e30, -3e30]), torch.tensor([1e-6, -1e-6])
    same(softad.rho_slope(huge), [1.0, -1.0])
    same(softad.rho(huge), [3e30, 3e30], rtol=1e-6, atol=0)
    same(softad.rho(small), [5e-13, 5e-13], rtol=1e-6, atol=0)


def test_losses_below_the_level_are_climbed_and_those_above_descended():
    losses = torch.tensor([0.1, 0.4, 0.5, 0.6, 3.0]).double().requires_grad_()
    values, weights = softad.held(softad.each)(losses, torch.tensor(0.5).double())
    (slope,) = torch.autograd.grad(values.mean(), losses)
    assert slope.sign().tolist() == [-1, -1, 0, 1, 1]
    for loss, found in zip(losses.tolist(), slope.tolist()):
        by_hand = (loss - 0.5) / math.sqrt(1 + (loss - 0.5) ** 2) / len(losses)
        assert found == pytest.approx(by_hand, abs=1e-15)
    same(weights, slope, **EXACT)


@pytest.mark.parametrize("tau", [math.log(10), 2.4, torch.tensor([0.1, 5.0])])
def test_a_level_above_a_guess_warns(tau):
    with pytest.warns(UserWarning, match=r"ln 10 = 2\.303.*anti-classifier") as found:
        softad.check_level(tau, 10)
    assert found[0].filename == __file__


@pytest.mark.parametrize("tau", [-1.0, 0.4, 2.302, torch.tensor([0.1, 2.3])])
def test_a_level_below_a_guess_is_silent(tau):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        softad.check_level(tau, 10)
