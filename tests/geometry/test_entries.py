"""What chapter 5 enters of networks and of races, against loops over their members."""

import math

import numpy as np
import pytest
import torch

from tailwise.data.imbalance import Task
from tailwise.geometry import entries, race, seli, sweep
from tailwise.geometry.networks import PRINTED, Networks
from tailwise.ledger import claims
from tailwise.metrics import estimate

COUNTS = torch.tensor([60.0, 60, 60, 6, 6, 6]).double()
GAMMAS = (-1.5, -1.0, -0.5, 0.5, 1.0, 1.5)
S = 4


def made(seed=0):
    """Networks of the sweep with random vectors, never trained."""
    g = torch.Generator().manual_seed(seed)
    configs = sweep.network_configs(COUNTS, GAMMAS, (-0.5, 1.0))
    M, none = len(configs), torch.zeros(0)
    W, H = torch.randn(2, S, M, 6, 9, generator=g, dtype=torch.float64)
    task = Task(
        seeds=tuple(range(S)),
        counts=COUNTS,
        X=none,
        y=none,
        val_X=none,
        val_y=none,
        test_X=none,
        test_y=none,
    )
    errors = torch.rand(2, S, M, 2, generator=g, dtype=torch.float64)
    return Networks(
        labels=tuple(configs),
        configs=tuple(configs.values()),
        task=task,
        recipe=PRINTED,
        W=W,
        H=H,
        epochs=(1, 2),
        error_w=errors[0],
        error_h=errors[1],
        train_recall=torch.rand(S, M, 6, generator=g, dtype=torch.float64),
        val_logits=none,
        test_logits=none,
        diverged=torch.zeros(S, M, dtype=torch.bool),
    )


def log_ratio(networks, s, label):
    W = networks.W[s, networks.index(label)]
    return math.log(W[:3].square().sum() / W[3:].square().sum())


def three(vectors):
    """Mean cosines of two majority, two minority, and one of each."""
    cos = torch.cosine_similarity(vectors[:, None], vectors[None], -1)
    off = ~torch.eye(3, dtype=torch.bool)
    found = cos[:3, :3][off], cos[3:, 3:][off], cos[:3, 3:]
    return torch.stack([part.mean() for part in found])


def cosine_error(networks, s, loss, which):
    found = []
    for gamma in (-1.0, -0.5, 0.0, 0.5, 1.0):
        label = f"{loss} {gamma:g}" if gamma else "CE"
        own = three(getattr(networks, which)[s, networks.index(label)])
        delta = (COUNTS / COUNTS.max()) ** gamma
        limits = seli.predicted_grams(COUNTS, delta, loss.lower())
        e, V = torch.linalg.eigh(limits["WH".index(which)])
        limit = three(V * e.clamp_min(0).sqrt())
        found.append((own - limit).abs().mean())
    return torch.stack(found).mean().item()


def test_networks_of_the_sweep_are_compared_one_by_one():
    networks, warm = made(), made(1)
    found = entries.swept_networks(networks, warm)
    stated = claims.load("ch5").claims
    for claim, parts in found.items():
        assert set(parts) == set(stated[claim].parts or ("",))
        assert all(e.n == S for e in parts.values())

    def fall(s, loss):
        return log_ratio(networks, s, f"{loss} -0.5") - log_ratio(
            networks, s, f"{loss} 1"
        )

    def distance(s, label, kind, gamma):
        W = networks.W[s, networks.index(label)]
        delta = (COUNTS / COUNTS.max()) ** gamma
        limit, _ = seli.predicted_grams(COUNTS, delta, kind)
        return seli.gram_error(W @ W.T, limit).item()

    limits = [("ldt", g) for g in (0.0, -0.5, 0.5, 1.0)] + [("cdt", 0.5)]

    def nearest(s, label, own):
        rest = [distance(s, label, *x) for x in limits if x != own]
        return distance(s, label, *own) - min(rest)

    def fit(s, loss):
        at = [networks.index(f"{loss} {g:g}") for g in (-1.5, -1, 1, 1.5)]
        return networks.train_recall[s, at].mean().item()

    i = networks.index("LDT 0.5")
    expected = {
        ("ch5.knobs", "LDT"): lambda s: fall(s, "LDT") - fall(s, "wCE"),
        ("ch5.knobs", "CDT"): lambda s: fall(s, "CDT") - fall(s, "wCE"),
        ("ch5.additive_flat", ""): lambda s: fall(s, "LA"),
        ("ch5.half_ratio", ""): lambda s: abs(log_ratio(networks, s, "LDT 0.5")),
        ("ch5.which_side", "W, LDT less CDT"): lambda s: (
            cosine_error(networks, s, "LDT", "W")
            - cosine_error(networks, s, "CDT", "W")
        ),
        ("ch5.which_side", "H, CDT less LDT"): lambda s: (
            cosine_error(networks, s, "CDT", "H")
            - cosine_error(networks, s, "LDT", "H")
        ),
        ("ch5.nearest_limit", "CE"): lambda s: nearest(s, "CE", ("ldt", 0.0)),
        ("ch5.nearest_limit", "CDT 1/2"): lambda s: nearest(s, "CDT 0.5", ("cdt", 0.5)),
        ("ch5.cdt_hard_fit", ""): lambda s: fit(s, "LDT") - fit(s, "CDT"),
        ("ch5.warm_start", "LDT 1/2"): lambda s: (
            warm.error_w[s, i, -1] - networks.error_w[s, i, -1]
        ).item(),
    }
    for (claim, part), one in expected.items():
        e = estimate([one(s) for s in range(S)])
        assert found[claim][part].mean == pytest.approx(e.mean), claim
        assert found[claim][part].stderr == pytest.approx(e.stderr), claim


def test_races_are_compared_start_by_start():
    g = torch.Generator().manual_seed(0)
    settings = ((10, "ldt", 0.0), (10, "cdt", 0.5), (100, "cdt", 0.5))
    races = {
        method: race.Race(
            method=method,
            settings=settings,
            rate=1.0,
            steps=torch.tensor([1, 9]),
            error_w=torch.rand(3, S, 2, generator=g).double() + 0.01,
            ms=1.0,
        )
        for method in race.METHODS
    }
    found = entries.raced(races)
    logs = {m: np.log10(r.error_w[:, :, -1].numpy()) for m, r in races.items()}
    faster = (logs["gradient descent"] - logs["normalised"]).mean(0)
    assert found["ch5.normalised_faster"][""].mean == pytest.approx(faster.mean())
    for i, R in ((1, 10), (2, 100)):
        lead = logs["normalised"][i] - logs["spectral"][i]
        e = found["ch5.spectral_cdt"][f"R = {R}"]
        assert (e.mean, e.n) == (pytest.approx(lead.mean()), S)
