"""One expert: a frozen backbone, what is trained beside it, and a head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from tailwise.experts.backbones import Backbone
from tailwise.experts.modules import (
    Adapter,
    CosineHead,
    GroupPrompts,
    SharedPrompts,
)

CHUNK = 500  # images at a time without gradients


class Images(Protocol):
    """A tensor of images ``[n, ...]``, or anything that gives batches of them.

    ``images[rows]`` is a tensor ``[b, ...]`` for indices ``[b]`` on the CPU, on the
    device of the backbone.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Embedded:
    """Embeddings, and which keys were chosen where there are group prompts."""

    features: Tensor  # [n, e]
    match: Tensor | None = None  # cosines with the chosen keys, [n, top]
    chosen: Tensor | None = None  # their places in the pool, [n, top]


def _check_fit(name: str, part: Tensor, expected: list[int | None]) -> None:
    found = list(part.shape)
    if any(size not in (None, given) for given, size in zip(found, expected)):
        wanted = str(expected).replace("None", "any")
        raise ValueError(f"{name} is {found}: expected {wanted}, as the backbone has")


class Expert(nn.Module):
    """Frozen backbone + shared prompts + adapters + group prompts + cosine head.

    All but the head may be missing. Its parameters are those that it adds: none of the
    backbone's. `make_expert` builds one, `add_groups` adds the pool of phase 2.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: CosineHead,
        *,
        shared: SharedPrompts | None = None,
        adapters: nn.ModuleList | None = None,
        groups: GroupPrompts | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.shared, self.adapters, self.groups = shared, adapters, groups
        d, e, depth = backbone.width, backbone.embedding, self.depth
        _check_fit("head.weight", head.weight, [len(head.weight), e])
        if shared is not None:
            _check_fit("shared.tokens", shared.tokens, [depth, None, d])
        if groups is not None:
            _check_fit("groups.keys", groups.keys, [None, e])
            _check_fit("groups.tokens", groups.tokens, [None, None, None, d])
        if adapters is not None and len(adapters) != depth:
            raise ValueError(f"adapters has {len(adapters)}: expected {depth}, a block")

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.backbone.blocks)

    @property
    def group_start(self) -> int:
        """First block with group prompts; the number of blocks if there are none."""
        return self.depth - (0 if self.groups is None else self.groups.tokens.shape[1])

    @property
    def beside(self) -> list[nn.Module]:
        """All that it has except the head."""
        parts = (self.shared, self.adapters, self.groups)
        return [part for part in parts if part is not None]

    def run(
        self, x: Tensor, start: int, stop: int, group: Tensor | None = None
    ) -> Tensor:
        """Tokens ``[n, t, d]`` that enter block `start` to those that enter `stop`.

        After the last block that may be the class token alone.

        Parameters
        ----------
        group : Tensor [n, blocks, tokens, d], optional
            Prompts of the last blocks, appended after the shared ones.
        """
        n, t = x.shape[:2]
        for index in range(start, stop):
            extra = []
            if self.shared is not None:
                extra.append(self.shared.tokens[index].expand(n, -1, -1))
            if group is not None and index >= self.group_start:
                extra.append(group[:, index - self.group_start])
            beside = None if self.adapters is None else self.adapters[index]
            x = self.backbone.run(index, torch.cat([x, *extra], 1), beside)[:, :t]
        return x

    @torch.no_grad()
    def query(self, x: Tensor, start: int) -> Tensor:
        """Queries ``[n, e]`` of tokens that enter block `start`, without gradients.

        The embedding of a pass without group prompts. It shares the phase-1 parts,
        adapters too (our reading: LPT, the source, has none).
        """
        return self.backbone.embed(self.run(x, start, self.depth))

    def embed(
        self, x: Tensor, start: int = 0, queries: Tensor | None = None
    ) -> Embedded:
        """Embedding of tokens ``[n, t, d]`` that enter block `start`.

        Queries are computed unless given. `start` is at most `group_start`.
        """
        x = self.run(x, start, self.group_start)
        if self.groups is None:
            return Embedded(self.backbone.embed(x))
        if queries is None:
            queries = self.query(x, self.group_start)
        match, chosen = self.groups.match(queries)
        x = self.run(x, self.group_start, self.depth, self.groups.prompts(chosen))
        return Embedded(self.backbone.embed(x), match, chosen)

    def features(self, images: Tensor) -> Tensor:
        """Embeddings ``[n, e]`` of images."""
        return self.embed(self.backbone.tokens(images)).features

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[n, k]`` of images."""
        return self.head(self.features(images))


@torch.no_grad()
def in_chunks(function: Callable[[Tensor], Tensor], images: Images) -> Tensor:
    """A function of images in chunks of `CHUNK`, without gradients."""
    chunks = torch.arange(len(images)).split(CHUNK)
    return torch.cat([function(images[rows]) for rows in chunks])


def scores(expert: Expert, images: Images) -> Tensor:
    """Logits ``[n, k]`` without gradients, in chunks; the experts' mixture needs them.

    Those of several experts are stacked to ``[m, n, k]``.
    """
    return in_chunks(expert, images)


def make_expert(
    backbone: Backbone,
    n_classes: int,
    *,
    generator: torch.Generator,
    tokens: int = 4,
    adapter: int = 8,
    scale: float = 20.0,
) -> Expert:
    """An expert for phase 1; its head starts at random.

    Parameters
    ----------
    backbone : Backbone
    n_classes : int
    generator : torch.Generator
        A CPU generator: prompts, adapters and head follow from it.
    tokens, adapter : int
        Shared prompts of each block, and width of each adapter; 0 leaves them out.
    scale : float
        Of the cosine head. Experts that are mixed need the same.
    """
    like, depth, width = backbone.like, len(backbone.blocks), backbone.width
    given = dict(generator=generator, like=like)
    shared = SharedPrompts(depth, tokens, width, **given) if tokens else None
    adapters = None
    if adapter:
        adapters = nn.ModuleList(Adapter(width, adapter, **given) for _ in range(depth))
    head = CosineHead(backbone.embedding, n_classes, scale=scale, **given)
    return Expert(backbone, head, shared=shared, adapters=adapters)


def add_groups(
    expert: Expert,
    images: Images,
    *,
    generator: torch.Generator,
    pool: int = 10,
    tokens: int = 4,
    blocks: int = 2,
    top: int = 2,
) -> Expert:
    """The same expert, in place, with group prompts in its last blocks.

    Keys start at the queries of a random `pool` of the images. Parameters as in
    `GroupPrompts`.
    """
    backbone = expert.backbone
    if not 1 <= blocks <= expert.depth:
        raise ValueError(f"blocks is {blocks}: expected 1 to {expert.depth}")
    if len(images) < pool:
        raise ValueError(f"images has {len(images)}: expected at least the {pool} keys")
    groups = GroupPrompts(
        pool,
        tokens,
        blocks,
        backbone.width,
        backbone.embedding,
        top=top,
        generator=generator,
        like=backbone.like,
    )
    rows = torch.randperm(len(images), generator=generator)[:pool]
    with torch.no_grad():
        groups.init_keys(expert.query(backbone.tokens(images[rows]), 0))
    expert.groups = groups
    return expert
