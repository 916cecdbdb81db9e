"""Methods of chapter 3: a rule on examples; SAM, SharpDRO or group DRO in a step.

The second gradient, at the point that `climb` reaches, is taken in `ensemble.py`.
"""

import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tailwise.methods import risk
from tailwise.softad.networks import Params, norm, over

ASCENTS = ("none", "sam", "sharpdro", "groupdro")
CLIMBS, GROUPED = ("sam", "sharpdro"), ("sharpdro", "groupdro")


@dataclass(frozen=True)
class Method:
    """One way to train: a rule that weights the examples, and how a step is taken.

    Attributes
    ----------
    label : str
    rule, params : str, dict of float
        A key of `tailwise.methods.risk.RULES`, and its parameters.
    scale : float
        Multiplies the gradient: the control for methods that take longer steps.
    ascent : str
        ``"sam"``: the gradient is taken at the point ``reach`` up the slope.
        ``"sharpdro"``: to the gradient of the mean loss is added, ``reach`` up the
        slope, that of ``sum_s q_s * mean loss of group s``.
        ``"groupdro"``: the gradient of that sum alone, without an ascent.
    reach : float
        Length of the ascent, over all parameters of a member.

    Notes
    -----
    Group weights q move by exponentiated gradient. As in the code released with arXiv
    2408.03619, a group that is absent from a batch has loss 0, and ``"sharpdro"`` adds
    two gradients: its steps are about twice ERM's, and ``scale=0.5`` makes them alike.
    """

    label: str
    rule: str = "erm"
    params: dict[str, float] = field(default_factory=dict)
    scale: float = 1.0
    ascent: str = "none"
    reach: float = 0.0

    def __post_init__(self):
        if self.ascent not in ASCENTS:
            known = ", ".join(ASCENTS)
            raise ValueError(f"unknown ascent {self.ascent!r}: expected one of {known}")
        if self.ascent in GROUPED and self.rule != "erm":
            raise ValueError(f"rule is {self.rule!r}: expected 'erm' for {self.ascent}")
        if not 0 <= self.reach < math.inf or (self.reach and self.ascent not in CLIMBS):
            raise ValueError(f"reach is {self.reach}: expected ≥ 0, only with {CLIMBS}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale is {self.scale}: expected > 0")


class Weights:
    """Example weights of the methods in some rows, times their scales.

    Each rule is evaluated once, for all the methods that share it. Those with the given
    ascent weight groups instead, by their rows of q [S, K, G], which move.
    """

    def __init__(self, methods, rows: list[int], grouped: str, q: Tensor, q_step):
        def kind(i):
            method = methods[rows[i]]
            return "" if method.ascent == grouped else method.rule

        order, self.runs = sorted(range(len(rows)), key=kind), []
        for rule, run in itertools.groupby(order, kind):
            run = [rows[i] for i in run]
            given = [methods[k].params for k in run]
            params = {name: q.new_tensor([p[name] for p in given]) for name in given[0]}
            self.runs.append((rule, torch.tensor(run, device=q.device), params))
        self.sizes = [len(run) for _, run, _ in self.runs]
        self.order = torch.tensor(order, dtype=torch.long, device=q.device)
        self.back = self.order.argsort()
        self.scale = q.new_tensor([[methods[k].scale] for k in rows])
        self.q, self.q_step = q, q_step

    def __call__(self, losses: Tensor, member: Tensor | None) -> Tensor:
        """Weights of losses [S, K, B]; member [S, B, G] says who is in which group."""
        parts, weights = losses.index_select(1, self.order).split(self.sizes, 1), []
        for part, (rule, run, params) in zip(parts, self.runs):
            if rule:
                weights.append(risk.weights_of(rule, part, params))
            else:
                weights.append(self._of_groups(part, member, run))
        return torch.cat(weights, 1).index_select(1, self.back).mul_(self.scale)

    def _of_groups(self, losses: Tensor, member: Tensor, run: Tensor) -> Tensor:
        """Weights q_s / n_s, once q_s is set to q_s exp(q_step * mean_s) / sum."""
        count = member.sum(-2, keepdim=True).clamp_min(1)
        mean = losses @ member / count  # 0 for an absent group
        q = (self.q[:, run].log() + self.q_step * mean).softmax(-1)
        self.q[:, run] = q
        return (q / count) @ member.mT


def climb(params: Params, slope: Params, reach: Tensor) -> Params:
    """SAM's ascent: parameters moved up a slope, each member by its own reach [K]."""
    total = norm(slope)
    step = reach / total.clamp_min(torch.finfo(total.dtype).tiny)
    return {n: torch.addcmul(p, over(step, p), slope[n]) for n, p in params.items()}
