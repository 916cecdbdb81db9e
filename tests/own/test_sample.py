"""The sample file: what chapter 2's frozen network makes of each bird, one by one."""

import numpy as np
import pytest
import torch
from safetensors.torch import load

from tailwise.data import assets, spurious
from tailwise.models.resnet import SmallResNet
from tailwise.own import features
from tailwise.own.sample import write

SHARE = 0.02
SMALL = spurious.HARSH_BIRDS.scaled(SHARE)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("own") / "birds.npz", share=SHARE, seed=3)


@pytest.fixture(scope="module")
def images():
    return spurious.draw(SMALL, generator=torch.Generator().manual_seed(3)).train


def test_each_row_is_an_image_through_the_shipped_network(path, images):
    network = SmallResNet(2).eval()
    shipped = load(assets.read_asset("spurious-pretrained.safetensors"))
    with torch.no_grad():
        for name, value in network.body.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(shipped[name])
    found = np.load(path)["X"]
    assert len(found) == len(images) == sum(SMALL.counts["train"])
    with torch.no_grad():
        each = [network.features(x[None])[0].numpy() for x in images.x]
    # One image at a time, so sums of products are in another order.
    np.testing.assert_allclose(found, each, rtol=1e-4, atol=1e-5)


def test_labels_and_grounds_are_those_of_the_images(path, images):
    found = np.load(path)
    y = ["dress" if label else "top" for label in images.y.tolist()]
    ground = ["water" if a else "land" for a in images.a.tolist()]
    assert found["y"].tolist() == y
    assert found["groups"].tolist() == ground
    pairs = list(zip(y, ground))
    for k, (label, place) in enumerate(
        (label, place) for label in ("top", "dress") for place in ("land", "water")
    ):
        assert pairs.count((label, place)) == SMALL.counts["train"][k]


def test_a_reader_can_load_it(path):
    data = features.load(path)
    assert data.X.dtype == np.float32
    assert data.classes.tolist() == ["dress", "top"]
    assert data.group_names.tolist() == ["land", "water"]
    np.testing.assert_array_equal(data.classes[data.y], np.load(path)["y"])


def test_the_seed_decides_and_a_file_is_replaced(path, tmp_path):
    place = tmp_path / "new" / "birds.npz"
    seen = []
    for seed in (4, 3):
        assert write(str(place), share=SHARE, seed=seed) == place
        seen.append(np.load(place)["X"])
    np.testing.assert_array_equal(seen[1], np.load(path)["X"])
    assert np.abs(seen[0] - seen[1]).max() > 0.1
    assert [file.name for file in place.parent.iterdir()] == ["birds.npz"]


def test_half_the_training_images_by_default():
    assert sum(spurious.HARSH_BIRDS.scaled(0.5).counts["train"]) == 2397
    assert write.__kwdefaults__["share"] == 0.5
