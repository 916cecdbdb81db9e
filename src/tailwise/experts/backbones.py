"""Frozen transformers behind one interface; their code stays as it is.

A `Backbone` cuts a vision transformer at its blocks, so that tokens can be appended
before a block and something can run beside its MLP. `LAYOUTS` says where the parts are
in three families: ``GlyphViT`` of this package, torchvision's ``VisionTransformer``
and the image encoder of CLIP. Another family needs another `Layout`, nothing else.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Where a family of transformers keeps its parts, as functions of the module.

    Every block must have an attribute ``mlp``: the module that an adapter runs beside.
    """

    tokens: Callable[[nn.Module, Tensor], Tensor]  # images -> [n, t, d], class first
    blocks: Callable[[nn.Module], Sequence[nn.Module]]
    embed: Callable[[nn.Module, Tensor], Tensor]  # [n, t, d] -> [n, e]
    width: Callable[[nn.Module], int]  # d
    # Applies the last block. It may return the class token alone: no other is read.
    last: Callable[[nn.Module, Tensor], Tensor] = lambda block, x: block(x)
    batch_first: Callable[[nn.Module], bool] = lambda module: True


def _torchvision_tokens(module: nn.Module, images: Tensor) -> Tensor:
    patches = module._process_input(images)
    cls = module.class_token.expand(len(images), -1, -1)
    return torch.cat([cls, patches], 1) + module.encoder.pos_embedding


def _clip_tokens(module: nn.Module, images: Tensor) -> Tensor:
    patches = module.conv1(images).flatten(2).transpose(1, 2)
    cls = module.class_embedding.expand(len(images), 1, -1)
    return module.ln_pre(torch.cat([cls, patches], 1) + module.positional_embedding)


def _clip_embed(module: nn.Module, x: Tensor) -> Tensor:
    found = module.ln_post(x[:, 0])
    return found if module.proj is None else found @ module.proj


LAYOUTS = {
    "glyph": Layout(
        tokens=lambda module, images: module.tokens(images),
        blocks=lambda module: module.blocks,
        embed=lambda module, x: module.norm(x[:, 0]),
        width=lambda module: module.width,
        last=lambda block, x: block(x, 1),
    ),
    "torchvision": Layout(
        tokens=_torchvision_tokens,
        blocks=lambda module: module.encoder.layers,
        embed=lambda module, x: module.encoder.ln(x[:, 0]),
        width=lambda module: module.hidden_dim,
    ),
    "clip": Layout(
        tokens=_clip_tokens,
        blocks=lambda module: module.transformer.resblocks,
        embed=_clip_embed,
        width=lambda module: len(module.class_embedding),
        # The released CLIP takes [t, n, d]; re-implementations say what they take.
        batch_first=lambda module: getattr(module.transformer, "batch_first", False),
    ),
}
# For a head alone: its "images" are embeddings, and there is nothing before it.
EMBEDDED = Layout(
    tokens=lambda module, x: x.unsqueeze(1),
    blocks=lambda module: (),
    embed=lambda module, x: x[:, 0],
    width=lambda module: module.width,
)
# An attribute that only this family has.
MARKS = {
    "glyph": "tokens",
    "torchvision": "_process_input",
    "clip": "class_embedding",
}


@dataclass(frozen=True)
class Backbone:
    """A transformer as tokens, blocks and an embedding; see `as_backbone`.

    Not a module itself, so that an expert that holds one does not count, save, train
    or move its weights: put the module on its device first.

    Attributes
    ----------
    module : nn.Module
    layout : Layout
    half : torch.dtype, optional
        Type of products in tokens and blocks, such as torch.bfloat16. What goes from
        block to block, embeddings, heads and losses keep the type of the weights.
    """

    module: nn.Module
    layout: Layout
    half: torch.dtype | None = None
    blocks: Sequence[nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", self.layout.blocks(self.module))

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens ``[n, t, d]`` that enter the first block, the class token first."""
        with self._mixed():
            return self.layout.tokens(self.module, images).to(self.like)

    def _mixed(self) -> AbstractContextManager:
        if self.half is None:
            return nullcontext()
        return torch.autocast(self.like.device.type, self.half)

    def run(self, index: int, x: Tensor, beside: nn.Module | None = None) -> Tensor:
        """Apply one block to ``[n, t, d]``; ``beside`` is added to its MLP's output.

        Its input is that of the MLP, after the norm. The last block may return the
        class token alone.
        """
        block, flip = self.blocks[index], not self.layout.batch_first(self.module)
        x = x.transpose(0, 1) if flip else x
        hook = nullcontext()
        if beside is not None:
            hook = block.mlp.register_forward_hook(
                lambda _, given, out: out + beside(given[0])
            )
        with hook, self._mixed():
            is_last = index == len(self.blocks) - 1
            x = self.layout.last(block, x) if is_last else block(x)
        return x.transpose(0, 1) if flip else x

    def embed(self, x: Tensor) -> Tensor:
        """Embedding ``[n, e]`` of the class token that left the last block."""
        return self.layout.embed(self.module, x)

    @property
    def width(self) -> int:
        """Width d of tokens."""
        return self.layout.width(self.module)

    @property
    def embedding(self) -> int:
        """Width e of embeddings; CLIP projects tokens to another."""
        return self.embed(self.like.new_zeros(1, 1, self.width)).shape[1]

    @property
    def like(self) -> Tensor:
        """A weight, for its type and device."""
        return next(self.module.parameters())

    def freeze(self) -> "Backbone":
        """No gradients, and evaluation mode: dropout off, statistics fixed."""
        self.module.requires_grad_(False).eval()
        return self

    def thawed_copy(self) -> "Backbone":
        """A copy whose weights train, in training mode."""
        module = copy.deepcopy(self.module)
        return replace(self, module=module.requires_grad_(True).train())


def as_backbone(
    module: nn.Module,
    layout: str | Layout | None = None,
    *,
    half: torch.dtype | None = None,
) -> Backbone:
    """A frozen `Backbone` of a vision transformer, **frozen in place**.

    Parameters
    ----------
    module : nn.Module
        Its weights stop requiring gradients and it goes to evaluation mode.
    layout : str or Layout, optional
        A key of `LAYOUTS`. By default found from the attributes of the module.
    half : torch.dtype, optional
        As in `Backbone`.
    """
    if layout is None:
        found = [name for name, mark in MARKS.items() if hasattr(module, mark)]
        if not found:
            kind = type(module).__name__
            raise ValueError(f"module is a {kind}: expected one of {_names()}")
        layout = found[0]
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise ValueError(f"layout is {layout!r}: expected one of {_names()}")
        layout = LAYOUTS[layout]
    return Backbone(module, layout, half).freeze()


def _names() -> str:
    return f"{', '.join(LAYOUTS)}, or a Layout"
