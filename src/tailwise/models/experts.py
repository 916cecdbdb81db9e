"""The shipped experts of GlyphNames: small networks in half precision."""

from pathlib import Path

from safetensors.torch import load as parse
from torch import Tensor, nn

from tailwise.data import assets
from tailwise.models.vit import GlyphViT, NameEncoder

EXPERTS = assets.ASSETS / "experts"
KINDS = ("visual", "language")
SEEDS = {"visual": range(3), "language": range(3)}  # of the pretraining that ships


def file_name(kind: str, seed: int) -> str:
    """Name of an expert's file."""
    return f"{kind}-{seed}.safetensors"


def load(
    kind: str = "visual", seed: int = 0, *, folder: Path = EXPERTS
) -> GlyphViT | tuple[GlyphViT, NameEncoder]:
    """Load a pretrained expert, in evaluation mode and single precision.

    Parameters
    ----------
    kind : {"visual", "language"}
    seed : int
        Of the pretraining; the package ships `SEEDS`.
    folder : Path
        Where the files and their checksums are.

    Returns
    -------
    GlyphViT, or (GlyphViT, NameEncoder) for "language"

    Raises
    ------
    ValueError
        For an unknown kind, a seed without a file, a file that does not match its
        checksum, or tensors of other names or shapes than the network's.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: expected {' or '.join(KINDS)}")
    name = file_name(kind, seed)
    if not (folder / name).is_file():
        kept = sorted(path.name for path in folder.glob(f"{kind}-*.safetensors"))
        raise ValueError(
            f"seed = {seed}: there is no {name}, only {', '.join(kept) or 'nothing'}; "
            "tailwise.experts.pretraining makes others"
        )
    tensors = parse(assets.read_asset(name, folder))
    vit = _filled(GlyphViT(), "vit", tensors, name)
    if kind == "visual":
        return vit
    words = bytes(tensors["vocabulary"].tolist()).decode().split("\n")
    return vit, _filled(NameEncoder(words), "text", tensors, name)


def _filled(
    module: nn.Module, part: str, tensors: dict[str, Tensor], name: str
) -> nn.Module:
    """Copy the tensors named ``part.*`` into a module that has just these."""
    start = f"{part}."
    found = {
        key.removeprefix(start): value
        for key, value in tensors.items()
        if key.startswith(start)
    }
    wanted = module.state_dict()
    for key in sorted(wanted.keys() | found.keys()):
        shapes = [list(s[key].shape) if key in s else None for s in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{name}: {part}.{key} has shape {shapes[0]}, expected {shapes[1]}"
            )
    module.load_state_dict({k: v.float() for k, v in found.items()})
    return module.eval()
