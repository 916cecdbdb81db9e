"""Chapter 4's contest, mechanisms and mixtures in small; rows with known answers."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from tailwise.data import glyphs
from tailwise.data.label_noise import mislabelled
from tailwise.experts import choices, contest, mechanisms, mixing, reports, study
from tailwise.experts import plots as figures
from tailwise.experts.contest import Bench, Terms
from tailwise.experts.many_medium_few import on_task
from tailwise.experts.mechanisms import Repetition
from tailwise.metrics import estimate

TINY = Terms(steps=1, views=1)


@pytest.fixture(scope="module")
def task() -> glyphs.Task:
    sizes = dict(n_max=24, imbalance_ratio=12, n_val=1, n_test=2)
    return glyphs.draw(3, crowd=True, **sizes)


@pytest.fixture(scope="module")
def pair() -> study.Pair:
    return study.load_pair()


@pytest.fixture
def repetition(monkeypatch, pair, task) -> Repetition:
    monkeypatch.setattr(glyphs, "draw", lambda seed, **settings: task)
    return Repetition(3, (0, 0), lambda seed: pair, TINY)


def test_the_contest_gives_a_row_a_way_and_moves_no_pair(repetition, pair):
    before = copy.deepcopy({k: m.state_dict() for k, m in vars(pair).items()})
    rows = pd.DataFrame(mechanisms.contest(repetition))
    for kind, state in before.items():
        after = getattr(pair, kind).state_dict()
        assert all(torch.equal(state[key], after[key]) for key in state), kind
    n = len(mechanisms.CONTEST)
    assert len(rows) == 2 * (n + 1) + n * n
    assert not rows.duplicated(["kind", "method"]).any()
    assert rows["all"].between(0, 1).all()
    size = sum(p.numel() for p in pair.visual.parameters())
    trained = rows.set_index(["kind", "method"])["trained"]
    assert trained["visual", "full"] == size
    assert trained["visual", "probe"] == 0
    assert trained["visual", "phase 1"] == 4 * 4 * 64 + 4 * (2 * 64 * 8 + 8 + 64)


def test_means_are_of_the_logits_of_the_rows_beside_them(repetition, task):
    rows = pd.DataFrame(mechanisms.contest(repetition))
    both = [
        mechanisms.of_tests(repetition.trained(way, kind), task)
        for kind, way in zip(study.KINDS, ("probe", "full"))
    ]
    expected = on_task(task, sum(both) / 2)["all"]
    found = rows.set_index("method")["all"]["mean, probe and full"]
    assert found == expected


def test_blocks_only_leaves_what_is_around_the_blocks(pair, task):
    three = replace(TINY, steps=3)
    tuned = Bench(pair, "visual", task, 3, three).full(blocks_only=True)
    before = pair.visual.state_dict()
    for name, value in tuned.backbone.module.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("blocks"))


def test_second_trains_a_copy_and_the_head_alone_has_no_prompts(pair, task):
    bench = Bench(pair, "visual", task, 3, TINY)
    first = bench.parts()
    kept = copy.deepcopy(first.state_dict())
    alone = bench.second(first, pool=0)
    grouped = bench.second(first, pool=1)
    assert all(torch.equal(kept[k], v) for k, v in first.state_dict().items())
    assert alone.groups is None
    assert grouped.groups.top == 1
    assert not torch.equal(alone.head.weight, first.head.weight)
    for key in ("shared.tokens", "adapters.0.down.weight"):
        assert torch.equal(grouped.state_dict()[key], kept[key])


def test_the_gap_is_taken_away_and_labels_are_few_where_the_names_say_so(monkeypatch):
    asked = {}
    monkeypatch.setattr(glyphs, "draw", lambda seed, **settings: settings)
    monkeypatch.setattr(
        mechanisms,
        "_contest_on",
        lambda rep, task, what: asked.setdefault(what, task) and [],
    )
    rep = Repetition(3, (0, 0), lambda seed: None, TINY)
    assert rep.task()["crowd"]
    mechanisms.no_gap(rep)
    mechanisms.few_labels(rep)
    assert not asked["no gap"]["crowd"]
    for shots in mechanisms.SHOTS:
        given = asked[f"{shots} a class"]
        assert (given["n_max"], given["imbalance_ratio"]) == (shots, 1)
        assert given["crowd"]


def test_a_share_of_rare_labels_is_wrong_and_no_class_is_lost(task):
    found = mislabelled(task, 0.5, torch.Generator().manual_seed(0))
    changed = found.train.labels != task.train.labels
    rare = task.few[task.train.labels]
    assert not changed[~rare].any()
    assert changed.sum() == round(0.5 * int(rare.sum()))
    assert (found.train.labels.bincount(minlength=60) > 0).all()
    assert found.train.images is task.train.images


def test_accuracy_is_by_class_group(task):
    labels = torch.cat([task.test.labels, task.test_unseen.labels])
    right = F.one_hot(labels, 60).float()
    few = torch.cat([task.few[task.test.labels], torch.ones(120, dtype=torch.bool)])
    found = on_task(task, torch.where(few[:, None], right.roll(1, 1), right))
    assert found["few"] == 0
    assert found["medium"] == 1
    assert found["unseen"] == 0
    share = (~task.few[task.test.labels]).double().mean().item()
    assert found["all"] == pytest.approx(share, abs=1e-5)


def test_forward_selection_stops_where_nobody_helps():
    labels = torch.arange(6)
    right = 2.0 * F.one_hot(labels, 6)
    half = torch.where((labels < 3)[:, None], right, right.roll(1, 1) / 2)
    rest = torch.where((labels >= 3)[:, None], right, right.roll(1, 1) / 2)
    wrong = 9 * F.one_hot((labels + 1) % 6, 6).float()
    given = {"wrong": wrong, "half": half, "rest": rest}
    assert mixing.forward_selection(given, labels) == ["half", "rest"]
    assert mixing.forward_selection({"a": right, "b": right}, labels) == ["a"]


def test_area_of_a_weight_that_knows():
    labels = torch.zeros(4, dtype=torch.long)
    yes, no = torch.tensor([1.0, 0]), torch.tensor([0, 1.0])
    logits = torch.stack(
        [torch.stack([yes, yes, no, no]), torch.stack([no, no, yes, yes])]
    )
    knows = torch.tensor([0.9, 0.8, 0.1, 0.2])
    for weight, area in ((knows, 1.0), (1 - knows, 0.0), (0 * knows, 0.5)):
        found = mixing.weight_auc(logits, torch.stack([weight, 1 - weight], 1), labels)
        assert found == area


def test_folds_part_each_class():
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 2, 2])
    assert mixing.folds(labels).tolist() == [0, 0, 1, 1, 0, 0, 0, 1]


def test_two_kinds_are_compared_with_two_visual_experts():
    """Splits 0 and 1 have all members, split 2 has no second visual expert."""
    members = {"visual": 0.5, "language": 0.7, "visual, other": 0.6}
    base = dict(kind="member", pair=0)
    rows = [
        base | dict(split=s, method=name, all=value)
        for s in range(3)
        for name, value in members.items()
        if (s, name) != (2, "visual, other")
    ]
    for split, (two_kinds, two_visual) in enumerate([(0.8, 0.6), (0.9, 0.6)]):
        for name, value in (("two kinds", two_kinds), ("two visual", two_visual)):
            row = dict(split=split, method=name, all=value)
            rows.append(base | row | {"kind": "mixture"})
    rows.append(base | dict(split=2, method="two kinds", all=0.1, kind="mixture"))
    found = reports.two_kinds(pd.DataFrame(rows))
    # 0.8 − 0.6 less 0.6 − 0.55, and 0.9 − 0.6 less the same
    assert (found.n, found.mean) == (2, pytest.approx(0.2))


def test_a_leak_is_the_difference_of_gaps():
    base = dict(method="leak", kind="mixture", pair=0)
    rows = [
        base
        | {"split": 0, "train few": 1.0, "test few": 0.5}
        | {"train other": 0.9, "test other": 0.8},
        base
        | {"split": 1, "train few": 1.0, "test few": 0.6}
        | {"train other": 0.8, "test other": 0.7},
    ]
    assert reports.leak_gap(pd.DataFrame(rows)).mean == pytest.approx(0.35)


def test_memory_of_a_step_counts_what_gradients_need_once():
    x, w = torch.ones(10, 4), torch.ones(4, requires_grad=True)
    # A product with a constant keeps the constant; the second use is the same memory.
    found = contest.saved_for_backward(lambda: (x * w) + (x.view(4, 10).T * w))
    assert found == 4 * 40
    assert contest.saved_for_backward(lambda: x @ x.T) == 0


# Reports of rows with known answers


def known(**by_method) -> pd.DataFrame:
    rows = []
    for method, accuracy in by_method.items():
        for split, value in enumerate(accuracy):
            row = dict(split=split, pair=split // 2, kind="visual", method=method)
            rows.append(row | {"all": value, "few": value / 2})
    return pd.DataFrame(rows)


def test_gains_are_paired_and_change_sign():
    rows = known(a=[0.5, 0.6, 0.7, 0.9], b=[0.4, 0.4, 0.4, 0.4])
    names = ("visual", "a"), ("visual", "b")
    forth, back = reports.gain(rows, *names), reports.gain(rows, *names[::-1])
    assert forth.mean == -back.mean == pytest.approx(0.275)
    expected = estimate([0.1, 0.2, 0.3, 0.5])
    assert forth.stderr == back.stderr == pytest.approx(expected.stderr)
    pairs = reports.gain(rows, *names, over="pairs")
    assert (pairs.n, pairs.mean) == (2, pytest.approx(0.275))
    assert pairs.stderr == pytest.approx(estimate([0.15, 0.4]).stderr)


def test_an_interval_is_the_wider_of_splits_and_pairs():
    """Pairs that differ widen it, pairs that are alike do not; two are too few."""
    of = {"apart": [0.1, 0.1, 0.2, 0.2, 0.3, 0.3], "alike": [0.1, 0.3] * 3}
    for name, change in of.items():
        rows = known(a=change, b=[0.0] * 6)
        names = ("visual", "a"), ("visual", "b")
        each = {o: reports.gain(rows, *names, over=o) for o in ("splits", "pairs")}
        assert reports.gain(rows, *names) == max(each.values(), key=lambda e: e.half)
        assert reports.gain(rows, *names).n == {"apart": 3, "alike": 6}[name]
        few = rows[rows["split"] < 4]
        assert reports.gain(few, *names) == reports.gain(few, *names, over="splits")
        table = reports.gains(rows, {"d": names}, ["all"])
        assert list(table.columns) == ["all, splits", "all, pairs", "n"]


def test_a_gain_is_over_the_splits_that_both_have():
    rows = known(a=[0.5, 0.6, 0.7], b=[0.4, 0.4])
    assert reports.gain(rows, ("visual", "a"), ("visual", "b")).n == 2
    with pytest.raises(ValueError, match="member is .*'c'.*: expected one of the rows"):
        reports.values(rows, ("visual", "c"))


def test_tables_are_in_per_cent_and_points():
    rows = known(a=[0.5, 0.6, 0.7, 0.9], b=[0.4, 0.4, 0.4, 0.4])
    table = reports.table(rows, ["visual"], ["b"], ["all"])
    assert table.iloc[0, 0] == "40.0 ± 0.0"
    table = reports.gains(rows, {"d": (("visual", "b"), ("visual", "b"))})
    assert table.loc["d", "all, splits"] == "+0.0 ± 0.0"
    assert table.loc["d", "n"] == 4


def test_few_and_wrong_labels_are_shown_beside_each_other():
    """All classes with few labels; rare ones with labels that are right, and wrong."""
    names = ["1 a class", "2 a class", "5 a class", "mislabelled"]
    by = {f"a, {name}": [0.1 * k] * 2 for k, name in enumerate(names, start=1)}
    table = reports.labels_table(known(a=[0.8] * 2, **by), ["a"], ["visual"])
    shown = [cell.split(" ±")[0] for cell in table.loc["visual, a"]]
    assert shown == ["10.0", "20.0", "30.0", "40.0", "20.0"]


def test_processes_do_not_change_the_rows(monkeypatch, task):
    monkeypatch.setattr(glyphs, "draw", lambda seed, **settings: task)
    found = reports.run_contest([3], terms=TINY, jobs=1)
    again = reports.run_contest([3], terms=TINY, jobs=1)
    keep = [c for c in found if c != "seconds"]
    pd.testing.assert_frame_equal(found[keep], again[keep])


# The records


def test_the_recorded_choices_are_those_of_their_own_rows():
    kept = reports.choices()
    assert choices.chosen(kept["rates"]) == kept["chosen"]
    assert set(kept["chosen"]) == set(choices.RATES)
    tried = pd.DataFrame(kept["rates"])
    for way, rates in choices.RATES.items():
        assert tuple(sorted(tried[tried["way"] == way]["rate"].unique())) == rates
    assert tried["split"].min() >= 100  # splits that no record reports


def test_the_record_was_made_at_the_chosen_rates():
    kept = reports._recorded("mechanisms")
    assert kept["rates"] == reports.choices()["chosen"]
    rows = reports.recorded()
    assert not rows.duplicated(["split", "kind", "method"]).any()
    assert rows["split"].max() < 100
    for of in (reports.TUNING, reports.SECOND):
        for a, b in of.values():
            for kind in study.KINDS:
                assert reports.gain(rows, (kind, a), (kind, b)).n > 1


# Figures


def test_figures_show_what_they_are_given(task, page):
    axes = page(2, 3).flat
    figures.long_tail(axes[0], task)
    heights = sorted(bar.get_height() for bar in axes[0].patches)
    np.testing.assert_array_equal(heights, sorted(task.counts.tolist()))
    rows = known(a=[0.5, 0.6], b=[0.4, 0.4])
    figures.methods(axes[1], rows, [("visual", "a"), ("visual", "b")], ("all", "few"))
    names = [t.get_text() for t in axes[1].get_yticklabels()]
    assert names == ["visual, a", "visual, b"]
    pairs = {"a − b": (("visual", "a"), ("visual", "b"))}
    figures.differences(axes[2], rows, pairs, ["all"])
    assert axes[2].lines[0].get_xdata()[0] == pytest.approx(15)
    figures.examples([axes[3]], task, [int(task.counts.argmax())])
    assert axes[3].get_title() == str(int(task.counts.max()))
    figures.steps(axes[4], reports.steps(), "visual")
    assert len(axes[4].lines) == 3
    table = pd.DataFrame(
        dict(trained=[10, 1000], few=[50.0, 60]), index=["v, a", "l, b"]
    )
    figures.costs(axes[5], table)
    assert [line.get_xdata()[0] for line in axes[5].lines[:2]] == [10, 1000]
