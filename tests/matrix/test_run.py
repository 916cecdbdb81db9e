"""A run of the matrix: chosen on validation data only, measured, kept whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_world import K, S, tiny
from torch.nn import functional as F

from tailwise.ledger import claims
from tailwise.matrix import worlds
from tailwise.matrix.run import (
    METRICS,
    by_size,
    choose,
    measure,
    rates,
    read,
    recorded,
    run,
    run_world,
)
from tailwise.matrix.stacked_heads import Member, fit, logits_of
from tailwise.metrics import group_accuracies
from tailwise.profiles import current


def test_rates_are_group_accuracies_and_ignore_what_is_absent():
    world = tiny()
    heads = fit(world.train.X, world.train.y, [Member(ridge=0.01)], K)
    predicted = logits_of(world.test.X, heads).argmax(-1)
    right = (predicted == world.test.y.unsqueeze(1)).double()
    by_group = rates(right, world.test.group, 2 * K)
    for s in range(S):
        found = group_accuracies(world.test.y[s], predicted[s, 0], world.test.group[s])
        present = by_group[s, 0][~by_group[s, 0].isnan()]
        np.testing.assert_allclose(present, found.per_group)


def test_the_choice_reads_validation_data_only(found):
    world = tiny()
    heads = found[True]["LA"]
    best = choose(heads, world)
    nonsense = worlds.Part(*(torch.zeros_like(v) for v in vars(world.test).values()))
    blind = replace(world, test=nonsense, train=nonsense)
    assert (choose(heads, blind) == best).all()
    part = world.val
    for s in range(S):
        worst = []
        for head in heads[s]:
            y_hat = (part.X[s] @ head[:-1] + head[-1]).argmax(-1)
            each = group_accuracies(part.y[s], y_hat, part.group[s])
            worst.append(each.accuracy_worst_group)
        assert best[s] == int(np.argmax(worst))


def test_classes_choose_where_groups_are_unknown(found):
    heads = found[False]["LA"]
    world = tiny(labelled=False)
    for group in (world.val.group, torch.zeros_like(world.val.group)):
        other = replace(world, val=replace(world.val, group=group))
        assert (choose(heads, other) == choose(heads, world)).all()


def test_metrics_of_a_head(found):
    world = tiny()
    heads = found[True]["CE"][:, 0]
    numbers = measure(heads, world)
    assert numbers.keys() == METRICS.keys()
    for s in range(S):
        z = world.test.X[s] @ heads[s, :-1] + heads[s, -1]
        y, group = world.test.y[s], world.test.group[s]
        by_group = group_accuracies(
            y, z.argmax(-1), group, train_groups=world.train.group[s]
        )
        by_class = group_accuracies(y, z.argmax(-1), y)
        expected = {
            "worst group": by_group.accuracy_worst_group,
            "worst class": by_class.accuracy_worst_group,
            "balanced": by_class.accuracy_balanced,
            "training mix": by_group.accuracy_train_prior,
            "loss": F.cross_entropy(z.double(), y).item(),
        }
        for name, value in expected.items():
            assert numbers[name][s] == pytest.approx(value, abs=1e-6)


def test_gains_are_paired(record):
    a, b = (record.of("tiny", m, "balanced") for m in ("LA", "VS"))
    gain = record.gain("tiny", "LA", "balanced", "VS")
    assert gain.mean == pytest.approx((a - b).mean())
    assert gain.stderr == pytest.approx((a - b).std(ddof=1) / np.sqrt(S))
    assert record.gain("tiny", "CE", "loss").mean == 0


def test_a_record_is_written_whole_and_read_back(record, tmp_path, monkeypatch):
    monkeypatch.setenv("TAILWISE_RESULTS", str(tmp_path))
    path = record.save()
    assert path == tmp_path / "laptop" / "transfer.json"
    assert read(path) == record
    assert [p.name for p in path.parent.iterdir()] == ["transfer.json"]
    assert read(tmp_path / "none.json") is None
    path.write_text("[1]")
    with pytest.raises(ValueError, match=r"transfer\.json is not"):
        read(path)


def test_the_largest_record_comes_first_and_a_run_stands_for_its_own(
    record, tmp_path, monkeypatch
):
    monkeypatch.setattr(claims, "book_dir", lambda: tmp_path)
    assert recorded() is None
    assert by_size(record) == (record, record)
    small, mine = replace(record, profile="smoke"), replace(record, provenance={"a": 1})
    for profile in ("laptop", "full"):
        kept = replace(record, profile=profile)
        path = tmp_path / "results" / profile / "transfer.json"
        path.parent.mkdir(parents=True)
        path.write_text(kept.dumps())
        assert recorded() == recorded(profile) == kept
    assert by_size(mine) == (recorded("full"), mine)
    assert by_size(small) == (recorded("full"), recorded("laptop"))
    large = replace(mine, profile="full")
    assert by_size(large) == (large, recorded("laptop"))


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_a_seed_is_the_same_alone_and_among_others(name):
    P = current("smoke")
    both, one = (worlds.WORLDS[name](P, seeds) for seeds in ([3, 4], [4]))
    for part in ("train", "val", "test"):
        for a, b in zip(*(vars(getattr(w, part)).values() for w in (both, one))):
            assert torch.equal(a[1:], b)
    assert torch.equal(both.mix[1:], one.mix)
    assert (both.seeds, one.seeds) == ((3, 4), (4,))


def test_a_run_is_that_of_its_seeds(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    P = current("smoke")
    record = run(P, ["birds"], n_seeds=2)
    for s in range(2):
        described, values = run_world(worlds.rare_groups(P, [s]))
        assert described | {"fell back": 0} == record.worlds["birds"] | {"fell back": 0}
        for method, metrics in values.items():
            for metric, (value,) in metrics.items():
                assert record.of("birds", method, metric)[s] == value
    kept = list(tmp_path.rglob("run.one_seed/*.safetensors"))
    assert len(kept) == 2
    assert run(P, ["birds"], n_seeds=3).provenance["kept_cpu_s"] > 0


@pytest.mark.parametrize(
    "entry", [("no", "CE", "loss"), ("tiny", "no", "loss"), ("tiny", "CE", "no")]
)
def test_an_unknown_entry_is_named(record, entry):
    with pytest.raises(ValueError, match="'no': expected one of"):
        record.level(*entry)


@pytest.mark.parametrize("name", ["moon", "backbone", "textiles"])
def test_a_run_names_what_it_does_not_know(name):
    with pytest.raises(ValueError, match=name):
        run(current("laptop"), [name])


def test_a_run_of_one_seed_is_refused():
    with pytest.raises(ValueError, match="n_seeds is 1"):
        run(current("laptop"), n_seeds=1)
