"""Chapter 4 at paper size, on small random networks: whole, stopped, and recorded."""

import json
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_longtails
import tiny_paper
import torch
from tiny_clip import ClipImageEncoder, torchvision_vit
from tiny_paper import COUNTS, SmallPlan, starts, task
from tiny_vit import expert_of, images_and_labels, rng, tiny
from torch import nn

from tailwise import profiles
from tailwise.data import longtails
from tailwise.data.compat import import_torchvision
from tailwise.experts import large, paper_size
from tailwise.experts.backbones import LAYOUTS, as_backbone
from tailwise.experts.modules import Adapter, GroupPrompts, SharedPrompts, seeded
from tailwise.ledger import claims
from tools.paper import chapter4

PLAN = SmallPlan()
KINDS = ["visual, phase 2", "language, phase 2"]


class Killed(BaseException):
    pass


def run(folder, plan=PLAN, tell=None):
    return paper_size.run(starts(), task(), 0, plan=plan, folder=folder, tell=tell)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run(folder), folder


def test_a_run_that_is_killed_in_every_phase_ends_the_same(whole, tmp_path):
    killed, told = [], Counter()

    def kill(what, step, loss):
        told[what, step] += 1
        if step == 3 and what not in killed:
            killed.append(what)
            raise Killed

    for _ in range(4):
        with pytest.raises(Killed):
            run(tmp_path, tell=kill)
    assert len(set(killed)) == 4
    assert run(tmp_path, tell=kill) == whole[0]
    # It went on from the saving at step 2, in all four phases.
    steps = PLAN.settings(sum(COUNTS)).steps
    assert told == {(w, k): 1 + (k == 3) for w in killed for k in range(1, steps + 1)}


def test_a_finished_run_is_read(whole):
    def never(*told):
        raise AssertionError(told)

    assert run(whole[1], tell=never) == whole[0]
    assert run(whole[1], replace(PLAN, every=5), never) == whole[0]
    with pytest.raises(ValueError, match="made with lr = 0.001: expected 0.002"):
        run(whole[1], replace(PLAN, lr=0.002))


def test_rows(whole):
    rows = {row["method"]: row for row in whole[0]}
    kinds = [f"{k}, {s}" for k in starts() for s in paper_size.STAGES]
    assert set(kinds) < set(rows)
    assert {paper_size.MIXTURE, "scorer, summary", "scorer, scalar"} < set(rows)
    parts = torch.tensor(
        [[row[k] for k in ("many", "medium", "few")] for row in rows.values()]
    )
    # One class many, one medium, two few; as many test images of each
    everything = (parts * torch.tensor([1, 1, 2])).sum(1) / 4
    found = torch.tensor([row["all"] for row in rows.values()])
    torch.testing.assert_close(found, everything)


def test_gains():
    accuracy = {"visual, phase 2": (0.5, 0.7), "language, phase 2": (0.6, 0.5)}
    accuracy |= {paper_size.MIXTURE: (0.75, 0.75)}
    rows = [
        {"seed": seed, "method": name, "all": values[seed]}
        for name, values in accuracy.items()
        for seed in (1, 0)
    ]
    gains = paper_size.mixture_gains(rows, KINDS)
    assert gains == pytest.approx([0.15, 0.05])


def test_nothing_in_a_backbone_changes(tmp_path):
    given = starts()
    before = {
        kind: {n: x.clone() for n, x in start.backbone.module.state_dict().items()}
        for kind, start in given.items()
    }
    paper_size.run(given, task(), 0, plan=PLAN, folder=tmp_path)
    for kind, start in given.items():
        for name, x in start.backbone.module.state_dict().items():
            assert torch.equal(x, before[kind][name]), name
        assert not any(p.requires_grad for p in start.backbone.module.parameters())


def test_a_vit_b_16_grows_by_about_one_per_cent():
    with torch.device("meta"):
        module = import_torchvision().models.vit_b_16()
    module.heads = nn.Identity()
    backbone, plan = as_backbone(module), paper_size.Plan()
    made = dict(generator=rng(), like=torch.zeros(1))
    d, depth = backbone.width, len(backbone.blocks)
    parts = [
        SharedPrompts(depth, plan.tokens, d, **made),
        *(Adapter(d, plan.adapter, **made) for _ in range(depth)),
        GroupPrompts(plan.pool, plan.tokens, plan.blocks, d, d, **made),
    ]
    own = (p for part in parts for p in part.parameters())
    share = sum(p.numel() for p in own) / sum(p.numel() for p in module.parameters())
    assert 0.01 < share < 0.015  # as claim ch4.parameters bounds it


def test_what_decides_the_claims(whole, tmp_path):
    rows = paper_size.run(
        starts(), task(), 0, plan=PLAN, folder=tmp_path, parts=paper_size.PARTS
    )
    found = {row["method"]: row for row in rows}
    for row in whole[0]:  # the same experts
        assert found[row["method"]] == row
    names = [paper_size.PROBE, paper_size.TUNED, *paper_size.ABLATIONS]
    made = {f"{kind}, {name}" for kind in starts() for name in names}
    made |= {"mean of two probes", paper_size.TWINS, f"{paper_size.TWIN}, phase 2"}
    assert made == found.keys() - {row["method"] for row in whole[0]}
    assert (
        paper_size.run(
            starts(), task(), 0, plan=PLAN, folder=tmp_path, parts=paper_size.PARTS
        )
        == rows
    )


def work(folder, kind="visual"):
    return paper_size.Work(kind, starts()[kind], task(), 0, PLAN, folder)


def test_a_probe_and_fine_tuning_are_those_of_the_chapter(tmp_path):
    mine = work(tmp_path)
    head = paper_size.Expert(mine.start.backbone, mine.fresh().head)
    options = mine.options(paper_size.PROBE) | {"checkpoint": None}
    paper_size.phases.linear_probe(head, mine.task.images, mine.task.labels, **options)
    probe = mine.probe()[paper_size.PROBE]
    torch.testing.assert_close(probe, paper_size.scores(head, mine.task.test_images))
    mine = work(tmp_path)
    head = paper_size.Expert(mine.start.backbone, mine.fresh().head)
    rates = dict(lr=PLAN.tuned_lr, head_lr=PLAN.lr)
    options = mine.options(paper_size.TUNED, **rates)
    del options["checkpoint"]
    images, labels = mine.task.images, mine.task.labels
    other, _ = paper_size.phases.full_fine_tuning(head, images, labels, **options)
    tuned = mine.tuned()[paper_size.TUNED]
    torch.testing.assert_close(tuned, paper_size.scores(other, mine.task.test_images))


def test_features_of_a_backbone_are_those_of_an_expert_with_nothing_else():
    for start in starts().values():
        head = paper_size.make_expert(
            start.backbone, 4, generator=rng(), tokens=0, adapter=0
        )
        images = task().test_images
        found = paper_size.plain(start.backbone, images)
        torch.testing.assert_close(found, head.features(images))


# Images


def test_crops_are_shifted_windows_and_half_of_them_mirrored():
    n, pad = 400, 2
    images = torch.rand(1, 3, 8, 6).expand(n, -1, -1, -1)
    found = paper_size.crop_and_flip(images, rng(), pad)
    padded = nn.functional.pad(images[:1], (pad,) * 4, mode="reflect")[0]
    windows = padded.unfold(1, 8, 1).unfold(2, 6, 1).permute(1, 2, 0, 3, 4)
    both = torch.stack([windows, windows.flip(-1)]).flatten(1, 2)  # [2, 25, c, h, w]
    same = (found[:, None, None] == both).flatten(3).all(-1)
    assert (same.sum((1, 2)) == 1).all()
    assert same.any(0).all()
    # 5 standard errors of a share of n
    assert (same.any(2).double().mean(0) - 0.5).abs().max() < 2.5 / n**0.5
    assert torch.equal(paper_size.crop_and_flip(images, rng(), pad), found)


def test_resizing_is_part_of_the_layout():
    module = torchvision_vit()
    layout = large.resizing(
        LAYOUTS["torchvision"], 32, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    )
    images = torch.rand(2, 3, 32, 32)
    mu, sd = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    by_hand = (images - mu.view(3, 1, 1)) / sd.view(3, 1, 1)
    expected = as_backbone(module).tokens(by_hand)
    # Resizing to the same size: cubic weights at whole positions are 0 and 1.
    torch.testing.assert_close(as_backbone(module, layout).tokens(images), expected)
    assert as_backbone(module, layout).tokens(images[..., :20, :24]).shape == (2, 17, 8)


# Half-width products


@pytest.mark.parametrize("kind", LAYOUTS)
def test_half_width_products_change_little_and_keep_types(kind):
    make = {"glyph": lambda: tiny().float(), "clip": ClipImageEncoder}
    with seeded(rng(5)):
        module = make.get(kind, torchvision_vit)()
    channels = 1 if kind == "glyph" else 3
    images = torch.rand(4, channels, 32, 32, generator=rng())
    found = []
    for half in (None, torch.bfloat16):
        backbone = as_backbone(module, half=half)
        given = dict(generator=rng(), tokens=2, adapter=2)
        expert = paper_size.make_expert(backbone, 4, **given)
        features = expert.features(images)
        # Not the square: after the last norm it is nearly constant, its slope noise.
        (features * torch.randn(features.shape, generator=rng(1))).sum().backward()
        tokens = backbone.tokens(images).detach()
        block = backbone.run(0, torch.ones_like(tokens).cumsum(-1).sin()).detach()
        parts = (features.detach(), expert.shared.tokens.grad, tokens, block)
        assert {part.dtype for part in parts} == {torch.float32}
        found.append(parts)
    for full, half in zip(*found):
        assert not torch.equal(full, half)
        # Eight digits of two: 2^-8 a product, in two or three blocks
        assert (half - full).norm() < 0.05 * full.norm()


def test_phases_learn_with_half_width_products():
    images, labels = images_and_labels()
    expert = expert_of(tiny().float())
    expert.backbone = replace(expert.backbone, half=torch.bfloat16)
    settings = paper_size.Settings(steps=40, batch=32, lr=2e-2)
    history = paper_size.phases.phase_one(
        expert, images.float(), labels, generator=rng(), settings=settings
    )
    first, last = (sum(part) for part in (history.losses[:5], history.losses[-5:]))
    assert last < 0.8 * first


# Loading


def test_clip_is_asked_once_for_every_name(monkeypatch):
    lines = []

    def encode_text(tokens):
        return torch.arange(12.0).view(2, 6)

    clip = SimpleNamespace(
        visual=ClipImageEncoder(), encode_text=encode_text, eval=lambda: None
    )
    asked = {}
    open_clip = SimpleNamespace(
        create_model=lambda kind, **given: asked.update(given, kind=kind) or clip,
        get_tokenizer=lambda kind: lines.extend,
    )
    monkeypatch.setitem(sys.modules, "open_clip", open_clip)
    start = large.load_clip(["maple_tree", "bus"])
    assert lines == ["a photo of a maple tree.", "a photo of a bus."]
    assert asked["pretrained"] == "openai"
    assert torch.equal(start.directions, torch.arange(12.0).view(2, 6))
    assert start.backbone.embedding == 6


def test_without_open_clip_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"needs the package open_clip_torch: pip"):
        large.load_clip(["bus"])


def test_supervised_weights_are_tensors_without_a_classifier(monkeypatch):
    models, asked = import_torchvision().models, {}
    with seeded(rng(1)):
        kept = torchvision_vit().state_dict()
    name = "IMAGENET1K_V1"

    class Weights:
        def get_state_dict(self, **given):
            asked.update(given)
            return kept

    monkeypatch.setattr(models, "vit_b_16", torchvision_vit)
    monkeypatch.setattr(
        models, "ViT_B_16_Weights", dict.fromkeys(large.SUPERVISED, Weights())
    )
    start = large.load_supervised(name)
    assert asked["weights_only"]
    assert asked["check_hash"]
    found = start.backbone.module.state_dict()
    assert all(torch.equal(found[name], x) for name, x in kept.items())
    with pytest.raises(ValueError, match="weights is 'best': expected one of"):
        large.load_supervised("best")


@pytest.mark.parametrize("name", large.SUPERVISED[1:])
def test_torchvision_has_these_weights_for_this_size(name):
    weights = import_torchvision().models.ViT_B_16_Weights[name]
    transform = weights.transforms()
    assert transform.crop_size == [large.SIZE]
    assert (tuple(transform.mean), tuple(transform.std)) == large.IMAGENET


# The command


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILWISE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("TAILWISE_PROFILE", "paper")
    monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    tiny_paper.use(monkeypatch)
    monkeypatch.setattr(chapter4.cifar, "draw", lambda seed, **_: task())
    there = replace(chapter4.SETS["cifar100"], prepare=lambda _: None)
    monkeypatch.setitem(chapter4.SETS, "cifar100", there)
    given = ["--yes", "--folder", str(tmp_path / "runs"), "--parts", "experts"]
    return lambda *more: chapter4.main([*given, *more])


def test_the_command_writes_the_record(command, tmp_path, capsys):
    ledger = claims.Ledger("ch4", profiles.current())
    for part in ("visual", "language"):
        ledger.record("ch4.headroom", 0.5, part=part)
    ledger.save()
    assert command("--seeds", "0", "1", "2") == 0
    told, record = capsys.readouterr().out, claims.latest("ch4", "paper")
    # What the chapter measured with the same code stays.
    assert record.measurements["ch4.headroom"][0].value == 0.5
    table = json.loads((tmp_path / "results" / "paper" / "cifar100.json").read_text())
    by = {name: [] for name in ("visual, phase 1", "language, phase 1")}
    for row in table["rows"]:
        by.get(row["method"], []).append(row["all"])
    gains = paper_size.mixture_gains(table["rows"], KINDS)
    for claim, values in zip(chapter4.CLAIMED["cifar100"], (gains, *by.values())):
        (measured,) = record.measurements[claim]
        assert (measured.value, measured.n) == (pytest.approx(np.mean(values)), 3)
        assert f"{claim}: {record.verdicts[claim]}; " in told
    # Published numbers come from the claim file.
    assert "(paper: 89.1 % at imbalance 100, 90.2 % at 50, 91.3 % at 10)" in told
    # Another ratio has its own table, and a plan that is not this one.
    assert command("--seeds", "0", "--ratio", "10") == 0
    assert (tmp_path / "results" / "paper" / "cifar100-10.json").is_file()
    assert "91.3 % at 10; second-hand)" in capsys.readouterr().out
    assert claims.latest("ch4", "paper") == record
    assert command("--seeds", "0", "--lr", "0.5") == 1
    assert "made with lr = 0.001: expected 0.5" in capsys.readouterr().err


def test_the_command_wants_its_data(command, monkeypatch, capsys):
    def missing(*_, **__):
        raise OSError("cifar100.safetensors is missing: `make data`")

    monkeypatch.setattr(chapter4.cifar, "draw", missing)
    assert command() == 1
    assert "is missing: `make data`" in capsys.readouterr().err


class Timm(nn.Module):
    """The interface of timm's VisionTransformer, as far as it is used."""

    def __init__(self):
        super().__init__()
        vit = tiny(width=8)
        self.embed_dim = 8
        self.patch_embed = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Flatten(2))
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.norm_pre, self.norm, self.blocks = nn.Identity(), vit.norm, vit.blocks

    def _pos_embed(self, x):
        x = x.transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)

    def forward(self, images):
        x = self.norm_pre(self._pos_embed(self.patch_embed(images)))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


def test_weights_on_imagenet_21k_come_from_timm(monkeypatch):
    asked = {}

    def create_model(name, **given):
        asked.update(given, name=name)
        return Timm().float()

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    start = large.load_supervised(large.IN21K)
    assert asked == dict(
        name="vit_base_patch16_224.augreg_in21k", pretrained=True, num_classes=0
    )
    backbone = as_backbone(start.backbone.module, large.TIMM)
    images = torch.rand(2, 3, 32, 32)
    found, expected = paper_size.plain(backbone, images), backbone.module(images)
    torch.testing.assert_close(found, expected)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="need the package timm: pip install"):
        large.load_supervised(large.IN21K)


@pytest.mark.parametrize("kind", longtails.KINDS)
def test_photographs_run_from_their_files_to_the_record(
    command, tmp_path, monkeypatch, capsys, kind
):
    data = tmp_path / "data"
    monkeypatch.setenv("TAILWISE_DATA", str(data))
    tiny_longtails.write(kind, data, monkeypatch)
    assert command("--data", kind, "--seeds", "0", "1", "2") == 0
    told = capsys.readouterr().out
    for text in ("non-commercial", "not tried here", "(paper: ", "recorded in"):
        assert text in told
    table = json.loads((tmp_path / "results" / "paper" / f"{kind}.json").read_text())
    assert len({row["method"] for row in table["rows"]}) == 8 + len(paper_size.INPUTS)
    # The mixture's rivals were not all trained.
    found = claims.latest("ch4", "paper").measurements
    assert found.keys() == chapter4.CLAIMED[kind].keys() - {f"ch4.{kind}"}
    assert {row["seed"] for row in table["rows"]} == {0, 1, 2}
