"""A small transformer for tests, and images that it can tell apart."""

import torch
from torch import nn

from tailwise.experts.backbones import as_backbone
from tailwise.experts.expert import add_groups, make_expert


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.mix = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x, first=None):
        return self.mix(x[:, :first], x, x)[0]


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(0.5),
            nn.Linear(2 * width, width),
        )

    def forward(self, x, first=None):
        x = x[:, :first] + self.attn(self.norm1(x), first)
        return x + self.mlp(self.norm2(x))


class TinyViT(nn.Module):
    """Interface of ``GlyphViT``; batch norm and dropout show whether it is frozen."""

    def __init__(self, width=8, depth=3, heads=2):
        super().__init__()
        self.width = width
        self.stem = nn.Sequential(nn.Conv2d(1, width, 8, 8), nn.BatchNorm2d(width))
        self.cls = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.pos = nn.Parameter(0.1 * torch.randn(1, 17, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def tokens(self, images):
        patches = self.stem(images).flatten(2).transpose(1, 2)
        cls = self.cls.expand(len(images), -1, -1)
        return torch.cat([cls, patches], 1) + self.pos

    def forward(self, images):
        x = self.tokens(images)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.blocks[-1](x, 1))[:, 0]


def tiny(seed=0, **sizes):
    """A float64 network: tests of equal runs then need no allowance for rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyViT(**sizes).double()


COUNTS = (20, 8, 4, 3)


def images_and_labels(seed=0, counts=COUNTS):
    """A tile of each class under noise, ``[n, 1, 32, 32]``; rare classes last."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    tiles = torch.randn(len(counts), 1, 8, 8, generator=rng(99)).repeat(1, 1, 4, 4)
    noise = torch.randn(len(labels), 1, 32, 32, generator=rng(seed))
    return (2 * tiles[labels] + noise).double(), labels


def expert_of(module, *, groups=False, seed=0, **sizes):
    """An expert with a head at class means; keys at queries of the images."""
    images, labels = images_and_labels()
    sizes = dict(tokens=2, adapter=3) | sizes
    backbone = as_backbone(module)
    expert = make_expert(backbone, len(COUNTS), generator=rng(seed), **sizes)
    if groups:
        sizes = dict(pool=5, tokens=2, blocks=2)
        add_groups(expert, images, generator=rng(seed + 1), **sizes)
    return expert
