"""The transfer matrix: one tensor program, chosen on validation data only."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tailwise.data import spurious
from tailwise.matrix import methods, worlds
from tailwise.matrix.heads import Member, fit, logits_of
from tailwise.matrix.run import (
    METRICS,
    Record,
    choose,
    measure,
    rates,
    read,
    run,
    run_world,
)
from tailwise.methods import losses, risk
from tailwise.metrics import group_accuracies
from tailwise.profiles import current

S, N, D, K = 2, 60, 5, 3
STEPS, RATE = 20, 0.1
MEMBERS = [
    Member(0.01),
    Member(0.1, weights="some"),
    Member(0.0, rule="softad", rule_params={"tau": 0.3}),
    Member(0.01, rule="softad", rule_params={"tau": 0.5}),
    Member(0.02, rule="cvar_softad", rule_params={"tau": 0.4, "quantile": 0.5}),
    Member(0.01, loss="la", params={"tau": 1.0}),
    Member(0.01, loss="ldt", params={"gamma": 0.5}, weights="some"),
    Member(0.01, loss="vs", params={"gamma": 0.3, "tau": 0.5}),
]


def drawn(seed=0, n=N):
    g = torch.Generator().manual_seed(seed)
    share = torch.tensor([0.6, 0.3, 0.1])
    y = torch.stack([torch.multinomial(share, n, True, generator=g) for _ in range(S)])
    y[:, :K] = torch.arange(K)
    X = 1.5 * F.one_hot(y, D) + torch.randn(S, n, D, generator=g, dtype=torch.float64)
    return X, y


def some_weights(y):
    return {"some": 1.0 + y.double() ** 2}


def loop(X, y, member, weights):
    """One head on one data set, by autograd and torch's own Adam."""
    counts = y.bincount(minlength=K)
    W = torch.zeros(D + 1, K, dtype=X.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([W], RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    knobs = losses.knobs(member.loss, counts, **member.params)
    w = weights if member.weights == "some" else torch.ones(len(y), dtype=X.dtype)
    for _ in range(STEPS):
        each = losses.adjusted_cross_entropy(
            X @ W[:-1] + W[-1], y, **knobs, reduction="none"
        )
        value = w @ each / w.sum()
        if member.rule != "erm":
            value = risk.objective(each, member.rule, **member.rule_params)
        value = value + member.ridge / 2 * W[:-1].square().sum()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    return W.detach()


def fitted(X, y, members, **options):
    return fit(X, y, members, K, steps=STEPS, rate=RATE, **options)


def test_the_program_equals_a_loop_over_members_and_data_sets():
    X, y = drawn()
    weights = some_weights(y)
    heads = fitted(X, y, MEMBERS, weights=weights)
    for s in range(S):
        for j, member in enumerate(MEMBERS):
            by_hand = loop(X[s], y[s], member, weights["some"][s])
            torch.testing.assert_close(heads[s, j], by_hand, rtol=1e-6, atol=1e-8)


def test_a_member_does_not_depend_on_the_others():
    X, y = drawn()
    weights = some_weights(y)
    together = fitted(X, y, MEMBERS, weights=weights)
    for j, member in enumerate(MEMBERS):
        alone = fitted(X[1:], y[1:], [member], weights={"some": weights["some"][1:]})
        torch.testing.assert_close(together[1:, j : j + 1], alone)


def test_equal_weights_and_neutral_knobs_are_plain():
    X, y = drawn()
    neutral = [
        Member(0.01),
        Member(0.01, weights="some"),
        Member(0.01, loss="la", params={"tau": 0.0}),
        Member(0.01, loss="ldt", params={"gamma": 0.0}),
    ]
    heads = fitted(X, y, neutral, weights={"some": torch.full(y.shape, 7.0)})
    torch.testing.assert_close(heads, heads[:, :1].expand_as(heads))


def test_permuted_classes_permute_the_heads():
    X, y = drawn()
    order = torch.tensor([2, 0, 1])
    heads = fitted(X, y, MEMBERS, weights=some_weights(y))
    renamed = fitted(X, order[y], MEMBERS, weights=some_weights(y))
    torch.testing.assert_close(renamed[..., order], heads)


def test_chunks_change_nothing(monkeypatch):
    X, y = drawn(n=400)
    many = MEMBERS[:1] * 2000  # more than a chunk holds
    parts = []
    monkeypatch.setattr(
        "tailwise.matrix.heads._descend",
        lambda X, *rest: parts.append(len(X)) or X.new_zeros(len(X), 1),
    )
    fit(X, y, many, K)
    assert parts == [1, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": torch.zeros(N, D)}, "X"),
        ({"X": torch.full((S, N, D), torch.nan)}, "finite"),
        ({"members": []}, "members"),
        ({"members": [Member(-1.0)]}, "ridge"),
        ({"members": [Member(0.0, weights="none such")]}, "none such"),
        ({"members": [Member(0.0, rule="softad", rule_params={})]}, "takes tau"),
        ({"members": [replace(MEMBERS[2], weights="some")]}, "softad"),
        ({"members": [Member(0.0, loss="la")]}, "takes tau"),
        ({"weights": {"some": torch.zeros(S, N)}}, "some"),
        ({"weights": {"some": torch.ones(S, 1)}}, "some"),
        ({"counts": torch.ones(S, K + 1)}, "counts"),
    ],
)
def test_bad_input_is_named(change, words):
    X, y = drawn()
    given = dict(X=X, y=y, members=MEMBERS[:1], n_classes=K, weights=some_weights(y))
    with pytest.raises(ValueError, match=words):
        fit(**given | change)


# A world small enough to try things on


def tiny(*, labelled=True, views=0):
    parts = []
    for seed in range(3):
        X, y = drawn(seed)
        group = 2 * y + (X[..., 3] > 0).long()
        parts.append(worlds.Part(X, y, group))
    names = [f"group {g}" for g in range(2 * K)]
    known = dict(labelled=labelled, views=views, mixed_by="group")
    return worlds._world("tiny", "tiny", K, names, parts, **known)


@pytest.fixture(scope="module")
def found():
    return {
        labelled: methods.candidates(tiny(labelled=labelled), n_subsets=3)[0]
        for labelled in (True, False)
    }


def test_every_method_gives_heads_where_it_applies(found):
    assert found[True].keys() == methods.METHODS.keys()
    only = {"weights by groups", "DFR"}
    assert found[False].keys() == methods.METHODS.keys() - only
    for heads in found[True].values():
        assert heads.shape[0] == S
        assert heads.shape[2:] == (D + 1, K)
        assert heads.isfinite().all()


def test_an_average_of_heads_is_an_average_of_scores():
    world = tiny(views=2)
    heads = methods._experts(world)
    X, y = world.train.X, world.train.y
    members = methods._members(methods.METHODS["CE"])
    views = (X[..., :2], X[..., 2:])
    each = [logits_of(view, fit(view, y, members, K)) for view in views]
    torch.testing.assert_close(logits_of(X, heads), sum(each) / 2)


def test_a_shift_moves_scores_along_the_log_priors(found):
    world = tiny()
    moved, plain = found[True]["shifted threshold"], found[True]["CE"]
    torch.testing.assert_close(moved[:, : plain.shape[1]], plain)
    torch.testing.assert_close(
        moved[..., :-1, :],
        plain[..., :-1, :].repeat(1, len(methods.SHIFTS), 1, 1),
    )
    prior = methods.class_counts(world).double().log()
    step = moved[:, -1, -1] - plain[:, -1, -1]
    tau = max(methods.SHIFTS)
    centred = prior - prior.mean(-1, keepdim=True)
    torch.testing.assert_close(
        (step - step.mean(-1, keepdim=True)).double(),
        -tau * centred,
        rtol=1e-5,
        atol=1e-5,
    )


def test_subsets_are_balanced_and_halves_are_disjoint():
    cells = tiny().train.group
    rows = methods.subsets(cells, 4)
    smallest = min(row.bincount()[row.bincount() > 0].min() for row in cells)
    for s in range(S):
        for picked in rows[s]:
            counts = cells[s, picked].bincount()
            assert set(counts[counts > 0].tolist()) == {int(smallest)}
    first, second = methods.halves(cells)
    for a, b, row in zip(first, second, cells):
        assert not set(a.tolist()) & set(b.tolist())
        gap = row[a].bincount(minlength=6) - row[b].bincount(minlength=6)
        assert gap.abs().max() <= 1


def test_weights_give_classes_and_groups_the_same_total():
    world = tiny()
    weights, _ = methods.sample_weights(world)
    for name, cells in (("priors", world.train.y), ("groups", world.train.group)):
        for w, row in zip(weights[name], cells):
            totals = torch.zeros(6, dtype=w.dtype).index_add_(0, row, w)
            present = totals[totals > 0]
            torch.testing.assert_close(present, present[:1].expand_as(present))


def test_rates_are_group_accuracies_and_ignore_what_is_absent():
    world = tiny()
    heads = fitted(world.train.X, world.train.y, MEMBERS[:1])
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


# The worlds and the record


def test_the_missing_group_is_missing_before_the_test_only():
    world = worlds.missing_group(current("laptop"), 1)
    absent = spurious.SKIN.counts["train"].index(0)
    assert absent not in world.train.group.unique()
    assert absent not in world.val.group.unique()
    assert absent in world.test.group.unique()
    assert world.mix[world.test.group == absent].sum() == 0
    assert world.mix.sum().item() == pytest.approx(1)


def test_features_are_scaled_by_the_training_set():
    world = worlds.hard_examples(current("laptop"), 1)
    assert world.train.X.mean(1).abs().max() < 1e-4
    assert world.train.X.std(1).max() < 1 + 1e-4
    assert world.test.X.mean(1).abs().max() > 1e-2


@pytest.fixture(scope="module")
def record():
    described, values = run_world(tiny(), n_subsets=3)
    return Record("laptop", {}, {"tiny": described}, {"tiny": values})


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


@pytest.mark.parametrize(
    "cell", [("no", "CE", "loss"), ("tiny", "no", "loss"), ("tiny", "CE", "no")]
)
def test_an_unknown_cell_is_named(record, cell):
    with pytest.raises(ValueError, match="'no': expected one of"):
        record.level(*cell)


def test_a_run_names_what_it_does_not_know():
    with pytest.raises(ValueError, match="moon"):
        run(current("laptop"), ["moon"])
    with pytest.raises(ValueError, match="n_seeds is 1"):
        run(current("laptop"), n_seeds=1)
