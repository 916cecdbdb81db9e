"""A world of the matrix that is small enough to try things on."""

import torch
from torch.nn import functional as F

from tailwise.matrix import worlds

S, N, D, K = 2, 60, 5, 3


def drawn(seed=0, n=N):
    g = torch.Generator().manual_seed(seed)
    share = torch.tensor([0.6, 0.3, 0.1])
    y = torch.stack([torch.multinomial(share, n, True, generator=g) for _ in range(S)])
    y[:, :K] = torch.arange(K)
    X = 1.5 * F.one_hot(y, D) + torch.randn(S, n, D, generator=g, dtype=torch.float64)
    return X, y


def tiny(*, labelled=True, views=0):
    parts = []
    for seed in range(3):
        X, y = drawn(seed)
        group = 2 * y + (X[..., 3] > 0).long()
        parts.append(worlds.Part(X, y, group))
    names = [f"group {g}" for g in range(2 * K)]
    known = dict(labelled=labelled, views=views, mixed_by="group")
    return worlds.made("tiny", "tiny", range(S), K, names, parts, **known)
