"""Make the pretrained start of chapter 2: a ten-class network on random backgrounds.

python -m tools.studies.make_spurious_pretrained

It needs the full Fashion-MNIST. The last 1,000 training images of each class are used,
which no world of `tailwise.data.spurious` contains. Backgrounds and patches are drawn
independently of the class. The weights are shipped in half precision.
"""

import hashlib

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tailwise.data import assets, fashion, spurious
from tailwise.models.resnet import SmallResNet
from tailwise.training import loop

NAME = "spurious-pretrained.safetensors"


def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    data = fashion.load("train", full=True)
    rows = spurious.pretraining_rows(data.labels)
    y = torch.from_numpy(data.labels[rows])
    canvas = spurious.place(data.images[rows], y, torch.from_numpy(rows), g)
    a = torch.randint(0, 2, (len(rows),), generator=g)
    on_birds, _ = spurious.draw_birds(canvas, a, g)
    patch = (torch.rand(len(rows), generator=g) < 0.3).long()
    on_skin, _ = spurious.draw_skin(canvas, patch, g)
    birds = torch.rand(len(rows), generator=g) < 0.5
    return torch.where(birds[:, None, None, None], on_birds, on_skin), y


def main() -> None:
    torch.manual_seed(0)
    model, g = SmallResNet(10), torch.Generator().manual_seed(0)
    parts = [draw(seed) for seed in range(2)]
    x, y = (torch.cat(column) for column in zip(*parts, strict=True))
    held = 1000
    loop.train(model, x[held:], y[held:], epochs=6, generator=g, lr=3e-3)
    with torch.no_grad():
        logits = torch.cat([model(rows) for rows in x[:held].split(500)])
    print(f"training-like loss {F.cross_entropy(logits, y[:held]):.3f}")
    print(f"accuracy {(logits.argmax(1) == y[:held]).double().mean():.3f}")
    body = {k: v.half() for k, v in model.body.state_dict().items() if v.ndim}
    save_file(body, assets.ASSETS / NAME)
    sums = assets.ASSETS / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if NAME not in line]
    digest = hashlib.sha256((assets.ASSETS / NAME).read_bytes()).hexdigest()
    sums.write_text("\n".join([*lines, f"{digest}  {NAME}"]) + "\n")


if __name__ == "__main__":
    main()
