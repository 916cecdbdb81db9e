"""Runs at paper size, on fakes in the real formats: plan, train, go on, record."""

import gzip
import hashlib
import json
import math
import os
import re
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest
import tiny_chunks
import tiny_cifar
import tiny_mnist
import tiny_paper
import tiny_ranks
import torch

from tailwise import profiles
from tailwise.data.compat import import_torchvision
from tailwise.geometry import seli
from tailwise.ledger import claims
from tailwise.training.checkpoint import Checkpoint
from tools.book.layout import ROOT
from tools.paper import __main__ as paper
from tools.paper import chapter2, chapter3, chapter4, chapter5, estimates, harness, sets

SIZES = ["--n-major", "24", "--epochs", "6", "--width", "16", "--depth", "2"]
SIZES += ["--batch", "20", "--checks", "3", "--gammas", "0", "0.5"]
SIZES += ["--ratios", "2", "4", "--seeds", "0", "1"]


pytestmark = pytest.mark.usefixtures("apart")


@pytest.fixture
def data(apart):
    return tiny_mnist.write(apart / "data")


def run(folder, *more: str) -> int:
    return paper.main(["5", *SIZES, "--folder", str(folder / "runs"), *more])


def rows(folder) -> list[dict]:
    record = folder / "results" / "paper" / "mnist.json"
    return json.loads(record.read_text("utf-8"))["rows"]


def test_the_plan_comes_first_and_fetches_nothing(apart, capsys):
    assert run(apart) == 0
    told = capsys.readouterr().out
    for text in ("12 networks on MNIST", "CC BY-SA", "images/s", "--yes"):
        assert text in told
    assert not (apart / "results").exists()
    assert not (apart / "data").exists()


def test_the_real_plan_counts_what_the_paper_trains(monkeypatch):
    monkeypatch.setattr(chapter5, "speed", lambda *_, **__: 1e4)
    chosen = chapter5.arguments([])
    found = chapter5.plan_of(chapter5.Recipe(), list(chapter5.settings(chosen)))
    told = found.told(Path("data"), Path("runs"), "cpu", [])
    # 4 ratios, 3 seeds, 7 exponents of 2 losses of which 0 is one.
    assert "156 networks on MNIST, 6 layers of 2048, 350 epochs" in told
    # Two operations a weight and image forward, four backward; two for the first layer,
    # whose inputs need no gradient.
    sizes, first = [784, *[2048] * 6, 10], 784 * 2048
    weights = sum(d * f for d, f in zip(sizes, sizes[1:]))
    seen = 39 * 350 * sum(25_000 + 5 * (5000 // r) for r in (10, 2, 5, 20))
    assert f"{(6 * weights - 2 * first) * seen / 1e15:.1f} PFLOP" in told
    assert f"{seen / 1e4 / 3600:.1f} h" in told


def test_from_files_to_record(data, apart, capsys):
    assert run(apart, "--yes") == 0
    first = rows(apart)
    assert "recorded in" in capsys.readouterr().out
    assert len(first) == 12
    assert not list((apart / "runs").iterdir())
    for row in first:
        assert row["epochs"] == [2, 4, 6]
        counts = chapter5.step_counts(chapter5.Recipe(n_major=24), row["R"])
        delta = seli.temperatures(counts, row["gamma"])
        gram, _ = seli.predicted_grams(counts, delta, row["loss"])
        blocks = seli.blocks(gram, counts < 24)
        assert row["W limit"]["ratio^2"] == pytest.approx(float(blocks.norm2_ratio))


def test_a_network_learns_what_it_is_shown(data, apart, monkeypatch):
    more = ["--epochs", "30", "--seeds", "0", "--ratios", "2"]
    assert run(apart, "--yes", *more) == 0
    for row in rows(apart):
        assert row["tracked"]["accuracy"][-1] > 0.9
        assert row["tracked"]["loss"][-1] < 0.1 < math.log(10)  # of a guess


def test_distances_and_accuracies_are_those_of_a_loop():
    recipe = chapter5.Recipe(n_major=8, width=12, depth=1)
    counts = chapter5.step_counts(recipe, 2)
    y = torch.arange(10).repeat_interleave(counts.long())
    X = torch.randn(len(y), 784, generator=torch.Generator().manual_seed(0))
    model = chapter5.network(recipe, 0).train()
    found, (gram_w, gram_h) = chapter5.measured(model, X, y, counts, "cdt", 0.5)
    assert model.training
    model.eval()
    h, delta = model[0](X).double(), seli.temperatures(counts, 0.5)
    means = torch.stack([h[y == c].mean(0) for c in range(10)])
    # The centre at which sum_c delta_c v_c (mu_c - centre) is 0, with v = 1 / delta.
    means = means - means.mean(0)
    W = model[1].weight.double()
    torch.testing.assert_close(gram_w, W @ W.T)
    torch.testing.assert_close(gram_h, means @ means.T, rtol=1e-4, atol=1e-6)
    right = model(X).argmax(-1) == y
    each = torch.stack([right[y == c].double().mean() for c in range(10)])
    assert found[2] == pytest.approx(each.mean().item())
    assert found[3] == pytest.approx(each[:5].mean().item())
    limits = seli.predicted_grams(counts, delta, "cdt")
    assert found[0] == pytest.approx(float(seli.gram_error(gram_w, limits[0])))


def test_temperatures_sum_to_the_classes_and_plain_is_one_loss():
    counts = chapter5.step_counts(chapter5.Recipe(), 10)
    for loss in ("ldt", "cdt"):
        (table,) = chapter5.knobs(loss, 0.5, counts).values()
        assert table.sum().item() == pytest.approx(10)
        assert (table[0] / table[-1]).item() == pytest.approx(10**0.5)
    chosen = chapter5.arguments(["--losses", "ldt", "cdt", "la", "--seeds", "0"])
    plain = [s for s in chapter5.settings(chosen) if s[2] == 0]
    assert plain == [(ratio, "ldt", 0.0, 0) for ratio in (10, 2, 5, 20)]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("no data", "MNIST is not in"),
        ("few", "class 4 has 30 images: expected 31"),
        ("disk", "GB free: expected"),
        ("other settings", "was made with batch = None: expected 20"),
    ],
)
def test_what_is_wrong_is_one_sentence(data, apart, capsys, monkeypatch, harm, message):
    more = ["--yes"]
    if harm == "no data":
        monkeypatch.setenv("TAILWISE_DATA", str(apart / "none"))
    if harm == "few":
        more += ["--n-major", "31"]
    if harm == "disk":
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    if harm == "other settings":
        folder = apart / "runs" / "mlp, R 2, ldt 0, seed 0"
        Checkpoint(folder, about={"epochs": 9}).write(1, {"x": torch.ones(1)})
    assert run(apart, *more) == 1
    assert message in capsys.readouterr().err
    assert not (apart / "results").exists()


def test_a_wrong_number_is_named():
    with pytest.raises(SystemExit):
        chapter5.arguments(["--ratios", "0"])
    with pytest.raises(SystemExit):
        chapter5.arguments(["--epochs", "0"])


def test_mnist_is_fetched_whole(apart, monkeypatch):
    raw = tiny_mnist.write(apart / "made")
    served = {f"{p.name}.gz": gzip.compress(p.read_bytes()) for p in raw.iterdir()}
    sums = [(name, hashlib.md5(x).hexdigest()) for name, x in served.items()]
    monkeypatch.setattr(import_torchvision().datasets.MNIST, "resources", sums)

    def answer(request, *_, **__):
        name = request.full_url.rpartition("/")[2]
        return tiny_cifar.Answer(served[name], request.full_url)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    half = apart / "data" / ".MNIST.aside" / "MNIST" / "raw"  # of a run that was killed
    half.mkdir(parents=True)
    (half / "train-images-idx3-ubyte").touch()
    assert len(sets.mnist(apart / "data", download=True).targets) == 300
    assert [p.name for p in (apart / "data").iterdir()] == ["MNIST"]


def test_half_of_mnist_is_refused(data, apart, capsys):
    images = data / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-9])
    assert run(apart, "--yes") == 1
    told = capsys.readouterr().err
    assert "MNIST is not in" in told
    assert f"; remove {apart / 'data' / 'MNIST'} to fetch it again" in told


def test_chapter_4_prints_its_plan(monkeypatch, capsys):
    monkeypatch.setattr(chapter4, "speed", lambda *_, **__: 10.0)
    assert paper.main(["4", "--ratio", "50"]) == 0
    told = capsys.readouterr().out
    # Two phases of two backbones; of both a probe and, at 1.5 times, the whole; two
    # more of one kind; four ablations of two. Three seeds, ten epochs, and that tail.
    phases = 2 * 2 + 2 * (1 + 1.5) + 2 + 4 * 2
    seen = phases * 3 * 10 * 12_608
    assert f"{seen / 10 / 86_400:.0f} days" in told
    for text in ("no claim", "16.0 GB on a GPU; torch sees none here", "--yes"):
        assert text in told


def test_packages_are_missed_before_data_are_fetched(apart, monkeypatch, capsys):
    missed = chapter4.large.check_packages
    tiny_paper.use(monkeypatch)
    monkeypatch.setattr(chapter4.large, "check_packages", missed)
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr(urllib.request, "urlopen", None)
    given = ["4", "--data", "places", "--folder", str(apart / "runs"), "--yes"]
    assert paper.main(given) == 1
    said = capsys.readouterr()
    assert said.err.startswith("weights on ImageNet-21k need the package timm: pip")
    assert "decides:\n  ch4.places: LPT++ is 1.2 points better" in said.out
    assert not (apart / "data").exists()


def test_a_gpu_without_room_for_a_step_has_no_speed(monkeypatch):
    def full():
        raise torch.OutOfMemoryError("CUDA out of memory.")

    assert math.isnan(estimates.speed(full, (3, 8, 8), 2, half=False))
    assert estimates.hours(math.nan) == "nan min"
    assert estimates.hours(5399) == "90 min"
    assert estimates.hours(5400) == "1.5 h"
    assert estimates.hours(9 * 86_400) == "9 days"


def test_two_processes_give_the_record_of_one(data, apart):
    few = ["--seeds", "0", "--losses", "wce", "--ratios", "2", "--epochs", "2"]
    assert run(apart, "--yes", *few) == 0
    one = rows(apart)
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    given = ["5", *SIZES, *few, "--yes", "--folder", str(apart / "runs")]
    said = tiny_ranks.started(
        ["-m", "tools.paper", *given],
        TAILWISE_RESULTS=str(apart / "both"),
        TAILWISE_CACHE=str(apart / "another"),
        **paths,
    )
    assert "recorded in" in said[0]
    assert said[1] == ""
    both = json.loads((apart / "both" / "paper" / "mnist.json").read_text("utf-8"))
    for mine, theirs in zip(one, both["rows"], strict=True):
        for name in ("W", "H", "tracked"):
            for key, value in mine[name].items():
                assert theirs[name][key] == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_torchrun_is_refused_where_it_does_nothing(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert paper.main(["3"]) == 1
    assert "start it without torchrun" in capsys.readouterr().err


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    taken, gpus = [], Queue()
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(harness, "end_with_parent", lambda: None)
    for i in range(2):
        gpus.put(i)
        harness.take_gpu(gpus)
    assert taken == [0, 1]


def test_networks_are_spread_over_gpus_and_read_from_what_they_kept(apart, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(harness, "take_gpu", tiny_chunks.nothing)
    work = [(seed, apart, 0.3) for seed in range(4)]
    found = harness.spread(tiny_chunks.noted, work, "cuda")
    assert found == [tiny_chunks.noted(seed, apart) for seed in range(4)]
    # Once in a process of the pool, and once here above.
    assert {len((apart / str(s)).read_text()) for s in range(4)} == {2}


def refuse(harm: str, monkeypatch) -> None:
    """What may be wrong before the first image has come."""

    def answer(request, timeout):
        url = request.full_url
        if harm == "no network":
            raise urllib.error.URLError("no route to host")
        if harm == "moved":
            raise urllib.error.HTTPError(url, 404, "Not Found", {}, None)
        served = tiny_cifar.Answer(b"<html>Hello.</html>", url)
        served.headers["Content-Length"] = 6833 if harm == "cut" else 19
        return served

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    free = 1e6 if harm == "disk" else 1e12
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    if harm == "GPU memory":
        on_gpu = replace(profiles.current(), device="cuda")
        monkeypatch.setattr(profiles, "current", lambda *_: on_gpu)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (4e9, 16e9))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("no network", "did not come from http://data.csail.mit.edu/.*no route to h"),
        ("moved", "did not come from http://data.csail.mit.edu/.*: HTTP Error 404"),
        ("checksum", "is not the published file, and was removed: MD5 is .* expected"),
        ("cut", "cut after 19 of 6833 bytes; the same command goes on there"),
        ("disk", r"has 0.0 GB free: expected 57.\d GB"),
        ("GPU memory", r"the GPU has 4.0 GB free: expected 24.0 GB"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    apart, monkeypatch, capsys, harm, message
):
    tiny_paper.use(monkeypatch)
    refuse(harm, monkeypatch)
    given = ["4", "--data", "places", "--folder", str(apart / "runs"), "--yes"]
    assert paper.main(given) == 1
    told = capsys.readouterr().err
    assert re.search(message, told)
    assert told.count("\n") == 1
    left = [path.name for path in apart.rglob("*") if path.is_file()]
    assert left == [".0-categories_places365.txt.part"] * (harm == "cut")


def test_without_yes_nothing_is_asked_of_the_network(apart, monkeypatch, capsys):
    tiny_paper.use(monkeypatch)
    monkeypatch.setattr(urllib.request, "urlopen", None)
    assert paper.main(["4", "--data", "places", "--folder", str(apart / "runs")]) == 0
    said = capsys.readouterr()
    for text in ("licences:", "non-commercial", "YES=1", "--yes"):
        assert text in said.out
    assert said.err == ""
    assert not list(apart.iterdir())


def test_too_little_room_is_said_before(tmp_path, monkeypatch):
    about = dict(title="t", licences=(), rows=(("a", "b", "c"),))
    found = estimates.Plan(**about, data_gb=5, kept_gb=1, gpu_gb=8)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (4e9, 16e9))
    free = {}
    monkeypatch.setattr("shutil.disk_usage", lambda p: SimpleNamespace(free=free[p]))
    data, runs = tmp_path / "data" / "not" / "there", tmp_path / "runs"
    free[tmp_path] = 6e9
    found.check(data, runs, "cpu")
    with pytest.raises(ValueError, match=r"the GPU has 4.0 GB free: expected 8.0 GB"):
        found.check(data, runs, "cuda")
    free[tmp_path] = 5.5e9
    with pytest.raises(ValueError, match=r"there has 5.5 GB free: expected 6.0 GB"):
        found.check(data, runs, "cpu")
    # Two disks.
    runs.mkdir()
    free[runs], here = 1.5e9, Path.stat

    def stat(path, **how):
        return SimpleNamespace(st_dev=1) if path == runs else here(path, **how)

    monkeypatch.setattr(Path, "exists", os.path.exists)
    monkeypatch.setattr(Path, "stat", stat)
    found.check(data, runs, "cpu")
    free[runs] = 0.5e9
    with pytest.raises(ValueError, match=r"runs has 0.5 GB free: expected 1.0 GB"):
        found.check(data, runs, "cpu")


def test_data_that_are_there_need_no_room(apart):
    for source in sets.SETS.values():
        assert source.room_gb() == source.disk_gb
        (apart / "data" / source.ready).mkdir(parents=True)
        assert source.room_gb() == 0


def test_what_was_fetched_before_a_stop_needs_no_room_again(apart):
    (data := apart / "data").mkdir()
    for name, begun in (
        ("waterbirds", ".0-waterbird_complete95_forest2water2.tar.gz.part"),
        ("inaturalist", "inaturalist/.0-train_val2018.tar.gz.part"),
    ):
        (data / begun).parent.mkdir(exist_ok=True)
        with (data / begun).open("wb") as part:
            part.truncate(300_000_000)
        left = sets.SETS[name].disk_gb - 0.3
        assert sets.SETS[name].room_gb() == pytest.approx(left)


def test_another_chapter_is_told_which_there_are(capsys):
    assert paper.main(["9"]) == 2
    assert "1 to 5" in capsys.readouterr().err


@pytest.mark.parametrize("chapter", [chapter2, chapter3])
def test_what_a_table_compares_with_stands_in_the_claim_file(chapter):
    stated = claims.load(f"ch{chapter.__name__[-1]}").claims.values()
    texts = " ".join(c.paper_value for c in stated if c.profile == "paper")
    compared, there = (
        {float(x) for x in re.findall(r"\d*\.\d+", text)}
        for text in (repr(chapter.PUBLISHED), texts)
    )
    assert compared
    assert compared <= there


@pytest.mark.parametrize("kind", ["mlp", "resnet18"])
def test_the_table_of_chapter_5_has_the_marks_of_the_figures(kind):
    blocks = {"W": {"ratio^2": 2.0}, "W limit": {"ratio^2": 1.5}}
    tracked = {"tracked": {"accuracy": [1.0], "distance W": [0.5]}}
    about = {"R": 20, "loss": "cdt", "gamma": 1.0}
    lines = chapter5.table(
        [about | blocks | tracked, about | {"R": 10} | blocks | tracked], kind
    ).splitlines()[1:]
    marks = {"mlp": ("–", "–", "0.59", "–"), "resnet18": ("–", "0.33", "0.70", "–")}
    found = [line.split()[i] for line in lines for i in (5, 7)]
    assert tuple(found) == marks[kind]
