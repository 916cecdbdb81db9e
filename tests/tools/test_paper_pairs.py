"""Chapter 1 at paper size, on a small CIFAR-10: from the archive to the record."""

import json
import math

import numpy as np
import pytest
import tiny_cifar
import tiny_photos
import torch

from tailwise.ledger import claims
from tailwise.methods.solvers import solve_ratio_heads
from tailwise.weighting.images import FrozenPair
from tools.paper import __main__ as paper
from tools.paper import chapter1

SIZES = ["--network", "resnet18", "--scratch", "--side", "32", "--width", "8"]
SIZES += ["--epochs", "3", "--batch", "40", "--held", "30", "--seeds", "0", "1"]


def run(folder, *more: str) -> int:
    return paper.main(["1", *SIZES, "--folder", str(folder / "runs"), *more])


def rows(folder) -> list[dict]:
    record = folder / "results" / "paper" / "cifar10-deer-horse.json"
    return json.loads(record.read_text("utf-8"))["rows"]


def test_the_plan_comes_first_and_fetches_nothing(apart, capsys):
    assert run(apart) == 0
    told = capsys.readouterr().out
    for text in ("deer and horse", "2 times resnet18", "non-commercial", "--yes"):
        assert text in told
    assert not list(apart.iterdir())


def test_from_the_archive_to_the_record(apart, monkeypatch, capsys):
    tiny_cifar.serve(monkeypatch, n_train=1000)
    assert run(apart, "--yes") == 0
    told, first = capsys.readouterr().out, rows(apart)
    assert "meet at" in told
    assert "recorded in" in told
    assert not list((apart / "runs").iterdir())
    assert not (apart / "results" / "paper" / "ch1.json").exists()  # not the recipe
    for row in first:
        (n, found) = next(iter(row["curves"].items()))
        assert (n, len(row["curves"])) == ("20", 1)
        for sweep in found["sweeps"].values():
            assert np.shape(sweep) == (2, 25)
            minority, majority = np.array(sweep)
            assert minority[-1] >= minority[0]
            assert majority[-1] <= majority[0]


def test_images_are_held_out_with_the_share_of_the_pair(apart, monkeypatch):
    tiny_cifar.write(apart / "data", monkeypatch, n_train=1000)
    chapter1.cifar.prepare(apart / "data", kind="cifar10")
    recipe = chapter1.Recipe(held=40)
    found = chapter1.images_of(recipe, 0, apart / "data")
    odds = 0.17 / 0.83
    for split, sizes in (
        ("pool", (round(40 * odds), 40)),
        ("train", (round(60 * odds), 60)),
        ("test", (10, 10)),
    ):
        assert tuple(found[split].y.bincount().flip(0).tolist()) == sizes
    kinds = {
        split: {image.numpy().tobytes() for image in found[split].images}
        for split in ("pool", "train")
    }
    assert not kinds["pool"] & kinds["train"]
    # A deer's bar is green and in the thirteenth row, a horse's in the twenty-second.
    for label, channel, row in ((1, 1, 12), (0, 1, 21)):
        mine = found["test"].images[found["test"].y == label]
        assert mine[:, channel, row : row + 4].min() >= 140
    with pytest.raises(ValueError, match="held is 100: there are 100 images of horse"):
        chapter1.images_of(chapter1.Recipe(held=100), 0, apart / "data")


def test_the_curves_are_those_of_heads_one_by_one():
    g = torch.Generator().manual_seed(0)

    def features(n, shift):
        return torch.randn(n, 4, generator=g, dtype=torch.float64) + shift

    pool, test = (features(30, 0.7), features(90, -0.7)), (features(50, 0.7),) * 2
    pair = FrozenPair(("deer", "horse"), pool, test, (1.0, 1.0))
    recipe = chapter1.Recipe(resamples=3)
    found = chapter1.curves(pair, 20, 0.17, recipe, 5)
    again = chapter1.generator_for(5, "pair", "samples", "20")
    X, y = chapter1.resample(pair, 20, 3, prior=0.17, generator=again)
    assert (y > 0).sum(1).tolist() == [3, 3, 3]
    one = torch.tensor([chapter1.LARGEST], dtype=torch.float64)
    coef, intercept = solve_ratio_heads(X, y, one, recipe.ridge)
    right = [
        [
            ((sign * (x @ w[0] + b)) > 0).double().mean().item()
            for x, sign in zip(test, (1, -1))
        ]
        for w, b in zip(coef, intercept)
    ]
    sweep = np.array(found["sweeps"]["least squares"])
    assert sweep[:, -1] == pytest.approx(np.mean(right, 0))
    assert set(found["sweeps"]) == {"least squares", "30 steps", "300 steps"}
    priors = found["rules"]["priors"]
    assert priors["ratio"] == pytest.approx(17 / 3)
    assert math.isnan(found["rules"]["threshold shift"]["ratio"])


def test_a_network_drops_features_in_training_alone():
    recipe = chapter1.Recipe(network="resnet18", width=16)
    model = chapter1.network(recipe, 0, None)
    x = chapter1.enlarged(torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8), 32)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    assert model[0](x).shape == (4, 16)


def test_an_enlarged_image_is_standardised():
    white = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    found = chapter1.enlarged(white, 64)
    assert found.shape == (1, 3, 64, 64)
    mean, sd = (
        torch.tensor(v) for v in (chapter1.imagenet.MEAN, (0.229, 0.224, 0.225))
    )
    torch.testing.assert_close(found[0, :, 5, 7], (1 - mean) / sd)


def test_the_claim_is_the_gap_at_ratio_60(apart, trained, monkeypatch, capsys):
    sweep = [[0.1, 0.6], [0.9, 0.7]]
    rules = {rule: {"worst": 0.5, "ratio": 1.0} for rule in chapter1.RULES}
    made = [
        {"curves": {"20": {"sweeps": {"30 steps": sweep}, "rules": rules}}}
        for _ in range(10)
    ]
    for i, row in enumerate(made):
        row["curves"]["20"]["sweeps"] = {"30 steps": [[0.1, 0.6 + i / 1e3], sweep[1]]}
    monkeypatch.setattr(chapter1, "ratios", lambda: torch.tensor([1.0, 60.0]))
    trained(made)
    monkeypatch.setattr(chapter1, "speed", lambda *_, **__: 1e3)
    assert paper.main(["1", "--yes", "--folder", str(apart / "runs")]) == 0
    (found,) = claims.latest("ch1", "paper").measurements["ch1.deer_horse"]
    assert (found.value, found.n) == (pytest.approx(0.0955), 10)
    told = capsys.readouterr().out
    assert "ch1.deer_horse: reproduced" in told
    assert "nowhere" in told


def test_faces_run_from_their_files_to_the_record(apart, monkeypatch, capsys):
    tiny_photos.celeba(apart / "data", monkeypatch)
    more = ["--pair", "straight-hair", "--epochs", "2", "--seeds", "0"]
    assert run(apart, "--yes", *more) == 0
    told = capsys.readouterr().out
    for text in ("straight hair and other hair of CelebA", "gdown", "recorded in"):
        assert text in told
    record = apart / "results" / "paper" / "celeba-straight-hair.json"
    (row,) = json.loads(record.read_text("utf-8"))["rows"]
    assert list(row["curves"]) == ["20"]
    assert row["losses"][-1] < row["losses"][0]


def test_the_claim_of_faces_is_the_gain_over_the_priors(apart, trained, monkeypatch):
    def row(seed):
        rules = {rule: {"worst": 0.5, "ratio": 1.0} for rule in chapter1.RULES}
        rules["PCA 99 %"] = {"worst": 0.55 + seed / 1e3, "ratio": 5.0}
        sweeps = {"least squares": [[0.1, 0.6], [0.9, 0.7]]}
        return {"curves": {"20": {"sweeps": sweeps, "rules": rules}}}

    trained([row(seed) for seed in range(10)])
    monkeypatch.setattr(chapter1, "ratios", lambda: torch.tensor([1.0, 60.0]))
    monkeypatch.setattr(chapter1, "speed", lambda *_, **__: 1e3)
    given = ["1", "--yes", "--pair", "straight-hair"]
    assert paper.main([*given, "--folder", str(apart / "runs")]) == 0
    (found,) = claims.latest("ch1", "paper").measurements["ch1.celeba"]
    assert (found.value, found.n) == (pytest.approx(0.0545), 10)
