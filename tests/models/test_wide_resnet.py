"""The wide residual network: sizes counted, and a block written as a loop of words."""

import torch
from torch import nn
from torch.nn import functional as F

from tailwise.models.wide_resnet import wide_resnet


def test_layers_and_weights_are_those_of_28_by_2():
    model = wide_resnet(10)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) == 1 + 3 * 4 * 2
    assert sum(m.kernel_size == (1, 1) for m in convolutions) == 3
    sizes, expected = [16, 32, 64, 128], 3 * 9 * 16
    for n_in, n_out in zip(sizes, sizes[1:]):
        expected += 9 * n_in * n_out + n_in * n_out + 7 * 9 * n_out**2  # convolutions
        expected += 2 * n_in + 7 * 2 * n_out  # norms
    expected += 2 * 128 + 128 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == expected


def test_stages_halve_the_image():
    model, x, sides = wide_resnet(10), torch.zeros(1, 3, 32, 32), []
    for layer in model[:13]:
        x = layer(x)
        sides.append(x.shape[-1])
    assert sides == [32] * 5 + [16] * 4 + [8] * 4


def test_a_block_adds_to_its_shortcut():
    torch.manual_seed(0)
    model = wide_resnet(10, blocks=2).eval()
    x = torch.randn(2, 16, 8, 8)

    def units(norm, x):
        scale = norm[0].weight / (norm[0].running_var + 1e-3).sqrt()
        shift = norm[0].bias - norm[0].running_mean * scale
        return F.leaky_relu(x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1), 0.1)

    def body(block, active):
        once = F.conv2d(active, block.body[0].weight, padding=1)
        return F.conv2d(units(block.body[1], once), block.body[2].weight, padding=1)

    first, second = model[1], model[2]
    active = units(first.before, x)
    wanted = F.conv2d(active, first.short.weight) + body(first, active)
    torch.testing.assert_close(first(x), wanted)
    torch.testing.assert_close(
        second(wanted), wanted + body(second, units(second.before, wanted))
    )
