"""One tensor program of heads: against a loop, and what leaves it alone."""

from dataclasses import replace

import pytest
import torch
from tiny_world import D, K, N, S, drawn

from tailwise.matrix.stacked_heads import Member, fit
from tailwise.methods import losses, risk

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
        "tailwise.matrix.stacked_heads._descend",
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
