"""Chapter 5's unconstrained-features models as one tensor program against a loop.

Two grids of configurations for ten classes, half of them rare. The main one: both kinds
of temperature, two ratios R, seven exponents gamma. The sweep: both kinds, three R,
thirteen gamma, and plain, weighted and additively adjusted cross-entropy. The loop is
ordinary PyTorch: one model after the other, its loss by autograd, the same normalised
steps. It descends the logarithm of the loss, which has the same directions, because the
loss itself becomes zero in floating point. Both ways run in this process, on one
thread, in turns; times are those of the processor. The last line trains the main grid
to its end and compares it with the predicted geometry.

python benchmarks/ufm.py
"""

import json
import math
import statistics
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise import profiles
from tailwise.files import write_whole
from tailwise.geometry.seli import KINDS, step_counts
from tailwise.geometry.ufm import UFM, Config, train_ufm
from tailwise.ledger import provenance

RESULT = Path(__file__).parents[1] / "_build" / "benchmarks" / "ufm.json"
K, D, STEPS, FINAL_STEPS, REPEATS = 10, 20, 200, 3000, 5
Grid = tuple[Tensor, list[Config]]


def grid(ratios: tuple, gammas: list[float], others: list[Config]) -> Grid:
    """Counts [B, k] and configurations; the others at each ratio too."""
    adjusted = [Config(kind, gamma) for kind, gamma in product(KINDS, gammas)]
    cells = list(product(ratios, adjusted + others))
    counts = torch.stack([step_counts(K // 2, K // 2, R, 5) for R, _ in cells])
    return counts, [config for _, config in cells]


GRIDS = {
    "main": grid((10, 100), [g / 4 for g in range(-2, 5)], []),
    "sweep": grid(
        (5, 10, 100),
        [g / 4 for g in range(-6, 7)],
        [Config(), Config(weight_power=1), Config(tau=1)],
    ),
}


def batched(counts: Tensor, configs: list[Config]) -> UFM:
    """All members as one tensor program."""
    return train_ufm(counts, configs, d=D, steps=STEPS, checks=1)


class Model(nn.Module):
    """One unconstrained-features model, and the logarithm of its loss."""

    def __init__(self, counts: Tensor, config: Config):
        super().__init__()
        generator = torch.Generator().manual_seed(config.seed)
        start = config.init * torch.randn(2, K, D, generator=generator).double()
        self.W, self.G = nn.Parameter(start[0]), nn.Parameter(start[1])
        delta = (counts / counts.max()) ** config.gamma
        self.temperature = delta.unsqueeze(-1) if config.kind == "ldt" else delta
        self.root = counts.sqrt().unsqueeze(-1)
        self.iota = config.tau * (counts / counts.sum()).log()
        mass = counts ** (1 - config.weight_power)
        self.log_mass = (mass / mass.sum()).log()
        self.own = torch.eye(K, dtype=torch.bool)

    def forward(self) -> Tensor:
        logits = (self.G / self.root) @ self.W.T * self.temperature + self.iota
        gap = logits - logits.diagonal().unsqueeze(-1)
        gap = gap.masked_fill(self.own, -math.inf).logsumexp(-1)
        loss = F.softplus(gap.clamp_min(-30)).log()
        return (torch.where(gap < -30, gap, loss) + self.log_mass).logsumexp(-1)


def run(counts: Tensor, config: Config) -> Model:
    """One ordinary training run."""
    model = Model(counts, config)
    parameters = list(model.parameters())
    for _ in range(STEPS):
        slopes = torch.autograd.grad(model(), parameters)
        length = torch.cat([g.flatten() for g in slopes]).norm()
        with torch.no_grad():
            for p, g in zip(parameters, slopes):
                p.sub_(config.lr * g / length)
    return model


def looped(counts: Tensor, configs: list[Config]) -> list[Model]:
    """The members, one after the other."""
    return [run(n, config) for n, config in zip(counts, configs)]


def timed(solve: Callable, problem: Grid) -> tuple:
    """Seconds of the processor, and the result."""
    start = time.process_time()
    result = solve(*problem)
    return time.process_time() - start, result


def differences(trained: UFM, models: list[Model]) -> Tensor:
    """Largest difference between the two classifiers of each member, over the largest
    entry."""
    W = torch.stack([model.W.detach() for model in models])
    return (trained.W - W).abs().amax((-2, -1)) / W.abs().amax((-2, -1))


def compare(problem: Grid) -> dict:
    """Time both ways in turns, in microseconds per member and step."""
    B = len(problem[1])
    timed(batched, problem)  # the warm-up
    micros = {"batched": [], "looped": []}
    for _ in range(REPEATS):
        fast, trained = timed(batched, problem)
        slow, models = timed(looped, problem)
        micros["batched"].append(1e6 * fast / (B * STEPS))
        micros["looped"].append(1e6 * slow / (B * STEPS))
        apart = differences(trained, models)  # the same in every repeat
    median = {way: statistics.median(values) for way, values in micros.items()}
    return {
        "members": B,
        "us_per_member_step": micros,
        "median_us": median,
        "ratio": median["looped"] / median["batched"],
        "largest_difference": apart.max().item(),
        "typical_difference": apart.median().item(),
    }


def geometry_reached(problem: Grid) -> dict:
    """Errors after a full training, the larger of W's and H's Gram matrix."""
    start = time.perf_counter()
    trained = train_ufm(*problem, d=D, steps=FINAL_STEPS)
    seconds = time.perf_counter() - start
    error = torch.maximum(trained.error_w, trained.error_h)[:, -1]
    return {
        "steps": FINAL_STEPS,
        "wall_s": seconds,
        "median_error": error.median().item(),
        "largest_error": error.max().item(),
        "diverged": int(trained.diverged.sum()),
    }


def main() -> None:
    torch.set_num_threads(1)
    profile, stopwatch = profiles.current(), provenance.Stopwatch()
    result = {
        "steps": STEPS,
        "grids": {name: compare(problem) for name, problem in GRIDS.items()},
        "geometry": geometry_reached(GRIDS["main"]),
        "provenance": provenance.describe(profile, stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")
    print(f"{STEPS} steps, k = {K}, d = {D}, one thread of the cpu;")
    print("µs per member and step, median (fastest)")
    print(f"{'':16}{'one program':>18}{'loop':>18}{'ratio':>9}  difference (median)")
    for name, found in result["grids"].items():
        cells = []
        for way in ("batched", "looped"):
            fastest = min(found["us_per_member_step"][way])
            cells.append(f"{found['median_us'][way]:8.1f} ({fastest:.1f})")
        label = f"{name} ({found['members']})"
        print(
            f"{label:16}{cells[0]:>18}{cells[1]:>18}{found['ratio']:7.1f} ×"
            f"{found['largest_difference']:10.1e} ({found['typical_difference']:.1e})"
        )
    found = result["geometry"]
    print(
        f"main grid, {found['steps']} steps: {found['wall_s']:.2f} s, Gram error "
        f"median {found['median_error']:.4f}, largest {found['largest_error']:.3f}"
    )


if __name__ == "__main__":
    main()
