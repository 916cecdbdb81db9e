"""A training run kept on disk, so that one that was stopped goes on where it stood.

A folder holds ``<step>.safetensors`` and ``state.json``, which names that file and its
checksum. The JSON is replaced last: whenever a run is stopped, what it names is whole.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tailwise.files import write_whole


class Stateful(Protocol):
    """What has a state that is one tensor, such as a torch.Generator."""

    def get_state(self) -> Tensor: ...

    def set_state(self, state: Tensor) -> object: ...


Moving = dict[str, Tensor | Stateful]


@dataclass(frozen=True)
class Checkpoint:
    """A folder that keeps one run.

    Attributes
    ----------
    folder : Path
        Of this run alone.
    every : int
        Steps between two savings; the last step is always kept.
    about : dict
        Plain values that decide the outcome. A folder that was kept for others is
        refused.
    """

    folder: Path
    every: int = 100
    about: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}: expected at least 1")

    @property
    def path(self) -> Path:
        """The JSON file."""
        return self.folder / "state.json"

    def write(self, step: int, tensors: dict[str, Tensor], **values) -> None:
        """Keep tensors and plain values, and drop those of earlier steps."""
        content = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
        name = f"{step}.safetensors"
        write_whole(self.folder / name, content)
        digest = hashlib.sha256(content).hexdigest()
        state = dict(about=self.about, step=step, tensors=name, sha256=digest, **values)
        write_whole(self.path, json.dumps(state, indent=1).encode())
        for old in [*self.folder.glob("*.safetensors"), *self.folder.glob(".*.part")]:
            if old.name != name:
                old.unlink()

    def read(self) -> tuple[dict, dict[str, Tensor]] | None:
        """Plain values and tensors, or None if nothing is kept.

        Raises
        ------
        ValueError
            For a run of other settings, a file that is missing or does not match its
            checksum, or a JSON that is none of ours; the message names it.
        """
        if not self.path.is_file():
            return None
        try:
            state = json.loads(self.path.read_bytes())
            about, file = state["about"], self.folder / state["tensors"]
            digest, _ = state["sha256"], state["step"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is not a checkpoint: {error!r}") from error
        self._check_about(about)
        if not file.is_file():
            raise ValueError(f"{file} is missing: expected it beside {self.path.name}")
        content = file.read_bytes()
        if (found := hashlib.sha256(content).hexdigest()) != digest:
            raise ValueError(
                f"{file} is damaged: SHA-256 is {found[:12]}…, expected {digest[:12]}…"
            )
        try:
            return state, load(content)
        except SafetensorError as error:
            raise ValueError(f"{file} holds no tensors: {error}") from error

    def _check_about(self, found: dict) -> None:
        wanted = json.loads(json.dumps(self.about))
        for name in sorted(found.keys() | wanted.keys()):
            if found.get(name) != wanted.get(name):
                raise ValueError(
                    f"{self.path} was made with {name} = {found.get(name)!r}: expected "
                    f"{wanted.get(name)!r}; remove the folder or choose another"
                )


class Run:
    """Everything that changes while an optimizer takes steps, for a `Checkpoint`.

    Parameters
    ----------
    checkpoint : Checkpoint
    settings : dict
        Plain values, part of what the run is.
    optimizer, schedule
        Of torch, the schedule's state in plain values.
    moving : dict of str to Tensor or Stateful
        What changes besides: generators, streams, counters.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: dict,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        moving: Moving,
    ) -> None:
        state = schedule.state_dict()
        if json.loads(json.dumps(state)) != state:
            kind = type(schedule).__name__
            raise ValueError(f"the state of {kind} is not plain: expected LambdaLR")
        about = settings | checkpoint.about
        self.checkpoint = Checkpoint(checkpoint.folder, checkpoint.every, about)
        self.optimizer, self.schedule = optimizer, schedule
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.moving = moving | {f"parameter.{i}": p for i, p in enumerate(parameters)}

    def keep(self, losses: list[float], *, last: bool = False) -> None:
        """Save after a step, where it is due."""
        step = len(losses)
        if step % self.checkpoint.every and not last:
            return
        tensors = {
            name: x if isinstance(x, Tensor) else x.get_state()
            for name, x in self.moving.items()
        }
        state = self.optimizer.state_dict()
        for index, moments in state["state"].items():
            for name, x in moments.items():
                tensors[f"optimizer.{index}.{name}"] = x
        self.checkpoint.write(
            step,
            tensors,
            losses=losses,
            groups=state["param_groups"],
            schedule=self.schedule.state_dict(),
        )

    def resume(self) -> list[float]:
        """Put everything back; the losses so far, empty for a new run."""
        kept = self.checkpoint.read()
        if kept is None:
            return []
        values, tensors = kept
        self._check(tensors)
        for name, x in self.moving.items():
            if isinstance(x, Tensor):
                with torch.no_grad():
                    x.copy_(tensors[name])
            else:
                x.set_state(tensors[name])
        moments = {}
        for name, x in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = x
        groups = [  # JSON has made lists of tuples
            {k: tuple(v) if k == "betas" else v for k, v in group.items()}
            for group in values["groups"]
        ]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.schedule.load_state_dict(values["schedule"])
        return values["losses"]

    def _check(self, tensors: dict[str, Tensor]) -> None:
        for name, x in self.moving.items():
            found = list(tensors[name].shape) if name in tensors else None
            wanted = list(x.shape) if isinstance(x, Tensor) else found
            if found is None or found != wanted:
                raise ValueError(
                    f"{self.checkpoint.path}: {name} is {found}, expected {wanted}"
                )
