"""The papers' data sets: whose they are, how much they take, and how they come.

Sizes are those that publishers name or that we expect. Addresses were read in public
code and documentation; none was tried here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tailwise.data import celeba, cifar, isic, longtails, waterbirds
from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.data.downloads import alone, aside
from tools.paper.estimates import Row

UNTRIED = "addresses not tried here"


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One that a run needs.

    Attributes
    ----------
    title, licence : str
    fetched_gb, disk_gb : float
        Of what comes, and of all that lies on disk at once.
    checked : str
        How it is known to be the published one.
    ready : str
        What lies in the folder of data once it is prepared.
    prepare : callable
        ``prepare(folder)`` fetches what is missing and leaves it checked.
    """

    title: str
    licence: str
    fetched_gb: float
    disk_gb: float
    checked: str
    ready: str
    prepare: Callable[[Path], object]

    @property
    def row(self) -> Row:
        """Of a plan."""
        return "images", f"{self.fetched_gb:g} GB", f"{self.checked}; {UNTRIED}"

    def room_gb(self) -> float:
        """What must be free for it: nothing once it is there, less after a stop."""
        folder = cache_dir()
        if (folder / self.ready).exists():
            return 0.0
        name = Path(self.ready).parts[0]
        begun = [folder / name, *folder.glob(f".*{name}*")]
        inside = [path for each in begun for path in (each, *each.rglob("*"))]
        there = sum(path.stat().st_size for path in inside if path.is_file())
        return max(0.0, self.disk_gb - there / 1e9)


def mnist(folder: Path, *, download: bool):
    """torchvision's training images of MNIST; a ValueError if they are not there."""
    source, root = import_torchvision().datasets.MNIST, folder / "MNIST"
    try:
        if download and not root.exists():
            with alone(root), aside(root) as made:
                if not root.exists():
                    source(made, download=True)
                    (made / root.name).rename(root)
        return source(folder)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0].partition(". You can")[0]
        again = f"; remove {root} to fetch it again" if root.exists() else ""
        raise ValueError(f"MNIST is not in {folder}: {reason}{again}") from error


_CIFAR = dict(fetched_gb=0.2, disk_gb=0.7, checked="torchvision checks them by MD5")
SETS = {
    "mnist": DataSet(
        title="MNIST",
        licence="MNIST: Y. LeCun and C. Cortes, CC BY-SA 3.0 as Keras's documentation "
        "says",
        fetched_gb=0.01,
        disk_gb=0.1,
        checked="torchvision checks them by MD5",
        ready="MNIST/raw",
        prepare=partial(mnist, download=True),
    ),
    **{
        kind: DataSet(
            title=title,
            licence=f"{title}: {cifar.PAGE}, names none",
            ready=f"{kind}.safetensors",
            prepare=partial(cifar.prepare, download=True, kind=kind),
            **_CIFAR,
        )
        for kind, title in cifar.KINDS.items()
    },
    "waterbirds": DataSet(
        title="Waterbirds",
        licence="Waterbirds: non-commercial research and education, as WILDS says; "
        "from Caltech-UCSD Birds and Places",
        fetched_gb=0.5,
        disk_gb=1.7,
        checked="expected; groups are counted, there is no checksum",
        ready=waterbirds.NAME,
        prepare=partial(waterbirds.prepare, download=True),
    ),
    "isic": DataSet(
        title="ISIC 2019",
        licence="ISIC 2019: CC BY-NC 4.0, images of BCN20000, HAM10000 and MSK; labels "
        "of patches from a repository, debiasing-skin, that names no licence",
        fetched_gb=9.1,
        disk_gb=19.0,
        checked="25,331, of which at most 2,594 have a known patch; no checksum",
        ready=f"{isic.NAME}/{isic.INSIDE}",
        prepare=partial(isic.prepare, download=True),
    ),
    "celeba": DataSet(
        title="CelebA",
        licence="CelebA: non-commercial research alone, as its page, "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, says",
        fetched_gb=1.4,
        disk_gb=3.2,
        checked="torchvision checks them by MD5, and needs gdown to fetch",
        ready="celeba/img_align_celeba",
        prepare=partial(celeba.load_split, "train", download=True),
    ),
    "places": DataSet(
        title="Places-LT",
        licence="Places365: non-commercial research and education alone, as its page, "
        "http://places2.csail.mit.edu, says; the lists lie in repositories that "
        "name none",
        fetched_gb=26.6,
        disk_gb=54.0,
        checked="archives by MD5; the lists by their length",
        ready="places/data_256",
        prepare=partial(longtails.prepare, "places", download=True),
    ),
    "inaturalist": DataSet(
        title="iNaturalist 2018",
        licence="iNaturalist 2018: non-commercial research alone, as its page, "
        "https://github.com/visipedia/inat_comp, says",
        fetched_gb=120.0,
        disk_gb=245.0,
        checked="by MD5",
        ready="inaturalist/train_val2018",
        prepare=partial(longtails.prepare, "inaturalist", download=True),
    ),
}
