"""Chapter 1's sweeps: their summaries are what their definitions say."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tiny_rules import RULES, compared

from tailwise.ledger import claims
from tailwise.methods.optimal_weight import class_errors, equal_error_ratio
from tailwise.methods.weighted import WeightedHead, effective_ratio
from tailwise.metrics import Estimate, bootstrap
from tailwise.profiles import current
from tailwise.weighting import simulation, study
from tailwise.weighting.images import FrozenPair


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def shown(estimate: Estimate, form: str) -> str:
    return f"{estimate.mean:{form}} ± {estimate.stderr:{form}}"


# Simulated settings


def test_the_worst_class_error_is_the_larger_mean_error():
    # Each data set's own larger error is 0.4, but both classes err 0.3 on average.
    a = np.array([[0.2, 0.4], [0.4, 0.2]] * 10)
    b = np.full((20, 2), 0.1)
    assert study.worst_difference(a, b).mean == pytest.approx(0.2)
    assert study.worst_difference(torch.from_numpy(a), b).n == 20


def test_a_difference_to_itself_is_exactly_nothing():
    a = np.random.default_rng(0).random((20, 2))
    found = study.worst_difference(a, a)
    assert (found.mean, found.stderr) == (0, 0)


def test_the_bootstrap_error_of_a_mean_is_the_standard_error():
    x = np.random.default_rng(0).standard_normal(400)
    found = bootstrap(np.mean, x, n_boot=2000)
    # The bootstrap's own relative error is 1 / sqrt(2 n_boot) = 1.6 %; five of them.
    assert found.stderr == pytest.approx(x.std() / 20, rel=0.08)


def test_pooling_independent_values():
    found = study.pooled([-1.0, 1.0, 1.0, 1.0], [0.2] * 4)
    assert (found.mean, found.stderr) == pytest.approx((1.0, 0.1))


def test_named_ratios_are_rows_of_the_same_simulation():
    setting = study.Setting(delta=0.2, prior=0.2, snr=1.0)
    run = study.run_setting(
        setting,
        d=10,
        n_sets=4,
        grid=torch.tensor([1.0, 4.0, 7.0], dtype=torch.float64),
        generator=torch.Generator().manual_seed(0),
    )
    for name, column in (("one", 0), ("priors", 1), ("equal", 2)):
        np.testing.assert_allclose(
            run.minority[name], run.minority["grid"][:, column], rtol=1e-6
        )
    assert run.saving("one", "one").mean == 0
    assert not study.Setting(0.5, 0.2, 1.0).balances


GRID = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
BALANCED, FAR = study.Setting(0.2, 0.2, 1.5), study.Setting(0.5, 0.2, 1.0)


def noisy(setting, seed, n_sets=8):
    """Errors that scatter about those of the theory; no simulation."""
    g = np.random.default_rng(seed)
    named = {"one": 1.0, "priors": 4.0, "equal": 1e3, "best": 3.0}
    if setting.balances:
        named["equal"] = equal_error_ratio(setting.prior, setting.delta)
    world = setting.prior, setting.delta, setting.snr
    kept = []
    for k in range(2):
        exact = {name: class_errors(r, *world)[k] for name, r in named.items()}
        exact["grid"] = np.array([class_errors(r, *world)[k] for r in GRID])
        noise = {
            name: 0.01 * g.normal(size=(n_sets, *np.shape(e)))
            for name, e in exact.items()
        }
        kept.append({name: e + noise[name] for name, e in exact.items()})
    return study.SettingRun(
        setting=setting, named=named, grid=GRID, minority=kept[0], majority=kept[1]
    )


def test_savings_and_quotients_compare_the_same_worst_errors():
    run = noisy(BALANCED, 0)
    worst = {
        name: max(run.minority[name].mean(), run.majority[name].mean())
        for name in run.named
    }
    assert run.saving("equal", "one").mean == pytest.approx(
        worst["one"] - worst["equal"]
    )
    found = run.log_quotient("equal", "one")
    assert found.mean == pytest.approx(np.log(worst["equal"] / worst["one"]))
    assert found.mean == pytest.approx(-run.log_quotient("one", "equal").mean)
    assert run.log_quotient("best", "best").mean == 0
    # For so small a scatter, the error of a logarithm is the relative one.
    both = run.saving("equal", "one")
    assert 0.5 < found.stderr * worst["one"] / both.stderr < 2
    np.testing.assert_array_equal(run.errors("one")[:, 0], run.minority["one"])
    np.testing.assert_array_equal(run.errors("one")[:, 1], run.majority["one"])


def test_curves_cross_where_their_means_do():
    run = noisy(BALANCED, 1)
    gap = (run.minority["grid"] - run.majority["grid"]).mean(0)
    k = int(np.flatnonzero((gap[:-1] > 0) & (gap[1:] <= 0))[0])
    share = gap[k] / (gap[k] - gap[k + 1])
    found, stderr = run.crossing()
    assert found == pytest.approx(GRID[k] * (GRID[k + 1] / GRID[k]) ** share)
    assert 0 < stderr < found


def test_agreement_is_a_loop_over_settings_ratios_and_classes():
    runs = [noisy(BALANCED, 0), noisy(FAR, 1), noisy(study.Setting(0.1, 0.3, 2.0), 2)]
    found = study.agreement(runs)
    means, squares, largest, logs, log_squares = [], 0, 0, [], 0
    for run in runs:
        s, gaps, errors = run.setting, [], []
        for name in ("one", "priors", "equal"):
            exact = class_errors(run.named[name], s.prior, s.delta, s.snr)
            for values, e in zip((run.minority, run.majority), exact):
                gaps.append(abs(values[name].mean() - e))
                errors.append(values[name].std(ddof=1) / np.sqrt(8))
        largest = max(largest, *gaps)
        means.append(np.mean(gaps))
        # The six of a setting are from the same data sets: one error, their mean.
        squares += np.mean(errors) ** 2
        if s.balances:
            cross, se = run.crossing()
            logs.append(abs(np.log(cross / run.named["equal"])))
            log_squares += (se / cross) ** 2
    assert found.largest_gap == pytest.approx(largest)
    assert found.error_gap.mean == pytest.approx(np.mean(means))
    assert found.error_gap.stderr == pytest.approx(np.sqrt(squares) / 3)
    assert found.log_crossing_gap.n == len(logs) == 2
    assert found.log_crossing_gap.mean == pytest.approx(np.mean(logs))
    assert found.log_crossing_gap.stderr == pytest.approx(np.sqrt(log_squares) / 2)


def test_the_table_of_agreement_has_a_row_a_setting():
    runs = [noisy(BALANCED, 0), noisy(FAR, 1)]
    table = study.agreement(runs).table
    for run, (index, row) in zip(runs, table.iterrows(), strict=True):
        s = run.setting
        assert index == (s.delta, s.prior, s.snr)
        worst = {
            name: f"{max(class_errors(r, s.prior, s.delta, s.snr)):.3f}"
            for name, r in run.named.items()
        }
        assert row["error at 1"] == worst["one"]
        assert (row["priors"], row["best"]) == (worst["priors"], worst["best"])
        assert row["best ratio"] == "3.00"
        if s.balances:
            cross, se = run.crossing()
            assert row["predicted"] == f"{run.named['equal']:.2f}"
            assert row["simulated ± s.e."] == f"{cross:.2f} ± {se:.2f}"
            assert row["equal"] == worst["equal"]
        else:
            assert (row["predicted"], row["simulated ± s.e."], row["equal"]) == (
                "none",
                "none",
                "–",
            )


def test_without_a_spectrum_the_ambient_rule_is_the_theory_and_equalises():
    world = study.RidgeWorld(d=20, n=200, ridge=1e-6, decay=0.0)
    grid = torch.linspace(3.0, 6.0, 7, dtype=torch.float64)
    run = study.run_ridge_world(world, n_sets=1000, grid=grid, generator=rng())
    assert str(world) == "d 20, n 200, ridge 1e-06, flat"
    assert str(study.RidgeWorld(6, 9, 0.1, 0.5)) == "d 6, n 9, ridge 0.1, decay 0.5"
    predicted = equal_error_ratio(0.2, 0.1)
    assert (run.ratios["unweighted"], run.ratios["priors"]) == (1, pytest.approx(4))
    assert run.ratios["ambient d"] == pytest.approx(predicted)
    # Four standard errors, which are small beside the step from one rule to another.
    assert abs(run.crossing - predicted) < 4 * run.stderr < 0.4
    off = np.log(predicted) - np.log(run.crossing)
    assert run.off("ambient d") == pytest.approx(off)


def test_a_ridge_world_has_noise_that_decays():
    world = study.RidgeWorld(d=12, n=80, ridge=0.5, decay=1.0)
    grid = torch.linspace(2.0, 9.0, 15, dtype=torch.float64)
    run = study.run_ridge_world(world, n_sets=6, grid=grid, generator=rng(1))
    kind = dict(n=80, d=12, prior=0.2, snr=1.5, generator=rng(1))
    kind["spectrum"] = torch.tensor([1 / j for j in range(1, 13)])
    rare, common = simulation.simulate(grid, n_sets=6, ridge=0.5, **kind)
    cross, se = simulation.bootstrap_crossing(grid, rare - common)
    assert (run.crossing, run.stderr) == pytest.approx((cross, se))
    X = simulation.draw(8, **kind).X
    y = torch.tensor([[1.0] * 16 + [-1.0] * 64]).double()
    each = [effective_ratio(part, y, 0.5).item() for part in X.split(1)]
    assert run.ratios["effective dof"] == pytest.approx(np.mean(each))


def test_a_rule_is_scored_where_it_is_defined():
    world = study.RidgeWorld(6, 9, 0.1, 0.5)
    runs = [
        study.RidgeRun(
            world, 4.0, 0.1, {"unweighted": 1.0, "priors": 4.0, "noise": 8.0}
        ),
        study.RidgeRun(
            world, 2.0, 0.1, {"unweighted": 1.0, "priors": 4.0, "noise": np.nan}
        ),
    ]
    found = study.rule_scores(runs)
    assert found["rule"].tolist() == ["priors", "noise"]  # the first is no rule
    logs = [np.log(2) / 2, np.log(2)]
    assert found["mean |log off|"].tolist() == [f"{x:.2f}" for x in logs]
    assert found["defined in"].tolist() == [2, 1]


# Other losses, more classes


def test_logistic_heads_cross_where_scikit_learns_do():
    kind = dict(n=60, d=3, prior=0.2, snr=1.0)
    grid = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64)
    found = study.logistic_crossing(grid, n_sets=4, generator=rng(), **kind)
    g, gaps = rng(), []
    for _ in range(4):
        one = simulation.draw(1, generator=g, **kind)
        X, y = one.X[0].numpy(), one.y[0].numpy()
        gaps.append([])
        for ratio in grid.tolist():
            plain = LogisticRegression(C=1e9, tol=1e-8, max_iter=1000)
            plain.fit(X, y, sample_weight=np.where(y > 0, ratio, 1.0))
            head = (
                torch.from_numpy(plain.coef_[0]),
                torch.from_numpy(plain.intercept_)[0],
            )
            rare, common = simulation.exact_errors(*head, 1.0)
            gaps[-1].append((rare - common).item())
    cross, se = simulation.bootstrap_crossing(grid, gaps)
    assert found.mean == pytest.approx(np.log(cross), abs=1e-4)
    assert found.stderr == pytest.approx(se / cross, rel=1e-2)
    assert found.n == 4


def test_the_worst_of_many_classes_is_counted_one_by_one():
    found = study.multiclass_accuracies(3, 2, d=6, n=60, seed=5)
    g, counts = np.random.default_rng(5), [10, 20, 30]
    means = 2.0 * np.eye(3, 6)
    for row in found:
        X = np.concatenate(
            [np.repeat(means[k : k + 1], m, 0) for k, m in enumerate(counts)]
        )
        X = X + g.standard_normal(X.shape)
        y = [k for k, m in enumerate(counts) for _ in range(m)]
        new = [means[k] + g.standard_normal((2000, 6)) for k in range(3)]
        for rule, accuracy in zip(("priors", "ambient"), row, strict=True):
            head = WeightedHead(rule, ridge=0.0).fit(X, y)
            right = [(head.predict(part) == k).mean() for k, part in enumerate(new)]
            assert accuracy == min(right)


# Networks


def test_every_pair_has_networks_of_its_own_and_every_network_its_sizes(monkeypatch):
    asked = []

    def pair_of(*names, seed):
        asked.append((*names, seed))
        return names, seed

    def compare(pair, n, ridge, **options):
        return pair, n, ridge, options

    monkeypatch.setattr(study, "frozen_pair", pair_of)
    monkeypatch.setattr(study, "compare_rules", compare)
    names, profile = [("coat", "shirt"), ("bag", "boot")], current("laptop")
    pairs = study.train_pairs(names, profile, n_networks=2)
    assert pairs == {
        rare: [((rare, common, profile), k) for k in range(2)] for rare, common in names
    }
    assert len(asked) == 4
    later = study.train_pairs(names, profile, n_networks=1, first=1)
    assert later == {rare: networks[1:] for rare, networks in pairs.items()}
    found = study.compare_networks(pairs, (40, 90), 0.1, n_resamples=7)
    assert found == {
        (rare, n): [(pair, n, 0.1, {"n_resamples": 7}) for pair in networks]
        for rare, networks in pairs.items()
        for n in (40, 90)
    }


def test_a_gain_is_over_networks_and_leaves_undefined_resamples_out():
    results = [compared(seed) for seed in range(3)]
    for rule, other in (("ambient d", "priors"), ("priors", "effective dof")):
        each = []
        for result in results:
            pairs = zip(
                result.accuracy[rule].T.tolist(), result.accuracy[other].T.tolist()
            )
            gains = [min(a) - min(b) for a, b in pairs]
            each.append(np.nanmean(gains))
        e = study.gain(results, rule, other)
        assert e.mean == pytest.approx(np.mean(each))
        assert e.stderr == pytest.approx(np.std(each, ddof=1) / np.sqrt(3))
        assert e.n == 3


@pytest.mark.parametrize("equal", [3.0, 11.0])
def test_accuracies_are_equal_where_the_lines_cross(equal):
    result = compared(0, equal)
    rare, common = result.sweep.mean(1).tolist()
    # Straight lines of log(ratio), fitted to their ends.
    first, last = rare[0] - common[0], rare[-1] - common[-1]
    expected = 20 ** (first / (first - last))
    found = study.equal_accuracy_ratio(result)
    assert found.mean == pytest.approx(expected, rel=1e-5)  # the grid is in float32
    assert 0 < found.stderr < found.mean
    assert found.n == 6


def test_the_growth_of_a_ratio_is_paired_over_networks():
    few = [compared(seed, 10.0) for seed in range(3)]
    many = [compared(seed, 5.0) for seed in range(3)]
    found, missing = study.log_ratio_growth(few, many)
    assert (found.n, missing) == (3, 0)
    each = [
        np.log(study.equal_accuracy_ratio(a).mean / study.equal_accuracy_ratio(b).mean)
        for a, b in zip(few, many)
    ]
    assert found.mean == pytest.approx(np.mean(each))
    assert found.stderr == pytest.approx(np.std(each, ddof=1) / np.sqrt(3))
    # Paired networks have the same shifts, so that nothing is left of them.
    assert found.mean == pytest.approx(np.log(2), rel=1e-6)
    assert study.log_ratio_growth(many, few)[0].mean == pytest.approx(-found.mean)


@pytest.mark.parametrize("lacking", [[], [1], [0, 2], [0, 1, 2, 3]])
def test_networks_without_a_ratio_are_counted_and_left_out(lacking):
    few = [compared(seed, 1e6 if seed in lacking else 10.0) for seed in range(4)]
    many = [compared(seed, 5.0) for seed in range(4)]
    for pair, sign in (((few, many), 1), ((many, few), -1)):
        found, missing = study.log_ratio_growth(*pair)
        assert missing == len(lacking)
        assert found.n == max(4 - missing, 1)
        if missing < 4:
            assert found.mean == pytest.approx(sign * np.log(2), rel=1e-6)
        else:
            assert np.isnan(found.mean)
        assert np.isfinite(found.stderr)


def test_too_few_networks_with_a_ratio_leave_a_claim_open():
    few = [compared(seed, 1e6 if seed else 10.0) for seed in range(5)]
    found, _ = study.log_ratio_growth(few, [compared(s, 5.0) for s in range(5)])
    ledger = claims.Ledger("ch1", current("laptop"))
    for part in ledger.chapter.claims["ch1.smaller_n_larger_ratio"].parts:
        said = ledger.record("ch1.smaller_n_larger_ratio", found, part=part)
    assert said == "undecided"


def test_the_table_of_ratios_says_where_there_is_none():
    known, flat = compared(0), compared(1, equal=1e6)
    flat.ratio["ambient d"][:] = torch.nan
    found = study.ratio_table({("coat", 180, 0.01): known, ("bag", 400, 1.0): flat})
    assert list(found.index) == [("coat", 180, "0.01"), ("bag", 400, "1")]
    assert list(found.columns) == ["equal at ± s.e.", *RULES[2:4]]
    first, second = (row for _, row in found.iterrows())
    assert first["equal at ± s.e."] == shown(study.equal_accuracy_ratio(known), ".1f")
    assert second["equal at ± s.e."] == "none"
    assert second["ambient d"] == "–"
    live = known.ratio["ambient d"].tolist()[2:]
    assert first["ambient d"] == f"{sum(live) / len(live):.1f}"
    dof = known.ratio["effective dof"].tolist()
    assert first["effective dof"] == f"{sum(dof) / len(dof):.1f}"


def test_the_price_weighs_classes_by_their_shares():
    results = {"coat": [compared(0), compared(1)], "bag": [compared(2)]}
    rules = ["priors", "ambient d"]
    found = study.price_table(results, rules)
    assert list(found.index) == [(pair, rule) for pair in results for rule in rules]
    for (pair, rule), row in found.iterrows():
        rare, common = (
            np.mean([np.nanmean(run.accuracy[rule][k]) for run in results[pair]])
            for k in range(2)
        )
        expected = [rare, common, (rare + 4 * common) / 5]
        assert row.tolist() == pytest.approx(expected, abs=5.1e-4)  # three decimals


def test_own_accuracies_are_those_of_the_networks():
    empty = (torch.zeros(0),) * 2
    pairs = [
        FrozenPair(("coat", "shirt"), empty, empty, (0.5126, 0.875)),
        FrozenPair(("bag", "boot"), empty, empty, (1.0, 0.25)),
    ]
    found = study.own_accuracies(pairs)
    assert list(found.index) == ["coat", "bag"]
    assert found["common"].tolist() == ["shirt", "boot"]
    assert found["rare right"].tolist() == ["0.513", "1.000"]
    assert found["common right"].tolist() == ["0.875", "0.250"]
