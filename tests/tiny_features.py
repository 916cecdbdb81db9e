"""Features of two classes and two groups, such as a reader may bring."""

import numpy as np

RNG = np.random.default_rng(0)
N = 260
Y = np.repeat(["crack", "fine"], [60, N - 60])
GROUPS = np.where(RNG.random(N) < 0.3, "night", "day")
X = RNG.normal(size=(N, 6)) + 1.2 * (Y == "fine")[:, None] * np.eye(6)[0]
X = (X + (GROUPS == "night")[:, None] * np.eye(6)[1]).astype(np.float32)
