"""The paper's marks, and the sweep that is held against them."""

import math

import numpy as np
import pytest
import torch

from tailwise.geometry import entries, seli, sweep
from tailwise.geometry.flow import gradient_flow
from tailwise.ledger import claims

# The marks


def test_marks_have_known_panels_and_quantities():
    found = sweep.marks()
    assert set(found.figure) == {1, 3, 4, 5}
    assert set(found.panel) == {"UFM", "MLP", "ResNet"}
    assert set(found.loss) == {"wCE", "LA", "LDT", "CDT"}
    assert set(found.gamma) <= set(sweep.GAMMAS)
    assert not found.duplicated(["figure", "panel", "loss", "R", "gamma", "what"]).any()
    assert (found[found.what.str.contains("ratio")].value > 0).all()
    assert found[found.what.str.contains("cos")].value.abs().max() <= 1


def test_marks_of_two_figures_agree_where_they_show_the_same():
    """The free model has plain lengths in Figure 1, squared ones in Figure 3."""
    one = sweep.marks(figure=1).query("loss in ('LDT', 'CDT')")
    for cell in one.itertuples():
        where = dict(panel=cell.panel, loss=cell.loss, gamma=cell.gamma)
        (other,) = sweep.marks(figure=3, what="ratio2", **where).value
        value = cell.value ** (2 if cell.what == "ratio" else 1)
        assert abs(math.log(value / other)) < 0.15  # two runs, or two means


def test_unknown_columns_are_errors():
    with pytest.raises(ValueError, match="no column 'model': expected one of"):
        sweep.marks(model="UFM")


# The sweep


def test_temperatures_sum_to_the_number_of_classes():
    n = seli.step_counts(5, 5, 10, 5)
    for loss in ("LDT", "CDT"):
        for gamma in (-1.5, 0.5):
            config = sweep.config(loss, gamma, n)
            assert sum(config.delta) == pytest.approx(10)
            assert config.delta[0] / config.delta[-1] == pytest.approx(10**gamma)
            assert config.kind == loss.lower()
    assert sweep.config("wCE", 0.5, n).weight_power == 0.5
    assert sweep.config("LA", 0.5, n).tau == 0.5


def test_the_stopped_model_is_the_flow_at_the_printed_time():
    flow = sweep.stopped("CDT", 10, (-0.5, 1.0), seeds=(0, 3))
    assert flow.times.unique().tolist() == [33_000]
    n = seli.step_counts(5, 5, 10, 5)
    configs = [sweep.config("CDT", g, n, s) for g in (-0.5, 1.0) for s in (0, 3)]
    again = gradient_flow(n, configs, [33_000.0], d=20)  # with shorter steps
    torch.testing.assert_close(flow.error_w, again.error_w, rtol=0, atol=0.01)
    torch.testing.assert_close(flow.error_h, again.error_h, rtol=0, atol=0.01)
    # Twice as many images are twice as many batches an epoch.
    assert sweep.stopped("LDT", 21, (0.0,)).times.item() == pytest.approx(66_000)


@pytest.mark.parametrize("loss", ["LDT", "CDT", "wCE"])
def test_free_models_are_summed_up_by_hand(loss):
    found = sweep.of_free(loss, 10, (-0.5, 0.0, 0.5))
    flow = sweep.stopped(loss, 10, (-0.5, 0.0, 0.5))
    for i, gamma in enumerate(found.gammas):
        W, H = flow.W[i, 0], flow.H[i, 0]
        ratio = W[:5].square().sum() / W[5:].square().sum()
        torch.testing.assert_close(found.W.norm2_ratio[i], ratio)
        weight = torch.ones(10).double()
        if loss == "LDT":  # sum_c delta_c h_c is zero in the limit, of CDT sum_c h_c
            weight[5:] = 10**-gamma
        H = H - (weight[:, None] * H).sum(0) / weight.sum()
        cos = torch.cosine_similarity(H[0], H[1], 0)
        pairs = [
            torch.cosine_similarity(H[i], H[j], 0) for i in range(5) for j in range(i)
        ]
        torch.testing.assert_close(found.H.cos_major[i], torch.stack(pairs).mean())
        assert cos.isfinite()


def test_limits_of_weights_and_additive_terms_are_flat():
    for loss in ("wCE", "LA"):
        found = sweep.of_free(loss, 10, (-0.5, 0.5))
        w, _ = found.limit()
        ce, _ = seli.step_blocks(5, 5, 10, 0, "ldt")
        torch.testing.assert_close(w.norm2_ratio, ce.norm2_ratio.expand(2))
    w, _ = sweep.of_free("CDT", 10, (0.5,)).limit((0.5, 1.0))
    expected, _ = seli.step_blocks(5, 5, 10, torch.tensor([0.5, 1.0]), "cdt")
    torch.testing.assert_close(w.cos_minor, expected.cos_minor)


def test_distances_to_the_marks_are_mean_logarithms():
    for loss in ("LDT", "CDT"):
        cells = sweep.marks(figure=3, panel="UFM", loss=loss, what="ratio2")
        assert sweep.read(loss) == cells.gamma.tolist()
        exact = torch.tensor(cells.value.to_numpy())
        assert sweep.log_errors(exact, loss) == 0
        assert sweep.log_errors(exact * math.e, loss).item() == pytest.approx(1)
        seeds = sweep.by_time(loss, [1e3, 3e4], (0, 1))
        for s in (0, 1):
            flow = sweep.stopped(loss, 10, sweep.read(loss), [1e3, 3e4], (s,))
            for t in (0, 1):
                W = flow.W[:, t]
                ratio = W[:, :5].square().sum((1, 2)) / W[:, 5:].square().sum((1, 2))
                expected = np.abs(np.log(ratio.numpy() / exact.numpy())).mean()
                assert seeds[s, t].item() == pytest.approx(expected)


def test_a_ridge_that_vanishes_leaves_the_distance_of_the_limit():
    for loss in ("LDT", "CDT"):
        w, _ = seli.step_blocks(
            5, 5, 10, torch.tensor(sweep.read(loss)).double(), loss.lower()
        )
        limit = sweep.log_errors(w.norm2_ratio, loss).item()
        small = sweep.by_ridge(loss, [1e-80, 1e-160])
        assert abs(small[1] - limit) < abs(small[0] - limit) < 0.1


def test_the_table_of_differences_is_of_logarithms_and_cosines():
    gammas = (-0.5, 0.0, 0.5, 1.0)
    free = [sweep.of_free(loss, 10, gammas) for loss in ("LDT", "wCE")]
    found = sweep.differences(free, [])
    assert list(found.index) == [
        "Figure 1, UFM, LDT",
        "Figure 1, UFM, wCE",
        "Figure 3, UFM, LDT",
    ]
    cells = sweep.marks(figure=3, panel="UFM", loss="LDT", what="ratio2")
    cells = cells[cells.gamma.isin(gammas)]
    limit, _ = seli.step_blocks(5, 5, 10, torch.tensor(cells.gamma.values), "ldt")
    row = found.loc["Figure 3, UFM, LDT", "log ratio²"]
    logs = np.log(cells.value.values / limit.norm2_ratio.numpy())
    own = free[0].W.norm2_ratio.log() - limit.norm2_ratio.log()
    assert row["paper"] == pytest.approx(np.abs(logs).mean())
    assert row["ours"] == pytest.approx(own.abs().mean().item())
    assert row["apart"] == pytest.approx(np.abs(logs - own.numpy()).mean())
    cosine = found.loc["Figure 3, UFM, LDT", "cosine"]
    expected = np.abs(np.array([-0.129, -0.087, -0.112]) + 1 / 9).mean()
    assert cosine["paper"] == pytest.approx(expected)


# What is entered


def assert_parts(found):
    stated = claims.load("ch5").claims
    for claim, parts in found.items():
        assert set(parts) == set(stated[claim].parts or ("",)), claim
        for e in parts.values():
            assert (e.n == 1) == stated[claim].exact
            assert math.isfinite(e.mean)


def test_statements_without_training_hold_in_every_part():
    found = entries.statements()
    assert_parts(found)
    stated = claims.load("ch5").claims
    for claim, parts in found.items():
        for e in parts.values():
            measured = claims.Measurement(e.mean)
            assert claims.distance(stated[claim], measured) >= 0, claim


def test_entries_of_the_free_model_fit_the_claims():
    assert_parts(entries.trained_limits(range(2), steps=50))
    assert_parts(entries.collapse())
    found = entries.stopped(range(2))
    assert_parts(found)
    for loss in ("LDT", "CDT"):
        far = sweep.by_ridge(loss, [5e-4]).item()
        near = sweep.by_time(loss, None, (0, 1))[:, 0].mean().item()
        assert found["ch5.ufm_marks"][loss].mean == pytest.approx(far - near)
