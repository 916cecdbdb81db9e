"""A wide residual network of 28 layers, for images of 32 x 32 pixels."""

from torch import Tensor, nn


def wide_resnet(n_outputs: int, *, width: int = 2, blocks: int = 4) -> nn.Sequential:
    """Images ``[n, 3, h, w]`` to scores ``[n, k]``; weights drawn from torch's state.

    Three stages of `blocks` blocks with 16, 32 and 64 times `width` channels; norms and
    leaky units come before convolutions. Sizes, slopes, the slow running statistics
    and the first weights are those of the code released with arXiv 2408.03619.

    Parameters
    ----------
    n_outputs, width, blocks : int

    Examples
    --------
    >>> import torch
    >>> wide_resnet(10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    layers, channels = [_convolution(3, 16)], 16
    for stage in range(3):
        for block in range(blocks):
            n_out, stride = 16 * width * 2**stage, 2 if stage and not block else 1
            first = not stage and not block
            layers.append(_Block(channels, n_out, stride, first=first))
            channels = n_out
    tail = _units(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    head = nn.Linear(channels, n_outputs)
    nn.init.xavier_normal_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(*layers, *tail, head)


class _Block(nn.Module):
    """Two convolutions beside a shortcut; the first block's starts after its units."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, first: bool) -> None:
        super().__init__()
        self.before, self.first = _units(n_in), first
        self.body = nn.Sequential(
            _convolution(n_in, n_out, stride=stride),
            _units(n_out),
            _convolution(n_out, n_out),
        )
        same = n_in == n_out and stride == 1
        self.short = (
            nn.Identity() if same else _convolution(n_in, n_out, size=1, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        active = self.before(x)
        return self.short(active if self.first else x) + self.body(active)


def _convolution(n_in: int, n_out: int, *, size: int = 3, stride: int = 1) -> nn.Conv2d:
    made = nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made


def _units(channels: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=1e-3)
    return nn.Sequential(norm, nn.LeakyReLU(0.1))
