"""Chapter 3's runs: what a member is measured by, and what is made of its numbers."""

import math
import re
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tailwise.data import corruption
from tailwise.methods import risk
from tailwise.methods.calibration import fit_temperature
from tailwise.metrics import estimate
from tailwise.softad import Method, ensemble, plane, sharpness, study, views
from tailwise.softad.study import Size
from tailwise.softad.views import Dashboard
from tools.book.layout import ROOT

SIZE = Size(n_seeds=2, n_train=60, n_val=40, n_test=20, epochs=2, batch_size=20)
FEW = [
    Method("ERM"),
    Method("SoftAD", "softad", {"tau": 0.1}),
    Method("SharpDRO", ascent="sharpdro", reach=0.05),
]
RUNS = [("linear", "rare"), ("mlp", "reversed"), ("cnn", "uniform")]
train = ensemble.train


def drawn(law):
    counts = {name: getattr(SIZE, name) for name in ("n_train", "n_val", "n_test")}
    return corruption.draw(law, SIZE.n_seeds, **counts)


@pytest.fixture(scope="module")
def runs():
    return {run: study.run(*run, SIZE, FEW) for run in RUNS}


@pytest.fixture(scope="module")
def members():
    """The same members, from the data and the training themselves."""
    found = {}
    for architecture, law in RUNS:
        data = drawn(law)
        found[architecture, law] = ensemble.train(
            architecture,
            data.train.x,
            data.train.y,
            FEW,
            group=data.train.severity,
            epochs=SIZE.epochs,
            batch_size=SIZE.batch_size,
            lr=SIZE.lr,
        )
    return found


def assert_same_view(found, one, expected):
    """A member's place in a view [S, K, ...] against a view of its own."""
    for field in fields(Dashboard):
        torch.testing.assert_close(
            getattr(found, field.name)[one],
            getattr(expected, field.name),
            rtol=1e-5,
            atol=1e-6,
            msg=lambda text, name=field.name: f"{name} of member {one}: {text}",
        )


# Members, measured


@pytest.mark.parametrize("run", RUNS)
def test_losses_and_views_are_those_of_each_member(runs, members, run):
    result, member, law = runs[run], members[run], run[1]
    test = drawn(law).test
    assert (result.architecture, result.law) == run
    assert result.labels == ("ERM", "SoftAD", "SharpDRO")
    logits = torch.stack([member.logits(test.x[:, level]) for level in range(6)], 2)
    assert result.losses.shape == result.correct.shape == (2, 3, 6, 20)
    for s, k in np.ndindex(2, 3):
        scores = logits[s, k].double() / result.temperature[s, k]
        as_trained, calibrated = (
            torch.stack([F.cross_entropy(x, test.y[s], reduction="none") for x in z])
            for z in (logits[s, k].double(), scores)
        )
        right = logits[s, k].argmax(-1) == test.y[s]
        torch.testing.assert_close(
            result.losses[s, k].double(), as_trained, rtol=1e-5, atol=1e-6
        )
        assert torch.equal(result.correct[s, k], right)
        view = views.dashboard(as_trained, right, law)
        assert_same_view(result.view, (s, k), view)
        scaled = views.dashboard(calibrated, right, law)
        assert_same_view(result.scaled, (s, k), scaled)
        # The first is not the second, but for what a temperature cannot change.
        assert result.scaled.loss_cvar[s, k] != result.view.loss_cvar[s, k]
        assert torch.equal(result.scaled.per_severity, result.view.per_severity)
    torch.testing.assert_close(result.norm, member.norm)
    assert torch.equal(result.diverged, member.diverged)
    assert not result.diverged.any()


@pytest.mark.parametrize("run", RUNS)
def test_training_and_validation_images_are_scored_too(runs, members, run):
    result, member, data = runs[run], members[run], drawn(run[1])
    assert torch.equal(result.train_severity, data.train.severity)
    for losses, part in (
        (result.train_losses, data.train),
        (result.held_losses, data.val),
    ):
        logits = member.logits(part.x)
        for s, k in np.ndindex(2, 3):
            expected = F.cross_entropy(logits[s, k], part.y[s], reduction="none")
            torch.testing.assert_close(losses[s, k], expected)
    right = member.logits(data.val.x).argmax(-1) == data.val.y[:, None]
    assert torch.equal(result.held_correct, right)


def test_sharpness_is_measured_where_it_is_asked_for(runs):
    assert runs["mlp", "reversed"].eigenvalue.isnan().all()
    sharp = study.run("mlp", "reversed", SIZE, FEW, sharp=["SoftAD"])
    known = sharp.eigenvalue.isfinite() & sharp.loss_rise.isfinite()
    assert known.tolist() == [[False, True, False]] * 2
    data = drawn("reversed").train
    trained = ensemble.train(
        "mlp",
        data.x,
        data.y,
        FEW,
        group=data.severity,
        epochs=SIZE.epochs,
        batch_size=SIZE.batch_size,
        lr=SIZE.lr,
    )
    member = {name: p[1, 1] for name, p in trained.params.items()}
    loss = sharpness.member_loss(trained.architecture, member, data.x[1], data.y[1])
    expected = sharpness.top_eigenvalue(*loss), sharpness.loss_rise(*loss, study.REACH)
    found = sharp.eigenvalue[1, 1].item(), sharp.loss_rise[1, 1].item()
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_law_in_numbers_is_a_law():
    by_number = study.run("linear", study.CLEAN, SIZE, FEW[:1])
    assert by_number.train_severity.unique().tolist() == [0]
    assert by_number.law == "custom"


def test_the_ladder_is_a_network_of_each_width():
    found = study.ladder((3, 5), SIZE)
    assert list(found) == ["3 hidden", "5 hidden"]
    table = study.ladder_table(found)
    assert list(table.index) == list(found)
    for name, result in found.items():
        assert result.labels == ("ERM", "SharpDRO", "SharpDRO, half")
        e = study.difference(result, "SharpDRO, half", "accuracy_average")
        shown = table.loc[name, "SharpDRO, half, average"]
        assert shown == f"{e.mean:+.3f} ± {e.stderr:.3f}"
        gap = estimate(study.values(result, "ERM", "difficulty_gap"))
        shown = table.loc[name, study.NAMES["difficulty_gap"]]
        assert shown == f"{gap.mean:+.2f} ± {gap.stderr:.2f}"


def test_fates_are_counted():
    result = marked(made(), "gave_up", (0, 1), (3, 1))
    text = study.fates(result, "SoftAD")
    got = study.values(result, "SoftAD", "accuracy_balanced")
    assert text.startswith("2 of 5 networks gave up")
    assert text.endswith(f"{got.min():.2f} to {got.max():.2f}")


@pytest.mark.parametrize("run", RUNS)
def test_the_temperature_is_fitted_on_validation_data(runs, members, run):
    result, val = runs[run], drawn(run[1]).val
    held = members[run].logits(val.x)
    for s, k in np.ndindex(2, 3):
        alone = fit_temperature(held[s, k], val.y[s])
        torch.testing.assert_close(result.temperature[s, k], alone, rtol=1e-5, atol=0)


def test_other_test_images_leave_the_temperature_alone(runs):
    result = runs["mlp", "reversed"]
    again = study.run("mlp", "reversed", replace(SIZE, n_test=7), FEW)
    assert again.losses.shape[-1] == 7
    assert torch.equal(again.temperature, result.temperature)
    other = study.run("mlp", "reversed", replace(SIZE, n_val=30), FEW)
    assert torch.equal(other.losses, result.losses)
    assert (other.temperature != result.temperature).all()


def test_progress_is_told():
    told = []
    study.run("linear", "rare", SIZE, FEW[:1], progress=lambda *at: told.append(at))
    assert told == [(1, 2), (2, 2)]


@pytest.fixture
def untrained(monkeypatch):
    """Members that are all zero; the second seed of the second method diverged."""

    def zeroed(*args, **settings):
        trained = train(*args, **settings)
        params = {name: p * 0 for name, p in trained.params.items()}
        lost = torch.zeros_like(trained.diverged)
        lost[1, 1] = True
        return replace(trained, params=params, diverged=lost)

    monkeypatch.setattr(ensemble, "train", zeroed)
    return study.run("mlp", "rare", SIZE, FEW)


def test_a_member_that_predicts_the_same_everywhere_gave_up(untrained):
    guess = torch.full((2, 3), math.log(10), dtype=torch.float64)
    torch.testing.assert_close(untrained.view.loss_mean, guess)
    assert untrained.diverged.tolist() == [[False] * 3, [False, True, False]]
    assert untrained.gave_up[~untrained.diverged].all()


def test_a_diverged_member_did_not_give_up(untrained):
    assert not untrained.gave_up[untrained.diverged].any()


@pytest.mark.parametrize("k", [2, 10])
def test_giving_up_takes_a_large_mean_and_hardly_a_spread(k):
    guess = math.log(k)
    mean = [0.9, 0.99, 1.0, 5.0, 1.0, 5.0, 0.5, math.nan]
    sd = [0.05, 0.05, 0.0, 0.09, 0.2, 3.0, 0.0, math.nan]
    view = SimpleNamespace(
        loss_mean=guess * torch.tensor(mean), loss_sd=guess * torch.tensor(sd)
    )
    found = study.gave_up(view, k).tolist()
    assert found == [False, True, True, True, False, False, False, False]


# Numbers of a result


def made(seed=0, seeds=5, labels=("ERM", "SoftAD", "flooding")):
    """A result without a training: random losses of every size."""
    g = torch.Generator().manual_seed(seed)
    shape = (seeds, len(labels))
    losses = 3 * torch.rand(*shape, 6, 8, generator=g)
    correct = losses < torch.rand(*shape, 6, 8, generator=g) * 3
    none = torch.zeros(shape, dtype=torch.bool)
    return study.Result(
        architecture="mlp",
        law="rare",
        labels=tuple(labels),
        view=views.dashboard(losses, correct, "rare"),
        scaled=views.dashboard(losses / 2, correct, "rare"),
        temperature=torch.full(shape, 2.0),
        norm=1 + torch.rand(shape, generator=g),
        diverged=none,
        gave_up=none,
        losses=losses,
        correct=correct,
        eigenvalue=torch.rand(shape, generator=g),
        loss_rise=torch.rand(shape, generator=g),
        train_losses=torch.rand(*shape, 20, generator=g),
        train_severity=torch.arange(20).expand(shape[0], 20) % 6,
        held_losses=torch.rand(*shape, 15, generator=g),
        held_correct=torch.rand(*shape, 15, generator=g) < 0.5,
    )


def marked(result, name, *places):
    mark = torch.zeros_like(getattr(result, name))
    for place in places:
        mark[place] = True
    return replace(result, **{name: mark})


@pytest.mark.parametrize("number", study.NAMES)
def test_values_are_one_a_seed(number):
    result = made()
    train, hard = result.train_losses, result.train_severity[0] >= study.HARD
    mean = train.mean(-1)
    clean = train[..., result.train_severity[0] == 0].mean(-1)
    source = {
        "norm": result.norm,
        "scaled_cvar": result.scaled.loss_cvar,
        "eigenvalue": result.eigenvalue,
        "loss_rise": result.loss_rise,
        "loss_severity_5": result.losses[:, :, 5].mean(-1),
        "loss_train": mean,
        "loss_gap": result.view.loss_mean - mean,
        "difficulty_gap": result.view.per_severity[..., 0]
        - result.view.per_severity[..., 5],
        "difficulty_gap_train": train[..., hard].mean(-1) - clean,
    }
    if number not in source:
        source[number] = getattr(result.view, number)
    for k, label in enumerate(result.labels):
        found = study.values(result, label, number)
        assert found.dtype == np.float64
        # Sums of twenty float32 numbers, in another order.
        np.testing.assert_allclose(found, source[number][:, k].double(), rtol=1e-5)


def test_values_of_an_unknown_method_are_an_error():
    with pytest.raises(ValueError, match="unknown method 'Adam'.*'ERM', 'SoftAD'"):
        study.values(made(), "Adam", "norm")


@pytest.mark.parametrize("number", study.NAMES)
def test_a_diverged_member_has_no_number_and_is_not_dropped(number):
    whole = made()
    result = marked(whole, "diverged", (2, 1))
    found = study.values(result, "SoftAD", number)
    assert np.isnan(found).tolist() == [False, False, True, False, False]
    kept = np.arange(5) != 2
    before = study.values(whole, "SoftAD", number)
    np.testing.assert_array_equal(found[kept], before[kept])
    for pair in (("SoftAD", number), ("ERM", number, "SoftAD")):
        e = study.difference(result, *pair)
        assert np.isnan([e.mean, e.stderr]).all()
        assert e.n == 5
    others = ("flooding", number)
    assert study.difference(result, *others) == study.difference(whole, *others)
    assert np.isfinite(study.difference(result, *others).mean)


def test_differences_are_paired_and_change_sign_with_the_order():
    result = made()
    for number in study.NAMES:
        a, b = (study.values(result, name, number) for name in ("SoftAD", "ERM"))
        found = study.difference(result, "SoftAD", number)
        assert found == estimate(a - b)
        assert found == study.difference(result, "SoftAD", number, "ERM")
        assert found.n == 5
        back = study.difference(result, "ERM", number, "SoftAD")
        assert (back.mean, back.stderr) == pytest.approx((-found.mean, found.stderr))
        nothing = study.difference(result, "flooding", number, "flooding")
        assert (nothing.mean, nothing.stderr) == (0, 0)


def test_a_log_difference_is_the_log_of_a_ratio():
    result = made()
    a, b = (study.values(result, name, "loss_cvar") for name in ("SoftAD", "ERM"))
    found = study.difference(result, "SoftAD", "loss_cvar", log=True)
    expected = estimate(np.log(a / b))
    assert (found.mean, found.stderr) == pytest.approx((expected.mean, expected.stderr))
    # Three times as large in every seed, however large.
    norm = result.norm.clone()
    norm[:, 1] = 3 * norm[:, 0]
    found = study.difference(replace(result, norm=norm), "SoftAD", "norm", log=True)
    assert found.mean == pytest.approx(math.log(3))
    assert found.stderr < 1e-6


def test_a_contrast_alternates_its_signs():
    a, b = made(1), made(2)
    one, other, third = (
        study.values(*term, "loss_mean")
        for term in ((a, "SoftAD"), (b, "ERM"), (b, "flooding"))
    )
    found = study.contrast("loss_mean", (a, "SoftAD"), (b, "ERM"), (b, "flooding"))
    assert found == estimate(one - other + third)
    pair = (a, "SoftAD"), (a, "ERM")
    found = study.contrast("loss_mean", *pair, log=True)
    assert found == study.difference(a, "SoftAD", "loss_mean", log=True)


def test_a_table_has_the_first_method_and_differences_to_it():
    result, numbers = made(), ["loss_cvar", "scaled_cvar", "norm"]
    found = study.dashboard_table(result, numbers)
    assert list(found.index) == ["ERM", "SoftAD", "flooding"]
    assert list(found.columns) == [study.NAMES[number] for number in numbers]
    for column, number in zip(found.columns, numbers):
        e = estimate(study.values(result, "ERM", number))
        assert float(found.loc["ERM", column]) == pytest.approx(e.mean, abs=5.1e-4)
        for label in ("SoftAD", "flooding"):
            e = study.difference(result, label, number)
            mean, error = map(float, found.loc[label, column].split(" ± "))
            # Three decimals, and a sign.
            assert (mean, error) == pytest.approx((e.mean, e.stderr), abs=5.1e-4)
            assert found.loc[label, column][0] in "+-"


def test_a_table_of_some_methods_has_their_rows():
    result = made()
    whole = study.dashboard_table(result, ["norm"])
    some = study.dashboard_table(result, ["norm"], ["flooding", "ERM"])
    assert some.equals(whole.loc[["flooding", "ERM"]])


def test_a_table_tells_the_fates_if_there_are_any():
    result = marked(made(), "diverged", (2, 1), (4, 1))
    result = marked(result, "gave_up", (0, 1), (1, 2))
    found = study.dashboard_table(result, ["loss_mean"])
    assert found["fate"].tolist() == ["", "2 diverged, 1 gave up", "1 gave up"]
    assert "nan" in found.loc["SoftAD", study.NAMES["loss_mean"]]
    assert "nan" not in found.loc["flooding", study.NAMES["loss_mean"]]
    erm = marked(made(), "gave_up", (0, 0))
    fate = study.dashboard_table(erm, ["norm"])["fate"]
    assert fate.tolist() == ["1 gave up", "", ""]


@pytest.mark.parametrize("log", [False, True])
def test_each_part_of_a_claim_is_measured_and_shown(log):
    results = {"linear": made(1), "cnn": made(2)}
    contests = {
        "a.tail": ("SoftAD", "loss_cvar"),
        "a.norm": ("ERM", "norm", "flooding"),
        "a.back": ("flooding", "norm", "ERM"),
    }
    parts, found = study.measured(results, contests, log=log)
    assert parts == {
        claim: {
            part: study.difference(result, *contest, log=log)
            for part, result in results.items()
        }
        for claim, contest in contests.items()
    }
    assert list(found.index) == ["SoftAD − ERM", "ERM − flooding", "flooding − ERM"]
    assert list(found.columns) == ["number", "linear", "cnn"]
    prefix = "log " if log else ""
    shown = [prefix + study.NAMES[n] for _, n, *_ in contests.values()]
    assert list(found["number"]) == shown
    for part in results:
        for text, each in zip(found[part], parts.values(), strict=True):
            assert text == f"{each[part].mean:+.3f} ± {each[part].stderr:.3f}"
        # A contest the other way round changes its sign.
        there, back = (parts[claim][part].mean for claim in ("a.norm", "a.back"))
        assert there == pytest.approx(-back)


def test_logs_are_taken_of_some_numbers():
    results = {"linear": made(1)}
    contests = {"a": ("SoftAD", "loss_cvar"), "b": ("SoftAD", "norm")}
    parts, found = study.measured(results, contests, log=["norm"])
    assert parts["a"] == study.measured(results, contests)[0]["a"]
    assert parts["b"] == study.measured(results, contests, log=True)[0]["b"]
    assert list(found["number"]) == ["tail", "log norm"]


def test_what_is_measured_is_a_difference_of_the_values_themselves():
    result = made()
    norm = torch.tensor([[2.0, 5.0, 0.0]]).expand(5, 3)
    results = {"all": replace(result, norm=norm)}
    parts, _ = study.measured(results, {"a": ("SoftAD", "norm")})
    assert parts["a"]["all"].mean == 3


# Methods


def test_labels_are_unique_and_erm_is_the_first():
    for methods in (study.METHODS, plane.TOY):
        labels = [method.label for method in methods]
        assert len(set(labels)) == len(labels)
        assert labels[0] == "ERM"
        assert replace(methods[0], label="") == Method("")


@pytest.mark.parametrize(
    "method", [*study.METHODS, *plane.TOY], ids=lambda method: method.label
)
def test_every_rule_takes_its_parameters(method):
    losses = 3 * torch.rand(50, generator=torch.Generator().manual_seed(0))
    weights = risk.example_weights(losses, method.rule, **method.params)
    assert weights.shape == (50,)
    assert weights.isfinite().all()
    assert (weights != 0).any()


# Cost


def small(monkeypatch):
    """Draw fifty images where a thousand are asked for."""
    draw = corruption.draw

    def fewer(*args, n_train, **counts):
        return draw(*args, n_train=min(n_train, 50), **counts)

    monkeypatch.setattr(corruption, "draw", fewer)


def test_cost_is_a_ratio_for_each_rival(monkeypatch):
    small(monkeypatch)
    found = study.cost(FEW, repeats=2)
    assert list(found) == ["SoftAD", "SharpDRO"]
    for e in found.values():
        assert e.mean > 0
        assert e.n == 2


def test_cost_is_counted_in_turns_after_a_first_round(monkeypatch):
    small(monkeypatch)
    clock, seen = [0.0], []

    def timed(architecture, X, y, methods, **settings):
        assert len({method.label for method in methods}) == len(methods)
        (scale,) = {method.scale for method in methods}
        first, round_ = len(seen) < 3, 1 + len(seen) // 3
        seen.append(scale)
        # Slow at the very first, and slower each round for all alike.
        clock[0] += 100 if first else round_ * scale

    monkeypatch.setattr(ensemble, "train", timed)
    monkeypatch.setattr(study.time, "process_time", lambda: clock[0])
    scales = {"plain": 2.0, "dear": 6.0, "cheap": 1.0}
    methods = [Method(label, scale=scale) for label, scale in scales.items()]
    found = study.cost(methods, repeats=3)
    assert seen == [2, 6, 1] * 4
    assert {label: (e.mean, e.stderr, e.n) for label, e in found.items()} == {
        "dear": (3, 0, 3),
        "cheap": (0.5, 0, 3),
    }


def test_settings_are_those_that_the_page_states():
    page = (ROOT / "book" / "chapters" / "3_soft_ascent_descent.py").read_text("utf-8")
    (stated,) = re.findall(r"The single settings were .*?: (.*)\.", page)
    method = {m.label: m for m in study.METHODS}
    params = {label: m.params for label, m in method.items()}
    compositions = [p["tau"] for label, p in params.items() if "∘" in label]
    assert set(compositions) == {params["flooding"]["tau"]}
    assert stated == (
        f"SoftAD level {params['SoftAD']['tau']:g}; flooding and the compositions "
        f"{compositions[0]:g}; CVaR share one half; chi-square radius "
        f"{params['chi-square DRO']['radius']:g}; tilt {params['tilted']['gamma']:g}; "
        f"SAM reach {method['SAM'].reach:g}, SharpDRO {method['SharpDRO'].reach:g}"
    )
    assert params["CVaR"]["quantile"] == 0.5
    assert method["SharpDRO, half"].reach == method["SharpDRO"].reach


def test_a_contest_without_a_claim_is_shown_and_not_entered():
    results, contest = {"cnn": made(1)}, ("ERM", "norm", "flooding")
    named, _ = study.measured(results, {"a.norm": contest})
    parts, found = study.measured(results, {"": contest, "a.norm": contest})
    assert parts == named
    assert list(found.index) == ["ERM − flooding"] * 2
    assert found.columns.name == "mean ± s.e."
