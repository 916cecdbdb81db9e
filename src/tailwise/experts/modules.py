"""What an expert trains: prompts, adapters, a pool of group prompts, a cosine head.

The source of shapes and of what is averaged is the released code of LPT; adapters have
the form of AdaptFormer (our reading of LPT++). Every random start is a function of a
generator on the CPU, and leaves torch's own random state alone.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise.training.batches import class_counts


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Within the block, torch's own random state follows from the generator."""
    seed = torch.randint(2**62, (), generator=generator).item()
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed devices that are not restored.
        torch.random.default_generator.manual_seed(seed)
        yield


def normal(*shape: int, generator: torch.Generator, like: Tensor) -> nn.Parameter:
    """A parameter of standard deviation 0.02, of the type and device of `like`."""
    return nn.Parameter((0.02 * torch.randn(shape, generator=generator)).to(like))


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}: expected at least 1")


class SharedPrompts(nn.Module):
    """Deep prompts: for each block its own tokens, ``[blocks, tokens, d]``.

    They are appended before the block, and what leaves it in their place is dropped.
    """

    def __init__(
        self,
        blocks: int,
        tokens: int,
        width: int,
        *,
        generator: torch.Generator,
        like: Tensor,
    ) -> None:
        super().__init__()
        _check_positive(blocks=blocks, tokens=tokens, width=width)
        self.tokens = normal(blocks, tokens, width, generator=generator, like=like)


class Adapter(nn.Module):
    """Bottleneck ``scale up(relu(down(x)))`` on ``[n, t, d]``; zero at the start."""

    def __init__(
        self,
        width: int,
        bottleneck: int,
        *,
        generator: torch.Generator,
        like: Tensor,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        _check_positive(width=width, bottleneck=bottleneck)
        self.scale = scale
        with seeded(generator):
            self.down = nn.Linear(width, bottleneck).to(like)
            self.up = nn.Linear(bottleneck, width).to(like)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.up(self.down(x).relu())


class GroupPrompts(nn.Module):
    """A pool of prompts for the last blocks, each found by its key.

    The keys of the `top` largest cosines with a query are chosen and **their prompts
    averaged**, as in the released code of LPT (its text concatenates them). A choice
    has no gradient: keys learn through the cosines alone.

    Parameters
    ----------
    pool, tokens, blocks : int
        Entries, and the tokens that each has in each of the last blocks.
    width, key_width : int
        Of tokens, and of queries: the embeddings of the backbone.
    """

    def __init__(
        self,
        pool: int,
        tokens: int,
        blocks: int,
        width: int,
        key_width: int,
        *,
        generator: torch.Generator,
        like: Tensor,
        top: int = 2,
    ) -> None:
        super().__init__()
        _check_positive(pool=pool, tokens=tokens, blocks=blocks, top=top)
        if top > pool:
            raise ValueError(f"top is {top}: expected at most the pool's {pool}")
        self.top = top
        self.keys = normal(pool, key_width, generator=generator, like=like)
        shape = (pool, blocks, tokens, width)
        self.tokens = normal(*shape, generator=generator, like=like)

    @torch.no_grad()
    def init_keys(self, queries: Tensor) -> None:
        """Take queries ``[pool, e]`` of distinct images as keys.

        Random keys collapse: every image then finds the same two.
        """
        if queries.shape != self.keys.shape:
            given, wanted = list(queries.shape), list(self.keys.shape)
            raise ValueError(f"queries is {given}: expected {wanted}")
        self.keys.copy_(queries)

    def match(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of the chosen keys, and which they are: both ``[n, top]``."""
        cosines = F.normalize(queries, dim=-1) @ F.normalize(self.keys, dim=-1).T
        return cosines.topk(self.top, -1)

    def prompts(self, chosen: Tensor) -> Tensor:
        """Mean of the chosen prompts, ``[n, blocks, tokens, d]``."""
        return self.tokens[chosen].mean(1)

    @torch.no_grad()
    def usage(self, queries: Tensor) -> Tensor:
        """How many queries choose each entry, ``[pool]``; the sum is ``top n``."""
        return self.match(queries)[1].flatten().bincount(minlength=len(self.keys))


class CosineHead(nn.Module):
    """Logits ``s cos(x, w_c)``: embeddings ``[n, e]`` to ``[n, k]``.

    Class weights start at random directions. They and those of the other starts have
    length one.
    """

    def __init__(
        self,
        width: int,
        n_classes: int,
        *,
        generator: torch.Generator,
        like: Tensor,
        scale: float = 20.0,
    ) -> None:
        super().__init__()
        _check_positive(width=width)
        if n_classes < 2:
            raise ValueError(f"n_classes is {n_classes}: expected at least 2")
        if not (0 < scale < math.inf):
            raise ValueError(f"scale is {scale}: expected a finite number > 0")
        self.scale = scale
        self.weight = normal(n_classes, width, generator=generator, like=like)
        self.init_text(self.weight.detach())

    @torch.no_grad()
    def init_text(self, weights: Tensor) -> None:
        """Start at given directions ``[k, e]``, such as embeddings of class names."""
        if weights.shape != self.weight.shape:
            given, wanted = list(weights.shape), list(self.weight.shape)
            raise ValueError(f"weights is {given}: expected {wanted}, classes first")
        if (bad := ~(weights.norm(dim=-1) > 0) | ~weights.isfinite().all(-1)).any():
            row = bad.nonzero()[0].item()
            raise ValueError(f"weights[{row}] has no direction: expected finite, not 0")
        self.weight.copy_(F.normalize(weights, dim=-1))

    @torch.no_grad()
    def init_means(self, features: Tensor, labels: Tensor) -> None:
        """Start at class means of normalised embeddings ``[n, e]``; labels ``[n]``."""
        n_classes, width = self.weight.shape
        if list(features.shape) != (wanted := [len(labels), width]):
            raise ValueError(f"features is {list(features.shape)}: expected {wanted}")
        counts = class_counts(labels, n_classes)
        sums = features.new_zeros(n_classes, width)
        sums.index_add_(0, labels, F.normalize(features, dim=-1))
        self.init_text(sums / counts.unsqueeze(-1))

    def cosines(self, features: Tensor) -> Tensor:
        """Cosines ``[n, k]`` with the class weights."""
        return F.linear(F.normalize(features, dim=-1), F.normalize(self.weight, dim=-1))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * self.cosines(features)
