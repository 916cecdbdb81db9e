"""Two ViT-B/16 for the `paper` profile: supervised by timm or torchvision, and CLIP.

Both take images of any size in [0, 1]; what resizes and normalises them is part of the
layout. Loading fetches weights where they are not on disk yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise.data.compat import import_torchvision
from tailwise.experts.backbones import LAYOUTS, Backbone, Layout, as_backbone

SIZE = 224
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5,) * 3
IN21K = "augreg_in21k"  # on ImageNet-21k, as LPT starts; from timm, without a hash
# Others are torchvision's for images of 224 pixels; SWAG_E2E is for 384.
SUPERVISED = (IN21K, "IMAGENET1K_V1", "IMAGENET1K_SWAG_LINEAR_V1")
# timm's VisionTransformer.
TIMM = Layout(
    tokens=lambda module, images: module.norm_pre(
        module._pos_embed(module.patch_embed(images))
    ),
    blocks=lambda module: module.blocks,
    embed=lambda module, x: module.norm(x[:, 0]),
    width=lambda module: module.embed_dim,
)
TIMM_NEEDS = "weights on ImageNet-21k need the package timm"
CLIP_NEEDS = "CLIP needs the package open_clip_torch"
PROMPT = "a photo of a {}."  # LIFT


@dataclass(frozen=True)
class Start:
    """A pretrained backbone, and where its head starts.

    Attributes
    ----------
    backbone : Backbone
    weights : str
        What was loaded.
    directions : Tensor [k, e], optional
        Embeddings of class names; without them the head starts at class means.
    """

    backbone: Backbone
    weights: str
    directions: Tensor | None = None


def resizing(
    layout: Layout, size: int, mean: Sequence[float], deviation: Sequence[float]
) -> Layout:
    """A layout for images ``[n, 3, h, w]`` in [0, 1] of any h and w.

    They are resized (bicubic) and normalised before the tokens of `layout`.
    """

    def tokens(module: nn.Module, images: Tensor) -> Tensor:
        like = next(module.parameters())
        options = dict(mode="bicubic", antialias=True, align_corners=False)
        x = F.interpolate(images.to(like), (size, size), **options).clamp(0, 1)
        mu, sd = (like.new_tensor(v).view(3, 1, 1) for v in (mean, deviation))
        return layout.tokens(module, (x - mu) / sd)

    return replace(layout, tokens=tokens)


def load_supervised(
    weights: str = SUPERVISED[0],
    *,
    device: str = "cpu",
    half: torch.dtype | None = None,
) -> Start:
    """A supervised ViT-B/16, frozen, without its classifier.

    Parameters
    ----------
    weights : str
        One of `SUPERVISED`: timm's, or names in torchvision's ``ViT_B_16_Weights``.
    device : str
    half : torch.dtype, optional
        As in `Backbone`.

    Raises
    ------
    ImportError
        Without the optional package timm, for its weights.
    """
    if weights not in SUPERVISED:
        raise ValueError(f"weights is {weights!r}: expected one of {SUPERVISED}")
    if weights == IN21K:
        return _load_timm(device, half)
    models = import_torchvision().models
    chosen = models.ViT_B_16_Weights[weights]
    # Tensors only: nothing that is loaded can run code.
    tensors = chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
    module = models.vit_b_16()
    module.load_state_dict(tensors)
    module.heads = nn.Identity()
    layout = resizing(LAYOUTS["torchvision"], SIZE, *IMAGENET)
    name = f"torchvision ViT_B_16_Weights.{weights}"
    return Start(as_backbone(module.to(device), layout, half=half), name)


def check_packages(weights: str) -> None:
    """An ImportError where a package is missing that these weights or CLIP need."""
    if weights == IN21K:
        _package("timm", TIMM_NEEDS)
    _package("open_clip", CLIP_NEEDS)


def _package(name: str, need: str) -> ModuleType:
    import_torchvision()  # which both import, without our work-around
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{need}: pip install 'tailwise[paper]'") from error


def _load_timm(device: str, half: torch.dtype | None) -> Start:
    timm = _package("timm", TIMM_NEEDS)
    kind = f"vit_base_patch16_224.{IN21K}"
    module = timm.create_model(kind, pretrained=True, num_classes=0)
    layout = resizing(TIMM, SIZE, HALF, HALF)
    return Start(as_backbone(module.to(device), layout, half=half), f"timm {kind}")


def load_clip(
    names: Sequence[str], *, device: str = "cpu", half: torch.dtype | None = None
) -> Start:
    """OpenAI's CLIP ViT-B/16, frozen; its text encoder reads the class names once.

    Parameters
    ----------
    names : sequence of str
        Of the k classes; an underscore counts as a space.
    device, half
        As in `load_supervised`.

    Raises
    ------
    ImportError
        Without the optional package open_clip_torch.
    """
    open_clip = _package("open_clip", CLIP_NEEDS)
    kind = "ViT-B-16-quickgelu"  # the activation that OpenAI trained with
    clip = open_clip.create_model(kind, pretrained="openai", require_pretrained=True)
    clip.eval()
    lines = [PROMPT.format(name.replace("_", " ")) for name in names]
    with torch.no_grad():
        directions = clip.encode_text(open_clip.get_tokenizer(kind)(lines))
    layout = resizing(LAYOUTS["clip"], SIZE, *CLIP)
    backbone = as_backbone(clip.visual.to(device), layout, half=half)
    name = f"open_clip {kind}, openai"
    return Start(backbone, name, directions.float().to(device))
