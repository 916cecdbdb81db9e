"""A network trained for epochs: torch's own loop, killed and gone on, in half width."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tailwise.training import epochs
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint

X = torch.randn(50, 3, 6, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0].mean((1, 2)) > 0).long()


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(64, 2))


def batches(epoch: int):
    g = generator_for(0, "order", str(epoch))
    for rows in torch.randperm(len(X), generator=g).split(16):
        yield X[rows], Y[rows]


def trained(folder: Path, n: int = 5, **more):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 0.5 ** (e >= 3))
    options = dict(optimizer=optimizer, schedule=schedule, epochs=n)
    options["checkpoint"] = Checkpoint(folder, 1, {"seed": 0})
    losses = epochs.fit(model, batches, F.cross_entropy, **options | more)
    return model, losses


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_it_is_a_plain_loop(tmp_path):
    model, losses = trained(tmp_path)
    plain = network()
    optimizer = torch.optim.SGD(plain.parameters(), 0.1, 0.9, weight_decay=1e-3)
    for epoch in range(1, 6):
        optimizer.param_groups[0]["lr"] = 0.1 if epoch <= 3 else 0.05
        total = 0.0
        for x, y in batches(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(plain(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        assert losses[epoch - 1] == pytest.approx(total / 50, rel=1e-6)
    assert same(model, plain)


def test_a_run_that_was_killed_goes_on_to_the_same_end(tmp_path):
    whole, losses = trained(tmp_path / "whole")
    # The third epoch ends with the process; what is on disk is the second's.
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; import test_epochs as t\n"
        "kill = lambda epoch, _: epoch == 3 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.trained(Path(sys.argv[1]), after=kill)\n"
    )
    given = [str(tmp_path / "killed"), str(Path(__file__).parent)]
    done = subprocess.run([sys.executable, "-c", script, *given], env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    seen = []
    again, told = trained(tmp_path / "killed", after=lambda e, _: seen.append(e))
    assert seen == [3, 4, 5]
    assert told == losses
    assert same(whole, again)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    trained(tmp_path, 1)
    with pytest.raises(ValueError, match=r"was made with seed = 0: expected 1"):
        trained(tmp_path, checkpoint=Checkpoint(tmp_path, 1, {"seed": 1}))
    with pytest.raises(ValueError, match=r"was made with half = 'None'"):
        trained(tmp_path, half=torch.bfloat16)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_products_in_half_width_end_close_by_and_go_on(tmp_path, half):
    _, losses = trained(tmp_path / "full")
    model, found = trained(tmp_path / "half", half=half)
    assert found != losses
    # bfloat16 keeps 8 bits: errors of 2^-8 in each product, and five epochs of them.
    assert found == pytest.approx(losses, abs=0.05)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    trained(tmp_path / "stopped", 2, half=half)
    again, told = trained(tmp_path / "stopped", half=half)
    assert told == found
    assert same(model, again)


def test_the_scale_of_float16_is_kept(tmp_path):
    scaler = epochs._Scaler("cpu")
    scaler.scale(torch.ones(()))
    scaler.set_state(torch.tensor([512.0, 7.0], dtype=torch.float64))
    assert scaler.get_state().tolist() == [512, 7]
    assert scaler.get_scale() == 512
    off = epochs._Scaler("cpu", enabled=False)
    off.set_state(off.get_state())
    assert float(off.scale(torch.ones(()))) == 1


def test_half_is_for_gpus(monkeypatch):
    assert epochs.half_of("cpu") is None
    for has, half in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert epochs.half_of("cuda") == half


def test_a_loss_that_is_lost_is_named(tmp_path):
    def lost(z, y):
        return z.sum() * torch.inf

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="seed 3: the loss is not finite in epoch 1"):
        epochs.fit(
            model,
            batches,
            lost,
            optimizer=optimizer,
            schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0),
            epochs=1,
            checkpoint=Checkpoint(tmp_path / "seed 3"),
        )


def test_outputs_are_those_in_evaluation():
    model = network().eval()
    found, targets = epochs.evaluated(model, batches(1))
    rows = torch.cat([y for _, y in batches(1)])
    assert torch.equal(targets, rows)
    whole = torch.cat([model(x) for x, _ in batches(1)])
    torch.testing.assert_close(found, whole.detach())
    assert not found.requires_grad
