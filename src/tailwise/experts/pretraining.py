"""How the experts of GlyphNames are pretrained on source letters, from scratch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise.data import glyphs
from tailwise.data.glyph_corruption import corrupt
from tailwise.models.vit import GlyphViT, NameEncoder
from tailwise.training.checkpoint import Checkpoint, Run

STEPS = 11_200
BATCH = 64
CORRUPTED = 2 / 3  # of each batch, after
EASY = 0.4  # of the steps, on letters that are jittered only: they start the learning
LR = 3e-3  # at its highest, after a tenth of the steps
WEIGHT_DECAY = 0.01
SCALE = 20.0  # of cosines between images and names
WORD_DROPOUT = 0.1
VISUAL, LANGUAGE = 0, 1  # each expert has its own random numbers


def pretrain_visual(
    seed: int,
    steps: int = STEPS,
    *,
    width: int = 64,
    checkpoint: Checkpoint | None = None,
) -> GlyphViT:
    """Train an expert to tell source letters apart.

    A linear head over all source letters is trained with it and thrown away. About
    five minutes on one thread of a laptop.

    Parameters
    ----------
    seed : int
        Of the initial weights and of the pictures.
    steps : int
        Batches of 64 pictures.
    width : int
        Of the transformer.
    checkpoint : Checkpoint, optional
        Go on from it, and keep the run there.
    """
    n_letters = len(glyphs.characters("source"))
    with _seeded(seed, VISUAL) as g:
        vit = GlyphViT(width=width)
        head = nn.Linear(vit.width, n_letters)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(head(vit(images)), labels)

    _optimise(nn.ModuleList([vit, head]), loss, steps, g, checkpoint)
    return vit


def pretrain_language(
    seed: int, steps: int = STEPS, *, checkpoint: Checkpoint | None = None
) -> tuple[GlyphViT, NameEncoder]:
    """Train an expert to match pictures with names.

    Each picture is compared with the names of all source letters by scaled cosines; a
    tenth of the words is dropped. About five minutes on one thread of a laptop.

    Parameters
    ----------
    seed, steps, checkpoint
        As for `pretrain_visual`.
    """
    with _seeded(seed, LANGUAGE) as g:
        vit, text = GlyphViT(), NameEncoder(glyphs.vocabulary())
    bags = text.bags(glyphs.names("source"))

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        kept = bags * (torch.rand(bags.shape, generator=g) >= WORD_DROPOUT)
        return F.cross_entropy(similarity(vit(images), text(kept)), labels)

    _optimise(nn.ModuleList([vit, text]), loss, steps, g, checkpoint)
    return vit, text


def similarity(image_features: Tensor, text_features: Tensor) -> Tensor:
    """Cosines times `SCALE`, ``[B, n]``, of features ``[B, d]`` and ``[n, d]``."""
    cosine = F.normalize(image_features, dim=-1) @ F.normalize(text_features, dim=-1).T
    return SCALE * cosine


def source_batch(
    n: int, *, corrupted: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures of random source letters ``[n, 1, 32, 32]`` and their positions ``[n]``.

    They are in seen faces. The share `corrupted` is at the level "pretraining", the
    rest at "jittered".
    """
    rows = glyphs.characters("source")
    labels = torch.randint(0, len(rows), (n,), generator=generator)
    faces = torch.randint(0, len(glyphs.SEEN_FACES), (n,), generator=generator)
    pictures = glyphs.atlas().images[rows[labels], faces]
    first = round(corrupted * n)
    parts = (("pretraining", pictures[:first]), ("jittered", pictures[first:]))
    drawn = [corrupt(part, level=level, generator=generator) for level, part in parts]
    return torch.cat(drawn), labels


@contextmanager
def _seeded(seed: int, expert: int) -> Iterator[torch.Generator]:
    """Seed the initial weights made inside, and a generator of pictures."""
    if seed < 0:
        raise ValueError(f"seed = {seed}: expected ≥ 0")
    key = 2 * seed + expert
    with torch.random.fork_rng(devices=[]):  # layers draw from torch's own state
        torch.manual_seed(key)
        yield torch.Generator().manual_seed(key)


def _optimise(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    generator: torch.Generator,
    checkpoint: Checkpoint | None,
) -> None:
    """AdamW with one cycle of the learning rate; in evaluation mode afterwards."""
    if steps < 1:
        raise ValueError(f"steps = {steps}: expected ≥ 1")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LR, total_steps=steps + 1, pct_start=0.1
    )
    losses, run = [], None
    if checkpoint is not None:
        moving = dict(generator=generator)
        run = Run(checkpoint, dict(steps=steps), optimizer, schedule, moving)
        losses = run.resume()
    for step in range(len(losses), steps):
        corrupted = 0.0 if step < EASY * steps else CORRUPTED
        batch = source_batch(BATCH, corrupted=corrupted, generator=generator)
        optimizer.zero_grad()
        found = loss(*batch)
        found.backward()
        optimizer.step()
        schedule.step()
        losses.append(found.item())
        if run is not None:
            run.keep(losses, last=step + 1 == steps)
    model.eval()
