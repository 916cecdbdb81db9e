"""The field trial: honest draws, heads judged by counting, sentences that add up."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from tailwise.models import backbone
from tailwise.own import field, trial


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pieces():
    """Features of 400 good and 80 bad pieces; the bad ones lie apart."""
    g = rng(1)
    good = torch.randn(400, 6, generator=g)
    bad = torch.randn(80, 6, generator=g) + torch.tensor([1.5, 0, 0, 0, 0, 0])
    return good, bad


def test_no_piece_is_fitted_on_and_new():
    rows = field.draw_rows(400, 80, 30, seed=2)
    sizes = [len(part) for part in (rows.bad, rows.good, rows.new_bad, rows.new_good)]
    assert sizes == [30, 250, 40, 150]
    assert not set(rows.bad.tolist()) & set(rows.new_bad.tolist())
    assert not set(rows.good.tolist()) & set(rows.new_good.tolist())
    # More defects are added to the same ones, and the new pieces stay.
    more = field.draw_rows(400, 80, 40, seed=2)
    assert torch.equal(more.bad[:30], rows.bad)
    assert torch.equal(more.new_bad, rows.new_bad)


@pytest.mark.parametrize("n_defects", [0, 41])
def test_too_many_defects_are_refused(n_defects):
    with pytest.raises(ValueError, match=rf"n_defects is {n_defects}: .* 1 to 40"):
        field.draw_rows(400, 80, n_defects, seed=0)


def test_scaling_sees_only_the_pieces_to_fit_on(pieces):
    good, bad = pieces
    parts = field.draw(good, bad, 20, seed=3)
    torch.testing.assert_close(parts.X.mean(0), torch.zeros(6).double())
    torch.testing.assert_close(parts.X.std(0), torch.ones(6).double())
    rows = field.draw_rows(400, 80, 20, seed=3)
    raw = torch.cat([bad[rows.bad], good[rows.good]]).double()
    new = torch.cat([bad[rows.new_bad], good[rows.new_good]]).double()
    torch.testing.assert_close(parts.new, (new - raw.mean(0)) / raw.std(0))
    assert parts.y.tolist() == [1.0] * 20 + [-1.0] * 250
    assert parts.truth.tolist() == [1.0] * 40 + [-1.0] * 150


def test_a_feature_that_never_changes_is_nothing():
    good, bad = torch.randn(300, 3, generator=rng()), torch.randn(20, 3)
    good[:, 1] = bad[:, 1] = 4.0
    assert (field.draw(good, bad, 5, seed=0).new[:, 1] == 0).all()


def by_hand(parts, ridge):
    """Area and shares by loops over pieces, with scikit-learn's ridge."""
    X, y = parts.X.numpy(), parts.y.numpy()
    n, rare = len(y), (y > 0).sum()
    plain = Ridge(alpha=n * ridge).fit(X, y)
    weighted = Ridge(alpha=n * ridge)
    weighted.fit(X, y, sample_weight=np.where(y > 0, (n - rare) / rare, 1.0))
    left_out = [
        Ridge(alpha=n * ridge).fit(np.delete(X, i, 0), np.delete(y, i)).predict(X[[i]])
        for i in range(n)
    ]
    up, down = (np.ravel(left_out)[y == sign] for sign in (1, -1))
    s_up, s_down = up.std(ddof=1), down.std(ddof=1)
    threshold = (up.mean() * s_down + down.mean() * s_up) / (s_up + s_down)
    new, truth = parts.new.numpy(), parts.truth.numpy()
    scores = dict(zip(trial.RULES, (plain.predict(new), weighted.predict(new))))
    scores["moved threshold"] = plain.predict(new) - threshold
    a, b = (scores["plain"][truth == sign] for sign in (1, -1))
    area = np.mean([(x > b).mean() + (x == b).mean() / 2 for x in a])
    shares = [
        {k: np.mean(s[truth == sign] > 0) for k, s in scores.items()}
        for sign in (1, -1)
    ]
    return area, *shares


def test_heads_are_ridges_and_shares_are_counts(pieces):
    parts = field.draw(*pieces, 12, seed=4)
    found = field.inspect(parts, ridges=(0.1,))
    area, caught, stopped = by_hand(parts, 0.1)
    assert found.area == pytest.approx(area)
    assert found.caught == pytest.approx(caught)
    assert found.stopped == pytest.approx(stopped)


def test_the_row_space_changes_nothing(pieces):
    wide = [
        torch.cat([X, torch.randn(len(X), 400, generator=rng())], 1) for X in pieces
    ]
    parts = field.draw(*wide, 12, seed=4)
    found = field.inspect(parts, ridges=(3.0,))
    assert found.area == pytest.approx(by_hand(parts, 3.0)[0])


def test_the_sentence_adds_up():
    found = field.Found(0.9, {"plain": 0.8}, {"plain": 0.02})
    told = field.told(found, "plain", share=0.01)
    # Of 10,000 pieces 100 are bad and 80 found; 198 of 9,900 good ones are stopped.
    assert told == (
        "Of 100 defective pieces it finds 80; of 1,000 good ones it stops 20. If one "
        "piece in 100 is defective, 29 of 100 alarms are right."
    )
    nothing = field.Found(0.5, {"plain": 0.0}, {"plain": 0.0})
    assert "0 of 100 alarms" in field.told(nothing, "plain")


def test_without_the_extra_one_sentence_says_how(monkeypatch):
    monkeypatch.setattr(field, "PACKAGE", "no_such_package")
    assert not field.installed()
    with pytest.raises(ImportError, match=r"pip install 'tailwise\[field\]'"):
        field.photographs("local")
    assert "pip install 'tailwise[field]'" in trial.live()


# Fine-tuning, on a stub of the network's end


class Stub(nn.Module):
    def __init__(self):
        super().__init__()
        self._blocks = nn.ModuleList([nn.Identity()] * 15 + [nn.Conv2d(3, 4, 1)])
        self._conv_head = nn.Conv2d(4, backbone.WIDTH, 1)
        self._bn1, self._swish = nn.BatchNorm2d(backbone.WIDTH), nn.ReLU6()


@pytest.fixture
def stub(monkeypatch):
    monkeypatch.setattr(field, "N_GOOD", 30)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Stub().eval()


def test_without_an_epoch_nothing_changes(stub):
    good, bad = (torch.randn(n, 3, 2, 2, generator=rng(n)) for n in (60, 40))
    before, after = field.tuned_area(stub, good, bad, 10, seed=0, epochs=0)
    assert before == after


def test_tuning_can_use_what_the_head_cannot(stub):
    """Two channels of a bad piece agree in sign, which a linear mean does not hold."""
    with torch.no_grad():
        stub._conv_head.weight.mul_(0.05)
    g = rng(5)
    good, bad = (torch.randn(n, 3, 2, 2, generator=g) for n in (90, 80))
    bad[:, 1] = bad[:, 0] + 0.1 * bad[:, 1]
    kept = {k: v.clone() for k, v in stub.state_dict().items()}
    before, after = field.tuned_area(stub, good, bad, 40, seed=1, epochs=40)
    assert after > before
    for name, value in stub.state_dict().items():
        assert torch.equal(value, kept[name])  # the backbone itself stays


# Tables


def rows():
    shares = [{rule: s for rule in trial.RULES} for s in (0.5, 0.7, 0.1, 0.3)]
    return [
        {"kind": "local", "defects": 5, "area": 0.6, "caught": c, "stopped": s}
        for c, s in (shares[::2], shares[1::2])
    ]


def test_averages_are_over_draws():
    found = trial.averaged(rows(), "local")[5]
    assert found.caught["plain"] == pytest.approx(0.6)
    assert found.stopped["plain"] == pytest.approx(0.2)
    assert "finds 60" in trial.sentences(rows(), "local", "plain")[5]


def test_changes_of_tuning_are_paired():
    found = [
        {"kind": "local", "defects": 20, "seed": s, "before": b, "after": a}
        for s, b, a in ((0, 0.6, 0.7), (1, 0.8, 0.6))
    ]
    table = trial.tuning_table(found).loc["local", 20]
    assert table["change"] == pytest.approx(-0.05)
    assert table["largest change"] == pytest.approx(0.1)


def test_the_pilot_is_quoted_as_it_was():
    found = [
        {"kind": "local", "defects": 5, "decision": "refused", "sentence": "too few."},
        {"kind": "local", "defects": 20, "decision": "keep", "sentence": "Keep it."}
        | {"caught": {"plain": 0.25}},
        {"kind": "global", "defects": 5, "decision": "keep", "sentence": "Other."}
        | {"caught": {"plain": 1.0}},
    ]
    told = trial.pilot_sentences(found, "local")
    assert told == {5: "Refused: too few.", 20: "Keep it."}
    assert trial.caught_table(found)["plain"].tolist() == [25, 100]
