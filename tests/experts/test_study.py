"""Chapter 4's experiment in small, and its numbers from splits with known answers."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tailwise.data import glyphs
from tailwise.experts import choices, reports, study
from tailwise.experts import plots as figures
from tailwise.experts.scorer import mean_logits
from tailwise.experts.training import Settings
from tailwise.metrics import estimate

TINY = Settings(steps=2, batch=16)
RATES = {"visual": 1e-3, "language": 1e-3}


@pytest.fixture(scope="module")
def task() -> glyphs.Task:
    return glyphs.draw(3, n_max=24, imbalance_ratio=12, n_val=1, n_test=2)


@pytest.fixture(scope="module")
def pair() -> study.Pair:
    return study.load_pair()


@pytest.fixture(scope="module")
def states(pair) -> dict:
    return {
        kind: copy.deepcopy(getattr(pair, kind).state_dict()) for kind in vars(pair)
    }


@pytest.fixture(scope="module")
def split(pair, task, states) -> study.Split:
    return study.run(pair, task, 3, RATES, settings=TINY)


def test_no_method_moves_the_pair(pair, split, states):
    for kind, before in states.items():
        after = getattr(pair, kind).state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before), kind


def test_every_method_gives_scores_for_every_set(split, task):
    assert "scorer, joint" in split.logits
    assert len(split.logits) == 28
    for method, parts in split.logits.items():
        assert set(parts) >= set(study.TESTS), method
        for name in parts:
            expected = (len(getattr(task, name).labels), 60)
            assert parts[name].shape == expected, method
            assert parts[name].isfinite().all(), method


def test_what_a_scorer_reads_is_there(split):
    for kind in study.KINDS:
        assert set(split.logits[f"{kind}, phase 2"]) == set(study.SETS)


def test_shared_embeddings_change_no_score(pair, task, split):
    start = pair.fresh("language", task, 3, tokens=0, adapter=0)
    expected = start(task.test.images).detach()
    torch.testing.assert_close(split.logits["language, names"]["test"], expected)


def test_plain_means_are_means(split):
    for of in ("probe", "phase 2"):
        both = [split.logits[f"{kind}, {of}"]["test"] for kind in study.KINDS]
        expected = mean_logits(torch.stack(both))
        assert torch.equal(split.logits[f"mean of logits, {of}"]["test"], expected)
        assert torch.equal(reports.scaled_mean(split, 1.0, of), expected)


def test_weights_sum_to_one_and_every_selection_is_counted(split):
    for weight in split.weights.values():
        torch.testing.assert_close(weight.sum(-1), torch.ones(len(weight)))
    for usage in split.usage.values():
        assert usage.sum() > 0
        assert (usage > 0).sum() > 2


def test_processes_do_not_change_the_chosen_rates(pair, task):
    options = dict(settings=TINY, rates=(1e-4, 1e-1))
    alone = choices.choose_rates(pair, task, 3, **options)
    assert choices.choose_rates(pair, task, 3, jobs=2, **options) == alone
    assert alone == {"visual": 1e-4, "language": 1e-4}


def test_a_wider_adapter_starts_at_the_same_place(pair, task):
    fresh = [pair.fresh("visual", task, 3, adapter=width) for width in (2, 16)]
    found = [expert(task.val.images) for expert in fresh]
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


def test_unknown_heads_are_refused(pair, task):
    for kind, head in (("visual", "text"), ("language", "zeros")):
        with pytest.raises(ValueError, match=f"head is '{head}' for {kind}"):
            pair.fresh(kind, task, 0, head=head)


# Numbers from splits with known answers


def known(task: glyphs.Task, visual: torch.Tensor, language: torch.Tensor):
    """A split in which each expert is right where its mask says so."""
    found = study.Split(task)
    for kind, mask in zip(study.KINDS, (visual, language)):
        parts = {}
        for name in study.SETS:
            labels = getattr(task, name).labels
            right = (
                mask if name == "test" else torch.ones_like(labels, dtype=torch.bool)
            )
            parts[name] = F.one_hot(torch.where(right, labels, (labels + 1) % 60), 60)
        found.logits[f"{kind}, phase 2"] = {k: v.double() for k, v in parts.items()}
    return found


@pytest.fixture
def mask(task) -> torch.Tensor:
    return torch.arange(len(task.test.labels)) % 2 == 0


def test_accuracy_is_by_class_group(task, mask):
    few = task.few[task.test.labels]
    found = known(task, ~few, mask).accuracy("visual, phase 2")
    assert found["few"] == 0
    assert found["many"] != found["many"] or found["many"] == 1  # may be empty
    assert found["medium"] == 1
    assert found["all"] == pytest.approx((~few).double().mean().item())
    assert known(task, mask, mask).accuracy("language, phase 2")["all"] == 0.5


def test_gains_are_paired_and_change_sign(task, mask):
    all_right = torch.ones_like(mask)
    splits = [known(task, all_right, mask), known(task, mask, ~mask)]
    names = "visual, phase 2", "language, phase 2"
    forth, back = reports.gain(splits, *names), reports.gain(splits, *names[::-1])
    assert forth.mean == -back.mean == pytest.approx(0.25)
    assert forth.stderr == back.stderr == pytest.approx(0.25)


def test_area_of_a_weight_that_knows(task, mask):
    split = known(task, mask, ~mask)
    for weight, area in ((mask.double(), 1.0), (1 - mask.double(), 0.0)):
        split.weights["summary"] = torch.stack([weight, 1 - weight], -1)
        assert reports.weight_auc(split) == area
    split.weights["summary"] = torch.full((len(mask), 2), 0.5)
    assert reports.weight_auc(split) == 0.5


def test_somebody_is_right(task, mask):
    none = torch.zeros_like(mask)
    splits = [known(task, mask, ~mask), known(task, mask, none)]
    assert reports.either_right(splits).mean == pytest.approx(0.75)


def test_leak_is_the_difference_of_gaps(task):
    few = task.few[task.test.labels]
    perfect, poor = torch.ones_like(few), ~few
    flat = [known(task, perfect, perfect)] * 2
    assert reports.leak_gap(flat).mean == 0
    assert reports.leak_gap([known(task, poor, poor)] * 2).mean == 1
    table = reports.leak([known(task, poor, perfect)] * 2)
    assert table.loc["visual, rare classes", "test"].startswith("0.0")
    assert table.loc["language, rare classes", "test"].startswith("100.0")


def test_recorded_choices_are_those_of_the_study():
    for what in ("adapter width", "rate"):
        table = reports.recorded_choices(what)
        assert list(table.index) == list(study.KINDS)
        assert table.to_numpy().min() > 100 / 60
    assert tuple(reports.recorded_choices("rate").columns) == choices.RATES
    assert 8.0 in reports.recorded_choices("adapter width").columns


@pytest.fixture
def small(monkeypatch, task) -> dict:
    """`reports.run_splits` draws the small task, and computes in this process."""
    monkeypatch.setattr(glyphs, "draw", lambda seed, n_test: task)
    return dict(settings=TINY, jobs=1)


def test_a_split_in_two_parts_is_that_of_one_run(small, split):
    (found,) = reports.run_splits([3], RATES, **small)
    assert list(found.logits) == list(split.logits)
    for method, parts in split.logits.items():
        assert torch.equal(found.logits[method]["test"], parts["test"]), method


def test_without_joint_training_its_record_is_shown(small):
    (split,) = reports.run_splits([0], RATES, joint=False, **small)
    assert not any(name.endswith("joint") for name in split.logits)
    rows = reports.recorded_pairs().set_index(["pair", "split", "method"])
    shown = reports.accuracies([split], "visual, joint")
    assert shown["few"] == [rows.loc[(0, 0, "visual, joint"), "few"]]
    with pytest.raises(ValueError, match="seed is 77: expected a recorded split"):
        reports.recorded_joint(77)


def test_recorded_pairs_agree_with_their_summaries():
    rows = reports.recorded_pairs()
    assert set(rows["pair"]) == {0, 1, 2}
    sizes = rows.groupby(["pair", "split"]).size()
    assert len(sizes) == 9
    assert sizes.nunique() == 1
    gains = reports.pair_mixture_gains()
    one = rows[(rows["pair"] == 1) & (rows["split"] == 0)].set_index("method")["all"]
    best = max(one[f"{kind}, phase 2"] for kind in study.KINDS)
    assert gains[1][0] == pytest.approx(one["mean of logits, phase 2"] - best)
    name = ("mean of logits, phase 2", "visual, phase 2")
    cell = reports.pair_gains([name]).loc[f"{name[0]} − {name[1]}", "pair 1"]
    part = rows[rows["pair"] == 1].pivot(index="split", columns="method", values="all")
    expected = estimate(100 * (part[name[0]] - part[name[1]]).to_numpy())
    assert cell == f"{expected.mean:+.1f} ± {expected.stderr:.1f}"


# Figures


def test_figures_show_what_they_are_given(split, task, page):
    axes = page(2, 3).flat
    figures.long_tail(axes[0], task)
    heights = sorted(bar.get_height() for bar in axes[0].patches)
    np.testing.assert_array_equal(heights, sorted(task.counts.tolist()))
    names = ["visual, probe", "language, probe"]
    figures.methods(axes[1], [split, split], names, ("all", "few"))
    assert [t.get_text() for t in axes[1].get_yticklabels()] == names
    figures.usage(axes[2], split)
    shares = [bar.get_height() for bar in axes[2].patches]
    assert sum(shares) == pytest.approx(2)
    figures.weights(axes[3], split)
    legend = axes[3].get_legend_handles_labels()[1]
    numbers = [int(label.split("(")[1].rstrip(")")) for label in legend]
    assert sum(numbers) == len(task.test.labels)
    figures.examples([axes[4]], task, [int(task.counts.argmax())])
    assert axes[4].get_title() == str(int(task.counts.max()))
