"""Lines in the plane: what they are measured by, and lines made by hand."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from tailwise.data import corruption
from tailwise.metrics import estimate
from tailwise.softad import Method, ensemble, plane

train = ensemble.train
TOY = [
    Method("ERM"),
    Method("CVaR", "cvar", {"quantile": 0.9}),
    Method("SoftAD", "softad", {"tau": 0.4}),
    Method("group DRO", ascent="groupdro"),
]


@pytest.fixture(scope="module")
def toy():
    """Lines for a fifth of hard points, the ensemble behind them and its groups."""
    trained, groups = [], []

    def kept(*args, **settings):
        trained.append(train(*args, **settings))
        groups.append(settings["group"])
        return trained[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "train", kept)
        return plane.run_toy(0.2, 2, TOY), trained[0], groups[0]


def test_accuracy_is_that_of_easy_and_hard_points_by_their_shares(toy):
    toy, *_ = toy
    assert toy.accuracy.shape == toy.easy.shape == toy.hard.shape == (2, len(TOY))
    np.testing.assert_allclose(toy.accuracy, 0.8 * toy.easy + 0.2 * toy.hard)
    assert (toy.easy != toy.hard).all()


def test_the_lines_of_the_first_seed_classify_as_its_members(toy):
    toy, trained, _ = toy
    assert toy.X.shape == (500, 2)
    assert toy.is_hard.sum() == 100
    predicted = trained.logits(toy.X[None].expand(2, -1, -1)).argmax(-1)[0]
    for k in range(len(TOY)):
        scores = toy.X.numpy() @ toy.coef[k] + toy.intercept[k]
        np.testing.assert_array_equal(scores > 0, predicted[k] == 1)
    along = np.degrees(np.arctan2(toy.coef[:, 1], toy.coef[:, 0]))
    np.testing.assert_allclose(toy.angle[0], along, rtol=1e-5)


def test_more_seeds_leave_the_first_ones_alone(toy):
    toy, *_ = toy
    more = plane.run_toy(0.2, 3, TOY)
    for field in fields(plane.Toy):
        one, other = getattr(toy, field.name), getattr(more, field.name)
        if field.name == "labels":
            assert one == other == tuple(method.label for method in TOY)
        elif len(other) == 3:
            np.testing.assert_allclose(one, other[:2], rtol=1e-4, err_msg=field.name)
            assert (other[2] != other[0]).any(), field.name
        else:
            np.testing.assert_allclose(one, other, rtol=1e-4, err_msg=field.name)


def test_groups_are_the_easy_and_the_hard_points(toy):
    toy, _, group = toy
    assert group.shape == (2, 500)
    assert torch.equal(group[0] == 1, toy.is_hard)
    assert torch.equal(group[0] == 0, ~toy.is_hard)


def test_the_first_seed_is_a_draw_of_its_own(toy):
    X, y, hard = corruption.rotated_gaussians(
        0.2, 500, generator=torch.Generator().manual_seed(0)
    )
    for found, expected in zip((toy[0].X, toy[0].y, toy[0].is_hard), (X, y, hard)):
        assert torch.equal(found, expected)


def test_lines_made_by_hand_are_measured_on_new_points(monkeypatch):
    angles, shift = torch.tensor([0.0, 30, 75, -150, 180]), 0.25
    rad = torch.deg2rad(angles)
    coef = 2 * torch.stack([rad.cos(), rad.sin()], -1)
    offset = torch.tensor([shift, shift, shift, -shift, -shift])
    methods = [Method(str(k)) for k in range(5)]

    def by_hand(*args, **settings):
        trained = train(*args, **{**settings, "epochs": 1})
        # The half of a score on each class, and something that they share.
        weight = torch.stack([-coef / 2, coef / 2], 1) + 7
        bias = torch.stack([-offset / 2, offset / 2], 1) - 3
        made = [value.expand(3, *value.shape) for value in (weight, bias)]
        return replace(trained, params=dict(zip(trained.params, made)))

    monkeypatch.setattr(ensemble, "train", by_hand)
    toy = plane.run_toy(0.3, 3, methods)
    np.testing.assert_allclose(toy.coef, coef, atol=1e-5)
    np.testing.assert_allclose(toy.intercept, offset, atol=1e-6)
    np.testing.assert_allclose(toy.angle, angles.expand(3, 5), atol=1e-3)
    # The opposite line swaps all classes: 1 and 3, 0 and 4.
    for name in ("accuracy", "easy", "hard"):
        found = getattr(toy, name)
        np.testing.assert_allclose(found[:, [0, 1]], 1 - found[:, [4, 3]])
    assert (toy.easy.argmax(1) == 0).all()
    assert (toy.hard.argmax(1) == 2).all()
    for s in range(3):
        g = torch.Generator().manual_seed(10_000 + s)
        X, y, hard = corruption.rotated_gaussians(0.3, 4000, generator=g)
        right = ((X @ coef.T + offset > 0).T == y).double()
        # A point on a line may fall to either side of it.
        for name, rows in (("accuracy", hard | ~hard), ("easy", ~hard), ("hard", hard)):
            found = getattr(toy, name)[s]
            np.testing.assert_allclose(found, right[:, rows].mean(-1), atol=1e-3)


def test_a_table_of_lines_has_a_column_for_each_share_and_difficulty(toy):
    one, *_ = toy
    other = replace(one, easy=one.easy / 2, hard=one.hard / 2)
    found = plane.toy_table({0.03: one, 0.4: other})
    assert list(found.index) == list(one.labels)
    for share, lines in (("3%", one), ("40%", other)):
        for name in ("easy", "hard"):
            shown = found[f"{name} {share}"].astype(float)
            np.testing.assert_allclose(shown, getattr(lines, name).mean(0), atol=5.1e-4)
    assert found.shape == (len(TOY), 4)


def test_differences_between_lines_are_paired(toy):
    toy, *_ = toy
    for number in ("angle", "accuracy", "hard"):
        column = dict(zip(toy.labels, getattr(toy, number).T))
        found = toy.difference("CVaR", number)
        assert found == estimate(column["CVaR"] - column["ERM"])
        assert toy.difference("ERM", number, "CVaR").mean == -found.mean
        other = toy.difference("group DRO", number, "CVaR")
        assert other == estimate(column["group DRO"] - column["CVaR"])
