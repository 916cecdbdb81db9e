"""Formulas as arXiv 2303.07608 prints them, to stand beside our own in `collapse`.

k classes, half of them rare unless two numbers of classes are given; R is the imbalance
ratio, Delta the temperature of a majority class over that of a minority class, which is
one, and a minority class has one example: the units in which they equal
`seli.predicted_grams` without a factor. Where print and algebra differ, the
corrected form is here and the printed one in `misprints`.
"""

import math
from itertools import product

import numpy as np
import pandas as pd
import torch
from scipy.optimize import nnls
from torch import Tensor

from tailwise.geometry import seli
from tailwise.profiles import reseeded

GAMMAS = tuple(np.linspace(-1.5, 1.5, 13))


def _two_blocks(k_major: int, k_minor: int, own, pair, between: float) -> Tensor:
    """A Gram matrix from squared lengths, inner products within and between blocks."""
    which = torch.tensor([0] * k_major + [1] * k_minor)
    own, pair = (torch.tensor(x, dtype=torch.float64)[which] for x in (own, pair))
    same = which.unsqueeze(-1) == which
    gram = torch.where(same, pair, between)
    return gram.diagonal_scatter(own)


def cdt_grams(k: int, R: float, Delta: float) -> seli.Grams:
    """Gram matrices of W and H for CDT: equations (1), (7), Lemmas D.1 to D.3."""
    s = math.sqrt(1 + Delta**2)
    c = 2 * math.sqrt(R + 1) / (k * s**3)
    q = 2 / (k * s * math.sqrt(R + 1))
    root, rare = math.sqrt(R) / Delta, 1 / (Delta * math.sqrt(R))
    W = _two_blocks(
        k // 2,
        k // 2,
        (root * (1 - 2 / k) + Delta**2 * c, 1 - 2 / k + c),
        (-2 * root / k + Delta**2 * c, -2 / k + c),
        -Delta * c,
    )
    H = _two_blocks(
        k // 2,
        k // 2,
        (rare * (1 - 2 / k) + q, 1 - 2 / k + q),
        (-2 * rare / k + q, -2 / k + q),
        -q,
    )
    return W, H


def alignments(k: int, Delta: float) -> tuple[float, float]:
    """Inner products of w and h of a majority and of a minority class, CDT, D.3."""
    s = 1 + Delta**2
    return (1 - 2 / (k * s)) / Delta, 1 - 2 * Delta**2 / (k * s)


def ldt_numbers(k: int, R: float, Delta: float) -> tuple[float, float, float, float]:
    """Corollary 1.5, LDT: squared length ratio of W, its cosines of two majority and of
    two minority classes, and the squared length ratio of H."""
    r = math.sqrt((R + Delta**2) / 2)
    major, minor = (k - 2) * math.sqrt(R) + r, (k - 2) * Delta + r
    ratio_h = ((k - 2) / math.sqrt(R) + 1 / r) / ((k - 2) * Delta + Delta**2 / r)
    return (
        major / minor,
        (r - 2 * math.sqrt(R)) / major,
        (r - 2 * Delta) / minor,
        ratio_h,
    )


def seli_grams(k_major: int, k_minor: int, R: float, Delta: float) -> seli.Grams:
    """Gram matrices for CDT and any share of rare classes, by the singular vectors and
    values of Lemma B.1 (9)-(12) in Theorem 1 (ii)."""
    k = k_major + k_minor
    rho, rest = k_minor / k, k_major / k
    length = math.sqrt((rest + R * rho) / (rest + rho * Delta**2))

    def mixed(majority: float, norm2: float) -> Tensor:
        parts = [-majority * math.sqrt(rho / rest)] * k_major
        parts += [math.sqrt(rest / rho)] * k_minor
        return torch.tensor(parts, dtype=torch.float64) / math.sqrt(k * norm2)

    def gram(vector: Tensor, scale: float) -> Tensor:
        within = torch.block_diag(
            scale * seli.etf_gram(k_major), seli.etf_gram(k_minor)
        )
        return within + length * torch.outer(vector, vector)

    W = gram(mixed(Delta, rest + rho * Delta**2), math.sqrt(R) / Delta)
    H = gram(mixed(1, rest + R * rho), 1 / (math.sqrt(R) * Delta))
    return W, H


def limits(k: int, gamma: float, kind: str) -> dict[str, float]:
    """Cosines as R grows, half of the classes rare: Corollaries 1.3 and 1.4, corrected.

    Keys are ``w minority``, ``w majority``, ``h minority`` and ``h majority``.
    """
    seli.check_kind(kind)
    a = (1 - 2 * math.sqrt(2)) / (1 + math.sqrt(2) * (k - 2))
    b = (2 - 2 * math.sqrt(2)) / (2 + math.sqrt(2) * (k - 2))
    own = -2 / (k - 2)

    def by(edge: float, below: float, at: float, above: float) -> float:
        same = math.isclose(gamma, edge, abs_tol=1e-12)
        return at if same else below if gamma < edge else above

    if kind == "ldt":
        etf = -1 / (k - 1)
        return {
            "w minority": by(0.5, 1.0, etf, a),
            "w majority": by(0.5, a, etf, 1.0),
            "h minority": by(0.5, own, etf, b),
            "h majority": by(0.5, b, etf, own),
        }
    return {
        "w minority": by(1 / 6, 1.0, 0.0, own),
        "w majority": by(0, own, a, 0.0),
        "h minority": own,
        "h majority": by(0, own, b, 0.0),
    }


def _cosines(k: int, R: float, gamma: float, kind: str) -> dict[str, float]:
    """What `limits` holds, of our form at a finite R."""
    found = zip("wh", seli.step_blocks(k // 2, k // 2, R, gamma, kind))
    return {
        f"{name} {which}": getattr(b, f"cos_{which[:5]}").item()
        for name, b in found
        for which in ("minority", "majority")
    }


def _shortest(margins: np.ndarray) -> np.ndarray:
    """The shortest x with ``margins @ x >= 1``: least distance programming."""
    E = np.vstack([margins.T, np.ones(len(margins))])
    f = np.append(np.zeros(len(E) - 1), 1.0)
    r = E @ nnls(E, f, maxiter=100 * E.shape[1])[0] - f
    return -r[:-1] / r[-1]


def binary_classifiers(
    H: np.ndarray, y: np.ndarray, delta: tuple[float, float], kind: str
) -> np.ndarray:
    """Classifiers ``[2, d]`` of two classes, for fixed features H ``[n, d]``.

    Gradient descent goes in their direction (Proposition 1). They minimise
    ``||W||^2`` subject to the margins of the loss, which must be possible: labels y
    ``[n]`` are 0 or 1, and a plane through the origin separates them.
    """
    seli.check_kind(kind)
    own, other = np.asarray(delta)[y], np.asarray(delta)[1 - y]
    other = own if kind == "ldt" else other
    rows = np.zeros((len(y), 2, H.shape[1]))
    rows[np.arange(len(y)), y] = own[:, None] * H
    rows[np.arange(len(y)), 1 - y] = -other[:, None] * H
    return _shortest(rows.reshape(len(y), -1)).reshape(2, -1)


def binary_difference(kind: str, problems: int = 20) -> float:
    """Lemma 3.1: the largest distance between the direction of plain cross-entropy and
    that of a loss with temperatures, over random separable problems of two classes."""
    worst = 0.0
    for seed in range(problems):
        rng = np.random.default_rng(reseeded(seed))
        d = 5 + seed % 4
        y = (np.arange(30) < 24).astype(int)
        H = rng.normal(size=(30, d)) + 3 * (2 * y - 1)[:, None] * np.eye(d)[0]
        H = H[(2 * y - 1) * H[:, 0] > 0.1]
        y = (H[:, 0] > 0).astype(int)
        delta = 10 ** rng.uniform(-1, 1, 2)
        found = (
            binary_classifiers(H, y, (1, 1), "ldt"),
            binary_classifiers(H, y, tuple(delta), kind),
        )
        plain, other = ((w[1] - w[0]) / np.linalg.norm(w[1] - w[0]) for w in found)
        worst = max(worst, float(np.linalg.norm(plain - other)))
    return worst


def _largest(pairs) -> float:
    """Largest difference of two matrices or numbers, relative to the second."""
    tensors = ([torch.as_tensor(x, dtype=torch.float64) for x in p] for p in pairs)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in tensors)


def _sides(k_major: int, k_minor: int, R: float, gamma: float) -> dict[tuple, list]:
    """Pairs of a printed result and ours, by formula and place."""
    Delta, k = R**gamma, k_major + k_minor
    n = seli.step_counts(k_major, k_minor, R)
    delta = seli.temperatures(n, gamma) * Delta
    ours = seli.predicted_grams(n, delta, "cdt")
    anywhere = list(zip(seli_grams(k_major, k_minor, R, Delta), ours))
    found = {("CDT, any share of rare classes", "Lemma B.1"): anywhere}
    if k_major != k_minor:
        return found
    own = seli.sel_matrix(delta, "cdt").diagonal()[[0, -1]]
    w, h = seli.step_blocks(k_major, k_minor, R, gamma, "ldt")
    ldt = w.norm2_ratio, w.cos_major, w.cos_minor, h.norm2_ratio
    return found | {
        ("CDT, W and H", "(1), (7), Lemmas D.1, D.2"): [
            *zip(cdt_grams(k, R, Delta), ours)
        ],
        ("CDT, w and h of a class", "Lemma D.3"): [(alignments(k, Delta), own)],
        ("LDT, lengths and cosines", "Corollary 1.5"): [
            *zip(ldt_numbers(k, R, Delta), ldt)
        ],
    }


def differences() -> pd.DataFrame:
    """Largest relative difference of each printed formula to ours, over a grid.

    The limits of the tables are compared at R = 1e60, in absolute terms.
    """
    found: dict[tuple, float] = {}
    classes = (2, 2), (5, 5), (10, 10), (3, 7), (8, 2), (12, 8)
    for (k_major, k_minor), R, gamma in product(classes, (2, 10, 100), GAMMAS):
        for key, pairs in _sides(k_major, k_minor, R, gamma).items():
            found[key] = max(found.get(key, 0.0), _largest(pairs))
    edges = (-1.0, -0.25, 0.0, 0.1, 1 / 6, 0.25, 0.5, 0.75, 1.5)
    gaps = [
        abs(there - limits(k, gamma, kind)[name])
        for k, kind, gamma in product((4, 10), seli.KINDS, edges)
        for name, there in _cosines(k, 1e60, gamma, kind).items()
    ]
    found["Limits as R grows", "Tables 1 and 2, corrected"] = max(gaps)
    index = pd.MultiIndex.from_tuples(found, names=("formula", "printed in"))
    return pd.DataFrame({"largest difference": list(found.values())}, index=index)


def dual(k_major: int, k_minor: int, R: float, Delta: float, swap: bool) -> float:
    """Entry of ``B*`` for an example of a majority class and a minority class.

    Lemma B.2. With `swap`, as printed: rho and 1 - rho exchanged under its second root.
    """
    k = k_major + k_minor
    rho, rest = k_minor / k, k_major / k
    second = rho + rest * Delta**2 if swap else rest + rho * Delta**2
    return -1 / (k * math.sqrt(rest + R * rho) * math.sqrt(second))


def misprints() -> pd.DataFrame:
    """What seems to be a slip in print: as printed, corrected, and what we compute."""
    at = _cosines(10, 1e60, -0.5, "cdt")
    above = _cosines(10, 1e60, 0.5, "cdt")
    own = -2 / 8
    n = seli.step_counts(7, 3, 10)
    delta = seli.temperatures(n, 0.5) * math.sqrt(10)
    entry = -(seli.multipliers(n, delta, "cdt") * delta.unsqueeze(-1))[9, 0].item()
    W = [seli.predicted_grams(n, s * delta, "cdt")[0].norm() for s in (1, 4)]
    ce, _ = seli.step_blocks(5, 5, 10, 0, "ldt")
    dual_args = 7, 3, 10, math.sqrt(10)
    rows = {
        "Table 1, CDT, γ < 0: h minority": (0.0, own, at["h minority"]),
        "Table 1, CDT, γ < 0: h majority": (0.0, own, at["h majority"]),
        "Table 1, CDT, γ > 0: h majority": (own, 0.0, above["h majority"]),
        "B*, entry 12: exchange ρ and 1 − ρ under the second root": (
            dual(*dual_args, swap=True),
            dual(*dual_args, swap=False),
            entry,
        ),
        "Footnote 5: factor of L, temperatures times 4": (
            0.5,
            0.25,
            (W[1] / W[0]).item(),
        ),
        "Text: “norm ratio” of CE at R = 10 is the squared one": (
            2.8,
            1.63,
            ce.norm2_ratio.sqrt().item(),
        ),
    }
    columns = ["as printed", "corrected", "computed"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
