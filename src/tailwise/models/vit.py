"""A vision transformer for 32 × 32 grey images, and an encoder of names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 32


class Attention(nn.Module):
    """Multi-head self-attention: ``[B, T, width]`` to the same shape.

    With `first`, to the first tokens of it only: ``[B, first, width]``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        if first is None:
            parts = self.qkv(x).chunk(3, -1)
        else:
            width, weight, bias = x.shape[-1], self.qkv.weight, self.qkv.bias
            query = F.linear(x[:, :first], weight[:width], bias[:width])
            rest = F.linear(x, weight[width:], bias[width:])
            parts = (query, *rest.chunk(2, -1))
        # [B, T, width] -> [B, heads, T, width / heads]
        q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm transformer block: ``[B, T, width]`` to the same shape.

    With `first`, to the first tokens of it only: ``[B, first, width]``.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width),
            nn.GELU(),
            nn.Linear(mlp_ratio * width, width),
        )

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        x = x[:, :first] + self.attn(self.norm1(x), first)
        return x + self.mlp(self.norm2(x))


class GlyphViT(nn.Module):
    """A convolutional stem, a class token and pre-norm transformer blocks.

    Parameters
    ----------
    width : int
        Of every token; a multiple of 16 and of `heads`.
    depth, heads, mlp_ratio : int
        Number of blocks, heads of each, and hidden width of its MLP over `width`.
    """

    def __init__(
        self, *, width: int = 64, depth: int = 4, heads: int = 4, mlp_ratio: int = 2
    ) -> None:
        super().__init__()
        if width % 16 or width % heads:
            raise ValueError(
                f"width = {width}: expected a multiple of 16 and of heads = {heads}"
            )
        self.width = width
        self.stem = nn.Sequential(  # 32 × 32 -> 4 × 4 tokens
            nn.Conv2d(1, width // 4, 3, stride=2, padding=1),
            nn.GroupNorm(4, width // 4),
            nn.GELU(),
            nn.Conv2d(width // 4, width // 2, 3, stride=2, padding=1),
            nn.GroupNorm(4, width // 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.GroupNorm(1, width),
        )
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, width))
        # Positions as visible as pictures from the start: with 0.02, training waits.
        self.pos = nn.Parameter(0.5 * torch.randn(1, 1 + (SIZE // 8) ** 2, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens ``[B, 17, width]`` before the blocks, the class token first.

        Parameters
        ----------
        images : Tensor [B, 1, 32, 32]
            Standardised one by one here, so that contrast matters little. Another
            shape raises a ValueError.
        """
        if images.shape[1:] != (1, SIZE, SIZE):
            raise ValueError(
                f"images has shape {list(images.shape)}: expected [B, 1, 32, 32]"
            )
        centred = images - images.mean((2, 3), keepdim=True)
        scaled = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-4).sqrt()
        patches = self.stem(scaled).flatten(2).transpose(1, 2)  # [B, 16, width]
        cls = self.cls.expand(len(images), -1, -1)
        return torch.cat([cls, patches], 1) + self.pos

    def forward(self, images: Tensor) -> Tensor:
        """Normalised class token ``[B, width]`` of images ``[B, 1, 32, 32]``."""
        x = self.tokens(images)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.blocks[-1](x, 1))[:, 0]


class NameEncoder(nn.Module):
    """A bag of words: the mean of the words' vectors, then an MLP.

    Parameters
    ----------
    vocabulary : sequence of str
        The words that names are made of, without repetition.
    width : int
        Of the word vectors and of the output.
    """

    def __init__(self, vocabulary: Sequence[str], *, width: int = 64) -> None:
        super().__init__()
        self.vocabulary = list(vocabulary)
        self._position = {word: k for k, word in enumerate(self.vocabulary)}
        if len(self._position) < len(self.vocabulary):
            raise ValueError("vocabulary repeats a word: expected distinct words")
        self.words = nn.Parameter(torch.randn(len(self.vocabulary), width))
        self.mlp = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )

    def bags(self, names: Sequence[str]) -> Tensor:
        """How often each word of the vocabulary occurs: float32 ``[n, words]``.

        A word outside the vocabulary raises a ValueError.
        """
        counts = torch.zeros(len(names), len(self.vocabulary))
        for row, name in enumerate(names):
            for word in name.split():
                if word not in self._position:
                    raise ValueError(
                        f"names[{row}] = {name!r} holds {word!r}: expected words of "
                        "the vocabulary"
                    )
                counts[row, self._position[word]] += 1
        return counts

    def forward(self, bags: Tensor) -> Tensor:
        """Text features ``[n, width]`` of bags ``[n, words]``; an empty bag is zero."""
        share = bags / bags.sum(-1, keepdim=True).clamp(min=1)
        return self.mlp(share @ self.words)

    def encode(self, names: Sequence[str]) -> Tensor:
        """Text features ``[n, width]`` of n names."""
        return self(self.bags(names).to(self.words))
