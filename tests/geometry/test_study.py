"""Chapter 5's experiments: what is measured, chosen and recorded."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tailwise.data.imbalance import Task
from tailwise.geometry import seli, study
from tailwise.geometry.networks import FEATURES, Networks
from tailwise.geometry.ridge import ridge_grams
from tailwise.geometry.ufm import UFM, Config, Loss, train_ufm
from tailwise.ledger import claims
from tailwise.metrics import estimate
from tailwise.profiles import current

K, F, S = 6, 9, 4
COUNTS = torch.tensor([60.0, 60, 60, 6, 6, 6]).double()
LABELS = ("CE", "LA", "LDT 1/2 + 1/n")
SAME = {"rtol": 1e-9, "atol": 1e-9}


def made(seed=0, labels=LABELS, noise=1.0, n_val=4):
    """Networks without a training: features around class means, random classifiers."""
    g = torch.Generator().manual_seed(seed)
    M = len(labels)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    val_y, test_y = (torch.randperm(6 * m, generator=g) % K for m in (n_val, 7))
    means = normal(S, M, K, F)
    W = means + 0.5 * normal(S, M, K, F)
    W = W * torch.tensor([2.0, 2, 2, 1, 1, 1]).double().unsqueeze(-1)
    logits = [
        (means[:, :, y] + noise * normal(S, M, len(y), F)) @ W.mT
        for y in (val_y, test_y)
    ]
    none = torch.zeros(0)
    task = Task(
        seeds=tuple(range(S)),
        counts=COUNTS,
        X=none,
        y=none,
        val_X=none,
        val_y=val_y,
        test_X=none,
        test_y=test_y,
    )
    errors = torch.rand(2, S, M, 3, generator=g, dtype=torch.float64)
    return Networks(
        labels=tuple(labels),
        configs=tuple(Config(gamma=0.1 * i) for i in range(M)),
        task=task,
        recipe=FEATURES,
        W=W,
        H=means,
        epochs=(1, 2, 3),
        error_w=errors[0],
        error_h=errors[1],
        train_recall=torch.ones(S, M, K),
        val_logits=logits[0],
        test_logits=logits[1],
        diverged=torch.zeros(S, M, dtype=torch.bool),
    )


def by_hand(z, y):
    """Balanced, majority and minority accuracy of one network."""
    each = []
    for c in range(K):
        right = [int(row.argmax() == c) for row, label in zip(z, y) if label == c]
        each.append(sum(right) / len(right))
    return [sum(part) / len(part) for part in (each, each[:3], each[3:])]


# Free features


@pytest.mark.parametrize("counts", [[50, 20, 9, 4], [100, 100, 10, 10]])
def test_offsets_at_the_symmetric_point_are_the_weights(counts):
    n = torch.tensor(counts, dtype=torch.float64)
    between = ~torch.eye(4, dtype=torch.bool)
    offset = torch.tensor(study.assisted(n, Config(gamma=0.5)).offset)
    # Logarithms of 1 / n_y, y the label in the columns, and one constant.
    left = (offset.double() + n.log())[between]
    torch.testing.assert_close(left, left[:1].expand_as(left), rtol=0, atol=1e-6)
    # With these weights nothing but the constant is left.
    weighted = study.assisted(n, Config(gamma=0.5, weight_power=1)).offset
    rest = torch.tensor(weighted)[between]
    torch.testing.assert_close(rest, rest[:1].expand_as(rest), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", seli.KINDS)
@pytest.mark.parametrize("gamma", [-0.5, 0.0, 0.25])
@pytest.mark.parametrize("power", [0.0, 0.7])
def test_with_the_offsets_the_limit_balances_at_any_ridge(kind, gamma, power):
    n = torch.tensor([50.0, 20, 9, 4], dtype=torch.float64)
    config = Config(kind, gamma, weight_power=power, ridge=0.1, seed=3)
    found = study.assisted(n, config)
    assert replace(found, offset=None) == config
    delta = seli.temperatures(n, gamma)
    loss = Loss(n.unsqueeze(0), [found])
    # Far along the ray of the limit all margins are equal, and the slope of the loss
    # at the logits is proportional to the multipliers, times the counts of the labels.
    z = 40 * seli.sel_matrix(delta, kind).mT  # [k (y), k (c)]
    z.requires_grad_()
    loss.log_value((z * n.sqrt().unsqueeze(-1)).unsqueeze(0)).sum().backward()
    slope = z.grad / n.unsqueeze(-1)
    dual = seli.multipliers(n, delta, kind) * loss.factor[0].mT  # [k (c), k (y)]
    between = ~torch.eye(4, dtype=torch.bool)
    ratio = (slope.mT / dual)[between]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-6, atol=0)
    # Without them it is not.
    bare = Loss(n.unsqueeze(0), [config])
    z.grad = None
    bare.log_value((z * n.sqrt().unsqueeze(-1)).unsqueeze(0)).sum().backward()
    ratio = (z.grad.mT / n / dual)[between]
    assert ratio.max() > 1.1 * ratio.min()


def test_the_grid_is_every_kind_ratio_and_exponent():
    counts, configs = study.main_grid((3, 8))
    assert len(configs) == len(counts) == 2 * 28
    ratio = (counts[:, 0] / counts[:, -1]).tolist()
    cells = {(R, c.kind, c.gamma, c.seed) for R, c in zip(ratio, configs)}
    assert cells == {
        (R, kind, gamma, seed)
        for R in study.RATIOS
        for kind in seli.KINDS
        for gamma in study.GAMMAS
        for seed in (3, 8)
    }
    assert (counts[:, 5:] == 5).all()
    assert (counts[:, :5] == counts[:, :1]).all()
    # The seeds of a cell are neighbours, and the ratio changes last.
    assert [c.seed for c in configs] == [3, 8] * 28
    assert ratio == sorted(ratio)


def test_limits_are_trained_as_each_alone():
    configs = {"a": Config(), "b": Config("cdt", 0.5, tau=1)}
    found = study.train_limits(configs, (10, 30), 2, steps=20, d=12)
    assert list(found) == [("a", 10), ("a", 30), ("b", 10), ("b", 30)]
    for (name, R), errors in found.items():
        for seed in range(2):
            n = seli.step_counts(5, 5, R, 5)
            alone = train_ufm(n, [replace(configs[name], seed=seed)], steps=20, d=12)
            W, H = alone.W[0], alone.H[0]
            cosine = (W * H).sum(-1) / (W.norm(dim=-1) * H.norm(dim=-1))
            expected = alone.error_w[0, -1], alone.error_h[0, -1], cosine.min()
            found_here = [e[seed] for e in errors]
            assert found_here == pytest.approx([x.item() for x in expected], rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "gamma"), [("ldt", 0.0), ("ldt", -0.5), ("cdt", 0.0), ("cdt", 0.5)]
)
def test_the_slowest_margin_is_where_it_was_put(kind, gamma):
    n = torch.tensor([50.0, 20, 9, 4], dtype=torch.float64)
    delta = seli.temperatures(n, gamma)
    dual = seli.multipliers(n, delta, kind)
    pairs = [(c, y) for c in range(4) for y in range(4) if c != y]
    W, H = torch.eye(4).double().expand(12, 4, 4), []
    for c, y in pairs:
        margin = 1 + torch.rand(4, 4, generator=torch.Generator().manual_seed(c))
        margin.fill_diagonal_(0)[c, y] = 2.5
        # With these W the logits of class y are H[y].
        by = delta.unsqueeze(0) if kind == "ldt" else delta.unsqueeze(1)
        H.append((5 - margin).mT / by.mT)
    known = dict(configs=(Config(kind, gamma),) * 12, W=W, H=torch.stack(H).double())
    known |= dict(class_counts=n.expand(12, 4), delta=delta.expand(12, 4))
    model = UFM(**dict.fromkeys(UFM.__dataclass_fields__, torch.zeros(0)) | known)
    found = study.slowest_margin_is_predicted(model)
    least = min(dual[pair].item() for pair in pairs)
    assert found.tolist() == [dual[pair].item() <= 1.01 * least for pair in pairs]
    assert 0 < found.sum() < 12


def test_margins_whose_multipliers_are_equal_count_alike():
    n = seli.step_counts(2, 2, 10)
    dual = seli.multipliers(n, torch.ones(4).double(), "ldt")
    hit = dual <= 1.01 * dual[dual > 0].min()
    assert (hit & (dual > 0)).sum() > 1
    model = train_ufm(n, [Config(seed=seed) for seed in range(20)], steps=300)
    for b, found in enumerate(study.slowest_margin_is_predicted(model)):
        z = model.W[b] @ model.H[b].mT
        margin = z.diagonal() - z - torch.eye(4)
        assert found == hit.flatten()[margin.argmax()].item()


def test_without_a_ridge_the_cosines_are_those_of_the_limit():
    found = study.without_ridge(torch.tensor([10.0, 1000]))
    assert list(found) == ["CE", "LDT 1/2", "CDT 1/6", "CDT 1/4"]
    for name, kind, gamma in (("CE", "ldt", 0), ("CDT 1/6", "cdt", 1 / 6)):
        for R, cosine in zip((10, 1000), found[name]):
            n = seli.step_counts(5, 5, R)
            delta = seli.temperatures(n, gamma)
            gram, _ = seli.predicted_grams(n, delta, kind)
            torch.testing.assert_close(cosine, gram[8, 9] / gram[9, 9], **SAME)


def test_minority_cosines_are_those_of_the_exact_solution():
    n, ridges = seli.step_counts(3, 2, 10, 5), [1e-2, 1e-4]
    configs = {"CE": Config(), "VS": Config("cdt", 0.25, tau=1)}
    found = study.minority_cosines(n, configs, ridges)
    assert list(found) == list(configs)
    for name, config in configs.items():
        for gram, cosine in zip(ridge_grams(n, config, ridges)[0], found[name]):
            expected = gram[3, 4] / (gram[3, 3] * gram[4, 4]).sqrt()
            torch.testing.assert_close(cosine, expected, **SAME)


def test_the_distance_to_the_etf_is_the_largest():
    ridges = [1e-3, 1e-5]
    each = [
        seli.gram_error(gram, torch.eye(10).double() - 0.1).item()
        for R in (10, 100)
        for gram in ridge_grams(seli.step_counts(5, 5, R), Config(), ridges)[0]
    ]
    assert study.etf_error(Config(), ridges) == pytest.approx(max(each))
    assert max(each) > 1.01 * np.median(each)
    # Newton's method stops at a relative slope of 1e-9.
    assert study.etf_error(study.FIVE["LDT 1/2 + 1/n"], ridges) < 1e-6


# Networks


@pytest.mark.parametrize("label", LABELS)
def test_accuracies_are_counted(label):
    networks = made()
    i = networks.index(label)
    found = study.accuracies(networks, label)
    assert found.shape == (3, S)
    for s in range(S):
        expected = by_hand(networks.test_logits[s, i], networks.task.test_y)
        assert found[:, s].tolist() == pytest.approx(expected)
    other = networks.test_logits[:, (i + 1) % 3]
    given = study.accuracies(networks, label, other)
    assert torch.equal(given, study.accuracies(networks, LABELS[(i + 1) % 3]))
    assert not torch.equal(given, found)


def test_distances_to_the_limit_are_those_at_the_end():
    networks = made()
    for i, label in enumerate(LABELS):
        w, h = study.limit_errors(networks, label)
        np.testing.assert_array_equal(w, networks.error_w[:, i, 2])
        np.testing.assert_array_equal(h, networks.error_h[:, i, 2])


def test_distances_to_the_exact_solution_are_those_at_the_recipes_ridge():
    networks = made()
    networks = replace(networks, recipe=replace(FEATURES, ridge=3e-3))
    for i, label in enumerate(LABELS):
        (target,), _ = ridge_grams(COUNTS, networks.configs[i], [3e-3])
        for s, found in enumerate(study.exact_ridge_error(networks, label)):
            W = networks.W[s, i]
            expected = seli.gram_error(W @ W.T, target).item()
            assert found == pytest.approx(expected)


def test_unknown_labels_are_errors():
    for call in (study.accuracies, study.limit_errors, study.exact_ridge_error):
        with pytest.raises(ValueError, match="unknown label 'VS'"):
            call(made(), "VS")


# After training


@pytest.mark.parametrize("how", ["norm", "additive"])
def test_knob_zero_changes_nothing(how):
    z = made().val_logits[:, 0]
    found = study.rebalance(z, made().W[:, 0], COUNTS, how, 0)
    torch.testing.assert_close(found, z, rtol=0, atol=0)


def swapped(W, counts, knob):
    """The changed classifiers, from the logits of features that are unit vectors."""
    h = torch.eye(W.shape[-1]).to(W)
    return study.rebalance(h @ W.mT, W, counts, "geometry", knob).mT


@pytest.mark.parametrize("knob", study.REBALANCE["geometry"])
def test_the_swap_gives_the_gram_of_that_exponent_and_keeps_the_trace(knob):
    W = made().W[:, 0]
    new = swapped(W, COUNTS, knob)
    assert new.shape == W.shape
    found, own = new @ new.mT, W @ W.mT
    delta = (COUNTS / COUNTS.max()) ** knob
    limit, _ = seli.predicted_grams(COUNTS, delta, "ldt")
    for a, b in zip(found, own):
        torch.testing.assert_close(a.trace(), b.trace(), **SAME)
        torch.testing.assert_close(a / a.trace(), limit / limit.trace(), **SAME)
    # Logits are linear in the features.
    h = torch.randn(5, F, generator=torch.Generator().manual_seed(0)).double()
    z = study.rebalance(h @ W.mT, W, COUNTS, "geometry", knob)
    torch.testing.assert_close(z, h @ new.mT, **SAME)


def test_the_swap_stays_in_the_frame_of_the_classifiers():
    # W' = G^(1/2) U with the U that is nearest to W among those with orthonormal rows.
    W = made().W[:, 0]
    new, delta = swapped(W, COUNTS, 0.5), COUNTS.sqrt()
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    G, _ = seli.predicted_grams(COUNTS, delta, "ldt")
    e, V = torch.linalg.eigh(G)
    expected = V @ e.clamp_min(0).sqrt().diag() @ V.T @ U @ Vh
    size = W.square().sum((1, 2)) / expected.square().sum((1, 2))
    expected = expected * size.sqrt()[:, None, None]
    # The root of an eigenvalue that is zero up to 1e-16.
    torch.testing.assert_close(new, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("centre", [False, True])
def test_the_swap_does_nothing_to_classifiers_that_have_the_shape(centre):
    W = made().W[:, 0]
    W = W - W.mean(1, keepdim=True) if centre else W
    once = swapped(W, COUNTS, 0.25)
    torch.testing.assert_close(swapped(once, COUNTS, 0.25), once, rtol=0, atol=1e-6)
    assert (once - W).abs().max() > 0.1


@pytest.mark.parametrize("how", study.REBALANCE)
def test_the_names_of_the_classes_do_not_matter(how):
    W, z = made().W[:, 0], made().val_logits[:, 0]
    n = torch.tensor([60.0, 50, 40, 9, 6, 3]).double()
    order = torch.randperm(K, generator=torch.Generator().manual_seed(0))
    found = study.rebalance(z, W, n, how, 0.75)
    moved = study.rebalance(z[..., order], W[:, order], n[order], how, 0.75)
    torch.testing.assert_close(moved, found[..., order], **SAME)
    assert (found - z).abs().max() > 0.1


@pytest.mark.parametrize("how", study.REBALANCE)
def test_seeds_are_changed_one_by_one(how):
    networks = made()
    whole = study.rebalance(networks.val_logits, networks.W, COUNTS, how, 1.5)
    for s, i in np.ndindex(S, 3):
        z, W = networks.val_logits[s, i], networks.W[s, i]
        alone = study.rebalance(z, W, COUNTS, how, 1.5)
        torch.testing.assert_close(whole[s, i], alone, **SAME)


def test_additive_subtracts_log_priors_and_norm_divides_by_lengths():
    W, z = made().W[0, 0], made().val_logits[0, 0]
    added = study.rebalance(z, W, COUNTS, "additive", 1.5)
    divided = study.rebalance(z, W, COUNTS, "norm", 1.5)
    for c in range(K):
        prior = COUNTS[c] / COUNTS.sum()
        torch.testing.assert_close(added[:, c], z[:, c] - 1.5 * prior.log(), **SAME)
        length = W[c].square().sum().sqrt()
        torch.testing.assert_close(divided[:, c], z[:, c] / length**1.5, **SAME)


def test_logits_keep_their_type():
    W, z = made().W[:, 0], made().val_logits[:, 0].float()
    for how in study.REBALANCE:
        found = study.rebalance(z, W, COUNTS, how, 0.5)
        assert found.dtype == torch.float32
        exact = study.rebalance(z.double(), W, COUNTS, how, 0.5)
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)


def test_an_unknown_way_is_an_error():
    message = "unknown how 'prayer': expected one of geometry, norm, additive"
    with pytest.raises(ValueError, match=message):
        study.rebalance(torch.zeros(3, K), made().W[0, 0], COUNTS, "prayer", 1.0)


def chosen(networks, i, how, s):
    """A knob by trying all, the first of the best, and its test accuracies."""
    task, best = networks.task, (-1.0, None, None)
    W, val, test = (
        x[s, i] for x in (networks.W, networks.val_logits, networks.test_logits)
    )
    for knob in (None, *study.REBALANCE[how]):
        z, t = val, test
        if knob is not None:
            z, t = (study.rebalance(x, W, COUNTS, how, knob) for x in (val, test))
        # Fractions of few images: equal ones differ by rounding only.
        score = round(by_hand(z, task.val_y)[0], 9)
        if score > best[0]:
            best = score, knob, by_hand(t, task.test_y)
    return best[1:]


@pytest.mark.parametrize("how", study.REBALANCE)
def test_the_knob_is_the_best_on_validation_images(how):
    networks, knobs = made(), set()
    for i, label in enumerate(LABELS):
        found = study.choose(networks, label, how)
        for s in range(S):
            knob, accuracy = chosen(networks, i, how, s)
            knobs.add(knob)
            assert np.isnan(found.knob[s]) if knob is None else found.knob[s] == knob
            assert found.accuracy[:, s].tolist() == pytest.approx(accuracy)
    assert len(knobs) > 2


@pytest.mark.parametrize("how", study.REBALANCE)
def test_of_equals_the_first_knob_wins(how):
    # Five images a class: fifths are rounded, and so is their sum, by their order.
    networks = made(n_val=5)
    for i, label in enumerate(LABELS):
        found = study.choose(networks, label, how)
        expected = [chosen(networks, i, how, s)[0] for s in range(S)]
        expected = [np.nan if knob is None else knob for knob in expected]
        np.testing.assert_array_equal(found.knob, expected)


@pytest.mark.parametrize("how", study.REBALANCE)
def test_the_test_images_do_not_choose(how):
    networks = made()
    task = replace(networks.task, test_y=networks.task.test_y.roll(1))
    other = replace(networks, task=task, test_logits=networks.test_logits.flip(2))
    for label in LABELS:
        a, b = (study.choose(x, label, how) for x in (networks, other))
        np.testing.assert_array_equal(a.knob, b.knob)
        assert not torch.equal(a.accuracy, b.accuracy)
    # The validation images do.
    turned = replace(networks, val_logits=networks.val_logits.flip(-1))
    knobs = [
        np.stack([study.choose(x, label, how).knob for label in LABELS])
        for x in (networks, turned)
    ]
    assert not np.array_equal(*knobs, equal_nan=True)


def test_raw_logits_win_where_they_are_not_beaten():
    networks = made()
    perfect = 50 * torch.eye(K).double()[networks.task.val_y]
    networks = replace(networks, val_logits=perfect.expand_as(networks.val_logits))
    found = study.choose(networks, "CE", "additive")
    assert np.isnan(found.knob).all()
    torch.testing.assert_close(found.accuracy, study.accuracies(networks, "CE"))


# Tables and claims


def numbers(cell):
    return tuple(map(float, cell.split(" ± ")))


def test_a_table_has_a_row_a_configuration():
    networks = made()
    found = study.accuracy_table(networks, ["LA", "CE"])
    assert list(found.index) == ["LA", "CE"]
    assert list(found.columns) == ["balanced", "majority", "minority"]
    for label in found.index:
        for cell, each in zip(found.loc[label], study.accuracies(networks, label)):
            e = estimate(each.numpy())
            # Three decimals.
            assert numbers(cell) == pytest.approx((e.mean, e.stderr), abs=5.1e-4)


def test_a_table_of_changes_begins_with_none_and_tells_the_knobs():
    networks = made()
    found = study.rebalanced_table(networks, "CE")
    assert list(found.index) == ["raw", "geometry", "norm", "additive"]
    raw = study.accuracy_table(networks, ["CE"]).loc["CE"]
    assert list(found.loc["raw"]) == [*raw, ""]
    for how in study.REBALANCE:
        choice = study.choose(networks, "CE", how)
        for cell, each in zip(found.loc[how], choice.accuracy):
            e = estimate(each.numpy())
            assert numbers(cell) == pytest.approx((e.mean, e.stderr), abs=5.1e-4)
        shown = found.loc[how, "knobs"].split(", ")
        knobs = [np.nan if word == "raw" else float(word) for word in shown]
        np.testing.assert_array_equal(knobs, choice.knob)


def test_gains_are_paired_and_change_sign_with_the_order():
    networks = made()
    for which in range(3):
        a, b = (study.accuracies(networks, x)[which].numpy() for x in ("LA", "CE"))
        found = study.gain(networks, "LA", "CE", which)
        assert found == estimate(a - b)
        back = study.gain(networks, "CE", "LA", which)
        assert (back.mean, back.stderr) == pytest.approx((-found.mean, found.stderr))
    assert study.gain(networks, "LA", "CE") == study.gain(networks, "LA", "CE", 0)


def test_contests_are_differences_of_balanced_accuracy():
    runs = {"one": made(1, noise=2.0), "two": made(2)}
    found = study.contests(runs)
    names = ("post_hoc", "post_hoc_norm", "post_hoc_additive", "retraining_pays")
    assert list(found) == [f"ch5.{name}" for name in names]
    for name, run in runs.items():
        swap, norm, added = (
            np.array([chosen(run, 0, how, s)[1][0] for s in range(S)])
            for how in ("geometry", "norm", "additive")
        )
        raw, again = (
            np.array([by_hand(z, run.task.test_y)[0] for z in run.test_logits[:, i]])
            for i in (0, 2)
        )
        expected = swap - raw, swap - norm, swap - added, again - added
        for claim, each in zip(names, expected):
            e, ours = estimate(each), found[f"ch5.{claim}"]
            assert list(ours) == ["one", "two"]
            assert ours[name].mean == pytest.approx(e.mean, abs=1e-12)
            assert ours[name].stderr == pytest.approx(e.stderr, abs=1e-12)
            assert ours[name].n == S


def test_contests_are_parts_of_claims_of_the_chapter():
    names = ("R = 10", "R = 100", "R = 10, ordinary", "R = 100, ordinary")
    found = study.contests({name: made(i) for i, name in enumerate(names)})
    ledger = claims.Ledger("ch5", current())
    ledger.enter(found)
    measured = ledger.to_record().measurements
    assert set(measured) == set(found)
    for claim, parts in found.items():
        assert {m.part for m in measured[claim]} == set(names)
        for m in measured[claim]:
            e = parts[m.part]
            assert (m.value, m.stderr, m.n) == (e.mean, e.stderr, e.n)


def test_every_configuration_is_another_loss():
    losses = [replace(c, seed=0) for c in (study.FIVE | study.MORE).values()]
    assert len(set(losses)) == len(losses) == len(study.FIVE) + len(study.MORE)
    assert study.FIVE["CE"] == Config()


@pytest.mark.parametrize("how", study.REBALANCE)
def test_a_diverged_network_has_no_accuracy(how):
    lost = made()
    lost.W[1, 0] = lost.val_logits[1, 0] = lost.test_logits[1, 0] = torch.nan
    lost.diverged[1, 0] = True
    for found in (
        study.accuracies(lost, LABELS[0]),
        study.choose(lost, LABELS[0], how).accuracy,
    ):
        expected = torch.arange(S).expand(3, -1) == 1
        torch.testing.assert_close(found.isnan(), expected)


def test_choose_names_an_unknown_way():
    with pytest.raises(ValueError, match="unknown how 'scale'"):
        study.choose(made(), LABELS[0], "scale")


def test_offsets_of_an_assisted_run_replace_an_additive_adjustment():
    counts = [50.0, 20, 5]
    plain, adjusted = (study.assisted(counts, Config(tau=t)) for t in (0, 1))
    assert adjusted == plain
    weight = [1.0, 2, 7]
    given = study.assisted(counts, Config(weight=weight)).offset
    change = torch.tensor(given) - torch.tensor(plain.offset)
    expected = -torch.tensor(weight).log().expand(3, 3)
    off = ~torch.eye(3, dtype=torch.bool)
    torch.testing.assert_close(change[off], expected[off])
