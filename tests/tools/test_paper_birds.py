"""Chapter 2 at paper size, on a small Waterbirds: plan, train, go on, record."""

import json
import math
from types import SimpleNamespace

import pytest
import tiny_birds
import tiny_photos
import torch

from tailwise.data import waterbirds
from tailwise.ledger import claims
from tailwise.training import photo_batches
from tailwise.training.checkpoint import Checkpoint
from tools.paper import __main__ as paper
from tools.paper import chapter2

SIZES = ["--network", "resnet18", "--scratch", "--side", "32", "--epochs", "4"]
SIZES += ["--batch", "10", "--seeds", "0", "1"]


@pytest.fixture
def birds(apart, monkeypatch):
    monkeypatch.setattr(waterbirds, "COUNTS", tiny_birds.COUNTS)
    tiny_birds.write(apart / "data")
    return apart


def run(folder, *more: str) -> int:
    return paper.main(["2", *SIZES, "--folder", str(folder / "runs"), *more])


def rows(folder) -> list[dict]:
    record = folder / "results" / "paper" / "waterbirds.json"
    return json.loads(record.read_text("utf-8"))["rows"]


def test_the_plan_comes_first_and_fetches_nothing(apart, capsys):
    assert run(apart) == 0
    told = capsys.readouterr().out
    for text in ("2 times resnet18 for 4 epochs", "non-commercial", "--yes"):
        assert text in told
    assert not list(apart.iterdir())


def test_from_files_to_record(birds, capsys):
    assert run(birds, "--yes") == 0
    told, first = capsys.readouterr().out, rows(birds)
    assert "72.86, 74.9" in told
    assert not list((birds / "runs").iterdir())
    assert not (birds / "results" / "paper" / "ch2.json").exists()  # not the recipe
    assert [row["seed"] for row in first] == [0, 1]
    for row in first:
        assert row["losses"][-1] < row["losses"][0]
        for method in chapter2.METHODS:
            found = row[method]
            sizes = torch.tensor(tiny_birds.COUNTS["test"])
            mean = (torch.tensor(found["groups"]) * sizes).sum() / sizes.sum()
            assert found["mean"] == pytest.approx(mean.item(), abs=1e-6)
            assert found["worst"] == min(found["groups"])


def test_the_claim_is_the_gain_of_the_worst_group(apart, trained, monkeypatch, capsys):
    gained = [
        {name: {"worst": 0.7, "groups": [0.7] * 4} for name in chapter2.METHODS}
        for _ in range(5)
    ]
    for row, more in zip(gained, (0.19, 0.2, 0.2, 0.2, 0.21)):
        row["DFR"] = {"worst": 0.7 + more, "groups": [0.9] * 4}
    trained(gained)
    monkeypatch.setattr(chapter2, "speed", lambda *_, **__: 1e3)
    assert paper.main(["2", "--yes", "--folder", str(apart / "runs")]) == 0
    (found,) = claims.latest("ch2", "paper").measurements["ch2.waterbirds"]
    assert (found.value, found.n) == (pytest.approx(0.2), 5)
    told = capsys.readouterr().out
    assert "ch2.waterbirds: reproduced" in told
    assert "decides:\n  ch2.waterbirds: With a ResNet-50" in told
    assert "19.7 points" in told


def test_images_follow_from_seed_epoch_and_row(birds, monkeypatch):
    split = waterbirds.load_split("train")
    shown, other = (photo_batches.Shown(split, 32, seed) for seed in (0, 1))
    one, again = shown[3, 5], photo_batches.Shown(split, 32, 0)[3, 5]
    kept = photo_batches.Shown(split, 32, 0, moved=False)
    assert torch.equal(kept[3, 5], shown[0, 5])
    assert torch.equal(one, again)
    for changed in (shown[4, 5], other[3, 5], shown[0, 5]):
        assert changed.shape == (3, 32, 32)
        assert not torch.equal(one, changed)
    # Processes that read change nothing, nor does the program's own generator.
    here = list(shown.batches(2, 16, "cpu"))
    torch.manual_seed(9)
    loader = photo_batches.DataLoader
    monkeypatch.setattr(
        photo_batches,
        "DataLoader",
        lambda data, **options: loader(data, **options | {"num_workers": 2}),
    )
    there = list(shown.batches(2, 16, "cpu"))
    assert all(torch.equal(a, b) for x, y in zip(here, there) for a, b in zip(x, y))
    assert torch.cat([y for _, y in here]).bincount().tolist() == [24, 16]
    in_order = torch.cat([y for _, y in shown.batches(0, 16, "cpu")])
    assert torch.equal(in_order, split.y)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("no data", "waterbird_complete95_forest2water2.tar.gz did not come from"),
        ("disk", "GB free: expected"),
        ("other settings", "was made with batch = None: expected 10"),
    ],
)
def test_what_is_wrong_is_one_sentence(birds, capsys, monkeypatch, harm, message):
    if harm == "no data":
        monkeypatch.setenv("TAILWISE_DATA", str(birds / "none"))
    if harm == "disk":
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1e6))
    if harm == "other settings":
        folder = birds / "runs" / "waterbirds, seed 0"
        Checkpoint(folder, about={"epochs": 9}).write(1, {"x": torch.ones(1)})
    assert run(birds, "--yes") == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (birds / "results").exists()


def test_lesions_run_from_the_archive_to_the_record(apart, capsys):
    tiny_photos.isic_2019(apart / "data")
    more = ["--data", "isic", "--epochs", "2", "--seeds", "0"]
    assert run(apart, *more) == 0
    told = capsys.readouterr().out
    for text in ("ISIC 2019", "CC BY-NC 4.0", "not tried here", "--yes"):
        assert text in told
    assert run(apart, "--yes", *more) == 0
    told = capsys.readouterr().out
    for text in ("85.84", "malignant with patch", "recorded in"):
        assert text in told
    record = apart / "results" / "paper" / "isic.json"
    (row,) = json.loads(record.read_text("utf-8"))["rows"]
    for method in chapter2.METHODS:
        *there, absent = row[method]["groups"]
        assert absent != absent
        assert row[method]["worst"] == min(there)


def test_the_claim_of_lesions_is_that_of_the_malignant(apart, trained, monkeypatch):
    rows = [
        {
            name: {"worst": 0.1, "groups": [0.9, 0.9, right + seed / 100, math.nan]}
            for name, right in zip(chapter2.METHODS, (0.6, 0.7, 0.8))
        }
        for seed in range(5)
    ]
    trained(rows)
    monkeypatch.setattr(chapter2, "speed", lambda *_, **__: 1e3)
    given = ["2", "--yes", "--data", "isic", "--folder", str(apart / "runs")]
    assert paper.main(given) == 0
    (found,) = claims.latest("ch2", "paper").measurements["ch2.isic"]
    assert (found.value, found.n) == (pytest.approx(0.2), 5)
