"""One network trained by several processes, each with its share of every batch.

``torchrun`` starts them: with gloo on the CPU, with NCCL a process a GPU. Batch norm is
taken over whole batches and so is the loss, so that any number of processes gives what
one gives, within rounding; where dropout draws, only in distribution.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

PATIENCE = timedelta(days=2)  # in which the first fetches data


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Those that torchrun started, together; nothing where it started none."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    kind = "nccl" if on_gpu else "gloo"
    dist.init_process_group(kind, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def together() -> bool:
    """Whether this process is one of several that train one network."""
    return dist.is_initialized()


def first() -> bool:
    """Whether this process is the one that fetches, writes and tells."""
    return not together() or dist.get_rank() == 0


def wait() -> None:
    """Until all processes are here."""
    if together():
        dist.barrier()


def share(rows: Tensor) -> Tensor:
    """Of a batch's rows those that this process takes; all where it is alone."""
    if not together():
        return rows
    if len(rows) < dist.get_world_size():
        raise ValueError(
            f"a batch has {len(rows)} images: expected one at least for each of "
            f"{dist.get_world_size()} processes"
        )
    return rows[dist.get_rank() :: dist.get_world_size()]


def whole(z: Tensor, n: int) -> Tensor:
    """Outputs of all n rows of a batch, of those of `share`; gradients pass."""
    if not together():
        return z
    rows = torch.arange(n, device=z.device)[dist.get_rank() :: dist.get_world_size()]
    return all_reduce(z.new_zeros(n, *z.shape[1:]).index_copy(0, rows, z))


def shared(model: nn.Module) -> nn.Module:
    """A module that averages gradients over processes; its batch norms see all rows."""
    if not together():
        return model
    for part in model.modules():
        if isinstance(part, _BatchNorm):
            part.__class__ = _WholeBatchNorm
    return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)


class _WholeBatchNorm(_BatchNorm):
    """torch's, with moments over the rows of all processes.

    ``torch.nn.SyncBatchNorm`` does that on GPUs alone.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        over = [i for i in range(input.ndim) if i != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        x = input.float()
        n = x.new_tensor([x.numel() / x.shape[1]])
        dist.all_reduce(n)
        mean = all_reduce(x.sum(over)) / n
        centred = x - mean.view(shape)
        variance = all_reduce(centred.square().sum(over)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        z = centred * (variance + self.eps).rsqrt().view(shape)
        return (z * self.weight.view(shape) + self.bias.view(shape)).to(input)
