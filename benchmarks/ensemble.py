"""Chapter 3's sweep: 150 training runs as one tensor program against a loop of runs.

5 seeds × 30 mixed methods, batches of 100, for each of the three small networks; six of
the methods go twice through the network in every step. The loop is ordinary PyTorch:
nn modules, autograd, torch.optim.SGD. It trains the 30 runs of one seed of the five;
its time is per run and step, like that of the batch. Both ways run in this process, on
one thread or on the GPU, in turns. Times are those of the processor (of the wall with
a GPU).

python benchmarks/ensemble.py
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise import profiles
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.methods import risk
from tailwise.softad import Method, train
from tailwise.softad.ensemble import Ensemble
from tailwise.softad.networks import ARCHITECTURES

RESULT = Path(__file__).parents[1] / "_build" / "benchmarks" / "ensemble.json"
SEEDS, N, BATCH, EPOCHS, GROUPS, LR = 5, 1000, 100, 4, 6, 0.03
STEPS = EPOCHS * N // BATCH
REPEATS = 5
NETWORKS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(196, 10)),
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(196, 48), nn.ReLU(), nn.Linear(48, 10)
    ),
    "cnn": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 14)),
        nn.Conv2d(1, 12, 5, stride=3),
        nn.ReLU(),
        nn.Conv2d(12, 24, 2, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 10),
    ),
}


def methods() -> list[Method]:
    """Thirty methods of all kinds."""
    grid = {
        "flooding": [{"tau": tau} for tau in (0.1, 0.2, 0.4)],
        "iflood": [{"tau": 0.1}],
        "softad": [{"tau": tau} for tau in (0.1, 0.2, 0.4)],
        "cvar": [{"quantile": q} for q in (0.5, 0.9)],
        "chi2_dro": [{"radius": r} for r in (0.3, 1.0)],
        "tilted": [{"gamma": g} for g in (0.1, 0.3)],
        "softad_cvar": [{"tau": 0.4, "quantile": 0.5}],
        "softad_dro": [{"tau": 0.4, "radius": 1.0}],
        "cvar_softad": [{"tau": tau, "quantile": 0.5} for tau in (0.2, 0.4, 0.8)],
        "frozen_cvar_softad": [{"tau": tau, "quantile": 0.5} for tau in (0.2, 0.4)],
        "auto_softad": [{"share": 0.25}],
    }
    found = [Method(f"{r} {p}", r, p) for r, params in grid.items() for p in params]
    found += [Method(f"erm x {scale}", scale=scale) for scale in (0.5, 1.0, 2.0)]
    for ascent, reaches in (("sam", (0.05, 0.1, 0.2)), ("sharpdro", (0.05, 0.1, 0.2))):
        found += [Method(f"{ascent} {r}", ascent=ascent, reach=r) for r in reaches]
    return found


def data(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs [S, n, 14, 14], classes and groups [S, n]; noise, and a trace of y."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(10, (SEEDS, N), generator=generator)
    X = torch.randn(SEEDS, N, 14, 14, generator=generator) + y[..., None, None] / 10
    group = torch.randint(GROUPS, (SEEDS, N), generator=generator)
    return X.to(device), y.to(device), group.to(device)


def batched(name: str, X: Tensor, y: Tensor, group: Tensor) -> Ensemble:
    """All runs as one tensor program."""
    return train(
        name, X, y, methods(), group=group, epochs=EPOCHS, batch_size=BATCH, lr=LR
    )


def group_weights(losses: Tensor, group: Tensor, q: Tensor) -> Tensor:
    """Weights q_s / n_s; moves q in place."""
    member = F.one_hot(group, GROUPS).to(losses)
    count = member.sum(0).clamp_min(1)
    q *= torch.exp(0.3 * (losses @ member) / count)
    q /= q.sum()
    return (q / count)[group]


def shift(params: list[Tensor], moves: list[Tensor], sign: float) -> None:
    with torch.no_grad():
        for p, move in zip(params, moves):
            p.add_(move, alpha=sign)


def run(name: str, X: Tensor, y: Tensor, group: Tensor, method: Method) -> nn.Module:
    """One ordinary training run, of seed 0."""
    network, generator = NETWORKS[name](), torch.Generator().manual_seed(0)
    start = ARCHITECTURES[name].init(generator).values()
    for own, drawn in zip(network.parameters(), start, strict=True):
        own.data = drawn.view(own.shape).to(X)
    own, q = list(network.parameters()), X.new_full((GROUPS,), 1 / GROUPS)
    optimizer = torch.optim.SGD(own, LR, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 4], 0.2)

    def backward(rows: Tensor, grouped: bool = False) -> None:
        losses = F.cross_entropy(network(X[rows]), y[rows], reduction="none")
        if grouped:
            weights = group_weights(losses.detach(), group[rows], q)
        else:
            weights = risk.weights_of(method.rule, losses.detach(), method.params)
        (method.scale * (weights * losses).sum()).backward()

    for _ in range(EPOCHS):
        for rows in torch.randperm(N, generator=generator).to(X.device).split(BATCH):
            optimizer.zero_grad()
            backward(rows)
            if method.reach:
                length = torch.cat([p.grad.flatten() for p in own]).norm()
                moves = [method.reach * p.grad / length for p in own]
                shift(own, moves, 1.0)
                if method.ascent == "sam":
                    optimizer.zero_grad()
                backward(rows, method.ascent == "sharpdro")
                shift(own, moves, -1.0)
            optimizer.step()
        schedule.step()
    return network


def looped(name: str, X: Tensor, y: Tensor, group: Tensor) -> list[nn.Module]:
    """The runs of seed 0, one after the other."""
    return [run(name, X[0], y[0], group[0], method) for method in methods()]


def timed(solve: Callable, name: str, problem: tuple[Tensor, ...]) -> tuple:
    """Seconds and result; on a GPU by the wall clock, else by the processor's."""
    cuda = problem[0].is_cuda
    clock = time.perf_counter if cuda else time.process_time
    if cuda:
        torch.cuda.synchronize()
    start = clock()
    result = solve(name, *problem)
    if cuda:
        torch.cuda.synchronize()
    return clock() - start, result


def difference(ensemble: Ensemble, networks: list[nn.Module]) -> float:
    """Largest difference between parameters of seed 0."""
    return max(
        (ours[0, k].view(own.shape) - own.data).abs().max().item()
        for k, network in enumerate(networks)
        for ours, own in zip(ensemble.params.values(), network.parameters())
    )


def compare(name: str, problem: tuple[Tensor, ...]) -> dict:
    """Time both ways in turns, in microseconds per run and step."""
    K, apart = len(methods()), 0.0
    timed(batched, name, problem)  # the warm-up
    micros = {"batched": [], "looped": []}
    for _ in range(REPEATS):
        fast, ensemble = timed(batched, name, problem)
        slow, networks = timed(looped, name, problem)
        micros["batched"].append(1e6 * fast / (SEEDS * K * STEPS))
        micros["looped"].append(1e6 * slow / (K * STEPS))
        apart = max(apart, difference(ensemble, networks))
    median = {way: statistics.median(values) for way, values in micros.items()}
    return {
        "us_per_run_step": micros,
        "median_us": median,
        "ratio": median["looped"] / median["batched"],
        "largest_difference": apart,
    }


def main() -> None:
    torch.set_num_threads(1)
    profile, stopwatch = profiles.current(), provenance.Stopwatch()
    problem = data(profile.device)
    result = {
        "runs": SEEDS * len(methods()),
        "steps": STEPS,
        "networks": {name: compare(name, problem) for name in NETWORKS},
        "provenance": provenance.describe(profile, stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")
    print(
        f"{result['runs']} runs of {STEPS} steps, batches of {BATCH}, {profile.device}"
    )
    print("µs per run and step, median (fastest)")
    print(f"{'':10}{'one program':>18}{'loop':>18}{'ratio':>9}{'difference':>13}")
    for name, found in result["networks"].items():
        cells = [
            f"{found['median_us'][way]:8.1f} ({min(found['us_per_run_step'][way]):.1f})"
            for way in ("batched", "looped")
        ]
        print(
            f"{name:10}{cells[0]:>18}{cells[1]:>18}{found['ratio']:7.1f} ×"
            f"{found['largest_difference']:13.1e}"
        )


if __name__ == "__main__":
    main()
