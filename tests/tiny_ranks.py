"""A network that several processes train, as torchrun starts them."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from tailwise.training import epochs, ranks
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint

X = torch.randn(50, 3, 6, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0].mean((1, 2)) > 0).long()
WEIGHT = torch.tensor([1.0, 3.0])  # means over halves of a batch would not add up


def started(command: Sequence[str], n: int = 2, **environ: str) -> list[str]:
    """What n processes of a Python command told, by rank; all must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    known = dict(os.environ) | dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    known |= dict(WORLD_SIZE=str(n), OMP_NUM_THREADS="1") | environ
    running = [
        subprocess.Popen(
            [sys.executable, *command],
            env=known | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n)
    ]
    told = [each.communicate(timeout=300) for each in running]
    assert [each.returncode for each in running] == [0] * n, told
    return [out for out, _ in told]


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
        return nn.Sequential(
            *layers, nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)
        )


def batches(epoch: int):
    g = generator_for(0, "order", str(epoch))
    for rows in torch.randperm(50, generator=g).split(15):  # 15, 15, 15, 5
        yield X[ranks.share(rows)], Y[rows]


def trained(folder: Path) -> list:
    """Losses, all that the network holds, and what it says in evaluation."""
    model = network()
    told = epochs.fit(
        model,
        batches,
        lambda z, y: F.cross_entropy(z, y, WEIGHT),
        optimizer=torch.optim.SGD(model.parameters(), 0.05, 0.9),
        epochs=3,
        checkpoint=Checkpoint(folder, 1, {"seed": 0}),
    )
    state = torch.cat([x.double().flatten() for x in model.state_dict().values()])
    return [told, state.tolist(), model.eval()(X).flatten().tolist()]


if __name__ == "__main__":
    with ranks.joined("cpu"):
        print(json.dumps(trained(Path(sys.argv[1]))))
