"""Methods as candidates: heads that average, shift, weigh and share out as they say."""

import torch
from tiny_world import D, K, S, tiny

from tailwise.matrix import methods
from tailwise.matrix.stacked_heads import fit, logits_of


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
    rows = methods.subsets(cells, 4, range(S))
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
