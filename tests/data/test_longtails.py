"""Places-LT and iNaturalist 2018: what lists say, and images that are read late."""

import numpy as np
import pytest
import tiny_longtails
import torch
from PIL import Image

from tailwise.data import longtails


@pytest.mark.parametrize("kind", longtails.KINDS)
def test_lists_say_which_image_shows_what(kind, tmp_path, monkeypatch):
    tiny_longtails.write(kind, tmp_path, monkeypatch)
    longtails.prepare(kind, tmp_path)
    task = longtails.draw(kind, tmp_path)
    assert task.counts.tolist() == list(tiny_longtails.COUNTS)
    names = ("airfield", "bakery/shop", "canal_urban", "zen_garden")
    if kind == "places":
        names = ("airfield", "bakery shop", "canal urban", "zen garden")
    assert task.names == names
    # An image is as bright as its class says, within half a step.
    for images, labels in (
        (task.images, task.labels),
        (task.test_images, task.test_labels),
    ):
        small = longtails.Pictures(images.files, 16)
        bright = 255 * small[torch.arange(len(labels))].mean((1, 2, 3)) - 30
        assert ((bright / 60).round().long() == labels).all()


def test_a_picture_is_the_middle_of_the_shorter_side(tmp_path):
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = longtails.Pictures([tmp_path / "a.png"], 10)[torch.tensor([0, 0])]
    assert found.shape == (2, 3, 10, 10)
    assert found.dtype == torch.float32
    assert (found[..., 1:-1] - 200 / 255).abs().max() < 0.05
    assert len(longtails.Pictures([tmp_path]).to("meta")) == 1


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("few", "lists 143 images: expected 144"),
        ("image", "1 images of .* such as 00000001.jpg: remove .*/data_256 to fetch"),
        ("class", "expected training images of all 5 classes"),
        ("empty", "lists 0 images: expected 144"),
        ("row", r"has a list that is damaged: ValueError\("),
        ("folder", "has a list that is damaged: KeyError"),
        ("label", "/00000001.jpg is of class 3, expected 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, monkeypatch, harm, message):
    root = tiny_longtails.write("places", tmp_path, monkeypatch)
    train, classes = root / "Places_LT_train.txt", root / "categories_places365.txt"
    if harm == "few":
        train.write_text("\n".join(train.read_text().splitlines()[1:]))
    if harm == "image":
        (root / "data_256" / "a" / "airfield" / "00000001.jpg").unlink()
    if harm == "class":
        classes.write_text(classes.read_text() + "/z/zoo 4\n")
    if harm == "empty":
        train.write_text("")
    for name, wrong in (
        ("row", "data_256/a/airfield/00000001.jpg"),
        ("folder", "train/aerodrome/00000001.jpg 0"),
        ("label", "data_256/a/airfield/00000001.jpg 3"),
    ):
        if harm == name:
            train.write_text(f"{wrong}\n{train.read_text()}")
    with pytest.raises(ValueError, match=message):
        longtails.draw("places", tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match="categories_places365.txt is not in"):
        longtails.prepare("places", tmp_path)
    with pytest.raises(ValueError, match="unknown kind 'imagenet'"):
        longtails.draw("imagenet", tmp_path)
