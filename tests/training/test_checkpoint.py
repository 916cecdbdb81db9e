"""Checkpoints: a run that is stopped goes on to the same end, and nothing is mixed."""

import hashlib
import json
import os
from dataclasses import replace
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_vit import expert_of, images_and_labels, rng, tiny

from tailwise.experts import phases
from tailwise.experts.training import Settings
from tailwise.training.batches import class_balanced, instance_balanced
from tailwise.training.checkpoint import Checkpoint

IMAGES, LABELS = images_and_labels()
SETTINGS = Settings(steps=7, batch=16)
PHASES = {"phase_one": False, "phase_two": True}  # whether it has group prompts


class Killed(BaseException):
    pass


def jitter(images, generator):
    return images + 0.1 * torch.rand(len(images), 1, 1, 1, generator=generator)


def run(phase, checkpoint=None, settings=SETTINGS, progress=None):
    """All that a phase changes, as one dict."""
    expert, generator = expert_of(tiny(), groups=PHASES[phase]), rng(7)
    history = getattr(phases, phase)(
        expert,
        IMAGES,
        LABELS,
        generator=generator,
        settings=settings,
        augment=jitter,
        checkpoint=checkpoint,
        progress=progress,
    )
    found = {name: x.clone() for name, x in expert.state_dict().items()}
    found |= {"losses": torch.tensor(history.losses, dtype=torch.float64)}
    found |= {"generator": generator.get_state()}
    return found | ({} if history.usage is None else {"usage": history.usage})


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        assert torch.equal(found[name], x), name


def kill_at(step):
    def progress(done, loss):
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_is_stopped_ends_as_one_that_is_not(phase, schedule, tmp_path):
    settings = replace(SETTINGS, schedule=schedule)
    expected = run(phase, settings=settings)
    kept = Checkpoint(tmp_path, every=2)
    for step in (1, 3, 6):  # before a saving, after one, and after another resume
        with pytest.raises(Killed):
            run(phase, kept, settings, kill_at(step))
    assert_same(run(phase, kept, settings), expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "7.safetensors",
        "state.json",
    ]


@pytest.mark.parametrize("phase", PHASES)
def test_a_finished_run_takes_no_step(phase, tmp_path):
    kept, seen = Checkpoint(tmp_path), []
    expected = run(phase, kept)
    again = run(phase, kept, progress=lambda *told: seen.append(told))
    assert not seen
    assert_same(again, expected)


@pytest.mark.parametrize("broken", ["tensors", "json"])
def test_stopped_while_it_saves(broken, tmp_path, monkeypatch):
    kept, expected = Checkpoint(tmp_path, every=2), run("phase_two")
    real, calls = os.replace, []

    def replace_(source, target):
        calls.append(target)
        # Two files a saving: the third call is the second saving's tensors.
        if len(calls) == {"tensors": 3, "json": 4}[broken]:
            raise Killed
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_)
    with pytest.raises(Killed):
        run("phase_two", kept)
    monkeypatch.undo()
    state = json.loads(kept.path.read_text())
    assert state["step"] == 2
    assert (tmp_path / state["tensors"]).is_file()
    assert_same(run("phase_two", kept), expected)
    assert len(list(tmp_path.iterdir())) == 2  # what the stop left is cleared away


def test_a_run_of_other_settings_is_refused(tmp_path):
    run("phase_one", Checkpoint(tmp_path, about={"seed": 0}))
    for about, settings, message in (
        ({"seed": 1}, SETTINGS, r"state.json was made with seed = 0: expected 1"),
        ({}, SETTINGS, "made with seed = 0: expected None"),
        ({"seed": 0}, replace(SETTINGS, lr=0.1), "lr = 0.005: expected 0.1; remove"),
        ({"seed": 0}, replace(SETTINGS, steps=8), "steps = 7: expected 8"),
    ):
        with pytest.raises(ValueError, match=message):
            run("phase_one", Checkpoint(tmp_path, about=about), settings)


def rewrite(kept, change):
    """Change the tensors, with a checksum that fits."""
    state = json.loads(kept.path.read_text())
    file = kept.folder / state["tensors"]
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    state["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    kept.path.write_text(json.dumps(state))


def test_damaged_checkpoints_are_named(tmp_path):
    kept = Checkpoint(tmp_path)
    run("phase_one", kept)
    whole, file = kept.path.read_text(), tmp_path / "7.safetensors"
    content = file.read_bytes()

    def refuses(message):
        with pytest.raises(ValueError, match=message):
            run("phase_one", kept)
        kept.path.write_text(whole)
        file.write_bytes(content)

    file.write_bytes(content[:-1] + b"?")
    refuses("7.safetensors is damaged: SHA-256 is .*, expected")
    file.unlink()
    refuses("7.safetensors is missing")
    rewrite(kept, lambda t: t.update({"parameter.0": torch.zeros(3)}))
    refuses(r"state.json: parameter.0 is \[3\], expected \[3, 2, 8\]")
    rewrite(kept, lambda t: t.pop("generator"))
    refuses("generator is None, expected")
    for text in ("{", "{}", "[]"):
        kept.path.write_text(text)
        refuses("state.json is not a checkpoint")
    with pytest.raises(ValueError, match="every is 0: expected at least 1"):
        Checkpoint(tmp_path, every=0)


def streams(seed):
    given = dict(generator=rng(seed))
    return [
        class_balanced(LABELS, 6, per_class=4, **given),
        instance_balanced(LABELS, 6, **given),
        phases.dual_rows(LABELS, SETTINGS, rng(seed)),
    ]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("taken", [0, 1, 5, 6])
def test_a_stream_goes_on_where_it_stood(which, taken):
    first, other = streams(0)[which], streams(1)[which]
    list(islice(first, taken))
    state = first.get_state()
    (first.streams[0] if which == 2 else first).members[0].generator.manual_seed(5)
    expected = list(islice(first, 9))
    other.set_state(state)
    (other.streams[0] if which == 2 else other).members[0].generator.manual_seed(5)
    for a, b in zip(islice(other, 9), expected):
        assert torch.equal(a, b)


class Indexed:
    """Not a tensor: it makes batches when asked."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, rows):
        assert rows.device.type == "cpu"
        return torch.stack([IMAGES[i] for i in rows.tolist()])


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("phase", PHASES)
def test_images_may_be_anything_that_gives_batches(phase, cached):
    found = []
    for images in (IMAGES, Indexed()):
        expert = expert_of(tiny(), groups=PHASES[phase])
        given = dict(generator=rng(), settings=SETTINGS, cached=cached)
        history = getattr(phases, phase)(expert, images, LABELS, **given)
        found.append(history.losses)
    assert found[0] == found[1]
