"""Levels chosen by validation data, against loops over seeds and candidates."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_result import N_TEST, N_VAL, S, made

from tailwise.data import corruption
from tailwise.metrics import estimate
from tailwise.softad import levels, study
from tailwise.softad.levels import METHODS, SOFT


def by_loop(result, among, by, n=N_VAL):
    picks = []
    for s in range(S):
        best, place = math.inf, None
        for method in among:
            k = result.labels.index(method.label)
            loss = result.held_losses[s, k, :n].mean().item()
            wrong = (~result.held_correct[s, k, :n]).sum().item()
            score = loss if by == "loss" else wrong
            if score < best and not result.diverged[s, k]:
                best, place = score, k
        picks.append(place)
    return picks


@pytest.mark.parametrize("by", ["loss", "accuracy"])
@pytest.mark.parametrize("n", [1, 7, None])
def test_the_best_candidate_of_each_seed_is_chosen(by, n):
    result = made()
    for among in (*levels.GRIDS.values(), SOFT):
        found = levels.choose(result, among, by, n)
        assert found.tolist() == by_loop(result, among, by, n or N_VAL)


def test_who_diverged_is_not_chosen():
    result = made()
    first = levels.choose(result, SOFT, "loss")
    diverged = result.diverged.clone()
    diverged[torch.arange(S), first] = True
    result = replace(result, diverged=diverged)
    found = levels.choose(result, SOFT, "loss")
    assert (found != first).all()
    assert found.tolist() == by_loop(result, SOFT, "loss")


def test_bad_choices_are_named():
    with pytest.raises(ValueError, match="by is 'norm': expected 'loss' or 'accuracy'"):
        levels.choose(made(), SOFT, "norm")
    for n in (0, N_VAL + 1):
        with pytest.raises(ValueError, match=f"n is {n}: expected 1 to {N_VAL}"):
            levels.choose(made(), SOFT, "loss", n)


def test_both_sides_have_the_same_levels_and_as_many_candidates():
    assert len({len(grid) for grid in levels.GRIDS.values()}) == 1
    flooding, soft = (
        [m.params["tau"] for m in levels.GRIDS[name]] for name in ("flooding", "SoftAD")
    )
    assert flooding == soft == sorted(flooding)
    for grid in levels.GRIDS.values():
        assert all(method in METHODS for method in grid)
    # The setting of a plain run is one of the grid.
    plain = {m.label: m for m in study.METHODS}
    for name, grid in levels.GRIDS.items():
        assert plain[name] in grid


@pytest.mark.parametrize("number", study.NAMES)
def test_a_tuned_method_has_the_numbers_of_those_it_is_made_of(number):
    result = made()
    found = levels.tuned(result)
    assert found.labels[: len(METHODS)] == result.labels
    for name, grid in levels.GRIDS.items():
        for by in ("loss", "accuracy"):
            picks = by_loop(result, grid, by)
            expected = [
                study.values(result, result.labels[k], number)[s]
                for s, k in enumerate(picks)
            ]
            got = study.values(found, f"{name} by {by}", number)
            np.testing.assert_array_equal(got, expected)
    for label in result.labels:
        np.testing.assert_array_equal(
            study.values(found, label, number), study.values(result, label, number)
        )


def test_a_table_counts_what_was_chosen():
    result = made()
    found = levels.table({"mlp": result})
    assert len(found) == 2 * (len(levels.GRIDS) + 1)
    for by in ("loss", "accuracy"):
        row = found.loc[f"mlp, SoftAD, by {by}"]
        counts = [int(part.split(" × ")[1]) for part in row["chosen"].split(", ")]
        assert sum(counts) == S
        picks = by_loop(result, levels.GRIDS["SoftAD"], by)
        losses = [result.view.loss_mean[s, k] for s, k in enumerate(picks)]
        assert float(row["mean loss"]) == pytest.approx(np.mean(losses), abs=5.1e-4)
        short = found.loc[f"mlp, flooding to 0.1, by {by}", "chosen"]
        assert all(float(part.split(" × ")[0]) <= 0.1 for part in short.split(", "))


def test_regret_is_what_a_choice_costs_against_the_best():
    result, other = made(), made(1)
    for n in (5, N_VAL):
        for short in (None, other):
            picks = by_loop(short or result, SOFT, "loss", n)
            losses = result.view.loss_mean
            places = [result.labels.index(m.label) for m in SOFT]
            cost = [
                math.log(losses[s, k] / min(losses[s, places]))
                for s, k in enumerate(picks)
            ]
            found = levels.regret(result, n, short)
            assert (found.mean, found.stderr, found.n) == pytest.approx(
                (estimate(cost).mean, estimate(cost).stderr, S)
            )
            assert min(cost) >= 0
    # A short run needs the candidates only.
    fewer = made(1, SOFT)
    places = [other.labels.index(m.label) for m in SOFT]
    for name in ("held_losses", "held_correct", "diverged"):
        fewer = replace(fewer, **{name: getattr(other, name)[:, places]})
    assert levels.regret(result, 5, fewer) == levels.regret(result, 5, other)


def test_a_pilot_table_has_regrets_of_whole_and_short_runs():
    result, other = made(), made(1)
    found = levels.pilot_table(result, other, (5, 20))
    assert list(found.index) == ["5 images", "20 images"]
    for n in (5, 20):
        for name, short in (("whole runs", None), ("short runs", other)):
            e = levels.regret(result, n, short)
            shown = found.loc[f"{n} images", name]
            assert shown == f"{e.mean:.3f} ± {e.stderr:.3f}"


def test_drift_judges_on_other_images_than_it_chooses():
    before, after = made(2, SOFT), made(3, SOFT)
    found = levels.drifted(before, {1.0: after}, [0.0, 0.5, 1.0])
    assert list(found["kept"]) == list(found["chosen anew"]) == [0.0, 0.5, 1.0]
    assert list(found["retrained"]) == [1.0]
    half = N_TEST // 2
    kept = by_loop(before, SOFT, "loss")
    for share in (0.0, 0.5, 1.0):
        p = levels.mixed(share)
        for name, result in (("kept", before), ("chosen anew", before)) + (
            (("retrained", after),) if share == 1 else ()
        ):
            for s in range(S):
                new, judged = (
                    (p[:, None] * part.double()).sum(-2).mean(-1)
                    for part in (
                        result.losses[s, ..., :half],
                        result.losses[s, ..., half:],
                    )
                )
                k = kept[s] if name == "kept" else new.argmin()
                assert found[name][share][s] == pytest.approx(judged[k].item())


def test_a_log_ratio_is_paired():
    moved = {"a": {0.5: np.array([2.0, 4, 8])}, "b": {0.5: np.array([1.0, 2, 4])}}
    found = levels.log_ratio(moved, 0.5, "a", "b")
    assert (found.mean, found.stderr) == pytest.approx((math.log(2), 0))


def test_rules_that_are_only_shown_are_left_to_one_model():
    assert levels.methods("mlp") == METHODS
    few = levels.methods("cnn")
    assert len(few) == len(METHODS) - 3
    assert all(
        grid_method in few for grid in levels.GRIDS.values() for grid_method in grid
    )


def test_mixed_laws_go_from_rare_to_reversed():
    assert torch.equal(levels.mixed(0), corruption.law("rare"))
    assert torch.equal(levels.mixed(1), corruption.law("reversed"))
    assert levels.mixed(0.3).sum() == pytest.approx(1)
