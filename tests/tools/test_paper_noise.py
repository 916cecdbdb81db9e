"""Chapter 3 at paper size, on a small CIFAR-10: from the archive to the record."""

import json

import numpy as np
import pytest
import tiny_cifar
import torch
from torch.nn import functional as F

from tailwise.data import corruption
from tailwise.ledger import claims
from tools.paper import __main__ as paper
from tools.paper import chapter3

SIZES = ["--n-train", "300", "--epochs", "2", "--batch", "50", "--seeds", "0", "1"]
METHODS = ["--methods", "ERM", "COCE", "SharpDRO"]


@pytest.fixture
def run(apart):
    folder = ["--folder", str(apart / "runs")]
    return lambda *more: paper.main(["3", *SIZES, *METHODS, *folder, *more])


def rows(folder) -> list[dict]:
    record = folder / "results" / "paper" / "cifar10-noise.json"
    return json.loads(record.read_text("utf-8"))["rows"]


def test_the_plan_comes_first_and_fetches_nothing(run, apart, capsys):
    assert run() == 0
    told = capsys.readouterr().out
    for text in (
        "26 LeNets on noisy CIFAR-10",
        "names none",
        "time, A100",
        "--yes",
    ):
        assert text in told
    assert not list(apart.iterdir())


def test_from_the_archive_to_the_record(run, apart, monkeypatch, capsys):
    tiny_cifar.serve(monkeypatch)
    assert run("--yes") == 0
    told, first = capsys.readouterr().out, rows(apart)
    for text in ("SharpDRO", "0.565", "1.77", "recorded in"):
        assert text in told
    assert sorted(p.name for p in (apart / "data").iterdir()) == [
        "cifar10.safetensors",
        "cifar10.sha256",
    ]
    assert len(first) == 26
    assert all(len(row["test"]) == 6 for row in first)
    assert not (apart / "results" / "paper" / "ch3.json").exists()  # not the recipe
    assert not list((apart / "runs").iterdir())


def test_two_processes_give_the_record_of_one(run, apart, monkeypatch):
    tiny_cifar.serve(monkeypatch)
    few = ["--methods", "ERM", "--seeds", "0", "1", "2"]
    assert run("--yes", *few) == 0
    one = rows(apart)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setenv("TAILWISE_CACHE", str(apart / "again"))
    monkeypatch.setattr(chapter3.lenet, "train", None)  # not used in this process
    assert run("--yes", *few) == 0
    assert rows(apart) == one


def test_a_wide_network_runs_from_the_archive_to_the_record(run, apart, monkeypatch):
    tiny_cifar.serve(monkeypatch)
    few = ["--n-train", "100", "--epochs", "1", "--methods", "SharpDRO", "--seeds", "0"]
    small = chapter3.FAMILIES["SharpDRO"][:1]
    monkeypatch.setitem(chapter3.FAMILIES, "SharpDRO", small)
    monkeypatch.setattr(chapter3, "speed", lambda *_, **__: 1e3)
    assert run("--yes", "--network", "wide", *few) == 0
    record = apart / "results" / "paper" / "cifar10-noise-wide.json"
    (row,) = json.loads(record.read_text("utf-8"))["rows"]
    assert row["norm"] > 0


def test_a_cut_archive_is_refused_and_leaves_nothing(run, apart, monkeypatch, capsys):
    tiny_cifar.serve(monkeypatch, cut=10)
    assert run("--yes") == 1
    last = capsys.readouterr().err.splitlines()[-1]  # after torchvision's progress
    assert "CIFAR-10 was not found; tried" in last
    assert "a download through torchvision (RuntimeError: File not found" in last
    assert not list((apart / "data").iterdir())
    assert not (apart / "results").exists()


def test_too_many_training_images_are_named(run, apart, monkeypatch, capsys):
    tiny_cifar.serve(monkeypatch)
    assert run("--yes", "--n-train", "400") == 1
    assert "n_train is 400: expected 50 to 399" in capsys.readouterr().err


def test_the_network_is_the_authors():
    model = chapter3.network(chapter3.Recipe(), 0)
    convolved = 6 * (3 * 25 + 1) + 16 * (6 * 25 + 1)
    dense = 120 * (16 * 5 * 5 + 1) + 84 * 121 + 10 * 85
    assert sum(p.numel() for p in model.parameters()) == convolved + dense
    x = torch.zeros(2, 3, 32, 32)
    for data, n in (("cifar10", 10), ("cifar100", 100)):
        for name in chapter3.NETWORKS:
            recipe = chapter3.Recipe(data=data, network=name)
            assert chapter3.network(recipe, 0)(x).shape == (2, n)


def test_a_pattern_grows_with_the_severity():
    images = torch.full((40, 3, 32, 32), 128, dtype=torch.uint8)
    mean, sd = (torch.tensor(v).view(3, 1, 1) for v in chapter3.PIXELS["cifar10"])
    shown = [
        sd * chapter3.noisy(images, s, torch.Generator().manual_seed(0), "cifar10")
        for s in range(6)
    ]
    grey = shown[0] + mean
    torch.testing.assert_close(255 * grey, images.float())
    for x, wanted in zip(shown[1:], chapter3.NOISE[1:]):
        # 122,880 pixels: the standard error of a spread is 0.2 % of it.
        assert (x - shown[0]).std().item() == pytest.approx(wanted, rel=0.01)
        far = (shown[5] - shown[0]).abs() > 0.1
        assert torch.equal((x - shown[0])[far] > 0, (shown[5] - shown[0])[far] > 0)
    # Whole grey levels.
    grey = 255 * (shown[3] + mean)
    torch.testing.assert_close(grey, grey.round(), atol=1e-3, rtol=0)


def test_images_are_split_and_mirrored_once(apart, monkeypatch):
    tiny_cifar.write(apart / "data", monkeypatch)
    chapter3.cifar.prepare(apart / "data", kind="cifar10")
    recipe = chapter3.Recipe(n_train=300, batch=50, law="uniform")
    found = chapter3.drawn(recipe, 0, apart / "data")
    assert [len(y) for _, y, _ in found.values()] == [300, 100]
    severity = torch.cat([s for _, _, s in found.values()])
    assert severity.bincount(minlength=6).min() > 30
    again = chapter3.drawn(recipe, 0, apart / "data")
    other = chapter3.drawn(recipe, 1, apart / "data")
    assert torch.equal(found["val"][0], again["val"][0])
    assert not torch.equal(found["val"][1], other["val"][1])


def test_the_setting_that_validates_best_counts():
    def row(seed, label, val, test):
        at = [{"accuracy": a, "loss": 1 - a} for a in test]
        return {"seed": seed, "label": label, "val": {"accuracy": val}, "test": at}

    made = [
        row(0, "ERM", 0.1, [0.5] * 6),
        row(0, "COCE 0.1", 0.6, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
        row(0, "COCE 0.2", 0.5, [1.0] * 6),
        row(1, "COCE 0.1", 0.2, [0.0] * 6),
        row(1, "COCE 0.2", 0.2, [1.0] * 6),
    ]
    found = chapter3.chosen_rows(made, "rare")
    assert list(found) == ["ERM", "COCE"]
    first, second = found["COCE"]
    assert (first["label"], second["label"]) == ("COCE 0.1", "COCE 0.1")  # ties: first
    assert first["balanced"] == pytest.approx(0.65)
    assert first["worst"] == 0.4
    p = np.array(corruption.LAWS["rare"])
    assert first["average"] == pytest.approx(p @ [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert first["loss"] == pytest.approx(1 - first["average"])


def test_judged_is_over_all_images():
    model, g = chapter3.network(chapter3.Recipe(), 1), torch.Generator().manual_seed(0)
    x, y = torch.randn(1500, 3, 32, 32, generator=g), torch.arange(1500) % 10
    found, z = chapter3.judged(model, x, y, "cpu"), model(x)
    assert found["loss"] == pytest.approx(F.cross_entropy(z, y).item(), rel=1e-5)
    assert found["accuracy"] == (z.argmax(-1) == y).double().mean().item()


def test_the_claims_are_gains_of_each_seed(apart, trained, monkeypatch, capsys):
    def row(seed, label, right):
        at = [{"accuracy": right, "loss": 1.0}] * 6
        return {"seed": seed, "label": label, "val": {"accuracy": right}, "test": at}

    made = [row(s, "ERM", 0.58) for s in range(3)]
    made += [row(s, "COCE 0.4", 0.6 + s / 1000) for s in range(3)]
    trained(made)
    monkeypatch.setattr(chapter3, "speed", lambda *_, **__: 1e3)
    assert paper.main(["3", "--yes"]) == 0
    (found,) = claims.latest("ch3", "paper").measurements["ch3.cifar"]
    assert (found.value, found.n) == (pytest.approx(0.021), 3)
    assert "ch3.cifar: reproduced" in capsys.readouterr().out
    for row in made:
        row["label"] = row["label"].replace("COCE", "SharpDRO")
    assert paper.main(["3", "--yes", "--network", "wide"]) == 0
    record = claims.latest("ch3", "paper")
    (found,) = record.measurements["ch3.wide_networks"]
    assert found.value == pytest.approx(0.021)
    assert "ch3.cifar" in record.measurements  # the other run's stays
