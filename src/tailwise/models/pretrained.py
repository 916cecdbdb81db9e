"""The shipped start of a small ResNet: a ten-class network trained on clothes."""

from safetensors.torch import load
from torch import Tensor

from tailwise.data import assets

PRETRAINED = "spurious-pretrained.safetensors"


def pretrained_body() -> dict[str, Tensor]:
    """The shipped start: weights of a ten-class network, checked against their hash."""
    return {k: v.float() for k, v in load(assets.read_asset(PRETRAINED)).items()}
