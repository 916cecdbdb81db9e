"""A small CLIP image encoder and torchvision transformer, with random weights."""

import torch
from torch import nn

from tailwise.data.compat import import_torchvision


class ClipBlock(nn.Module):
    """Block of the released CLIP: tokens first, ``[t, n, d]``."""

    def __init__(self, width):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, 2)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ClipImageEncoder(nn.Module):
    def __init__(self, width=8, embedding=6, depth=2):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 8, 8, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(17, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.Module()
        blocks = (ClipBlock(width) for _ in range(depth))
        self.transformer.resblocks = nn.Sequential(*blocks)
        self.proj = nn.Parameter(torch.randn(width, embedding))

    def forward(self, images):
        x = self.conv1(images).flatten(2).transpose(1, 2)
        cls = self.class_embedding + x.new_zeros(len(x), 1, x.shape[2])
        x = self.ln_pre(torch.cat([cls, x], 1) + self.positional_embedding)
        x = self.transformer.resblocks(x.transpose(0, 1)).transpose(0, 1)
        return self.ln_post(x[:, 0]) @ self.proj


def torchvision_vit():
    vit = import_torchvision().models.vision_transformer.VisionTransformer
    module = vit(32, 8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
    module.heads = nn.Identity()
    return module
