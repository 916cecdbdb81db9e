"""One work-around: torchvision beside a torch build without its C++ operators."""

import sys
from types import ModuleType

import torch

_kept_alive = []


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled operators are missing.

    A torchvision wheel built for CUDA fails to import beside a CPU-only torch with
    "operator torchvision::nms does not exist". Only on that error the missing
    operators are declared without a body (calling them still fails) and the import
    is tried again; data sets, transforms and models then work.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float threshold) -> Tensor")
        _kept_alive.append(library)
        import torchvision
    return torchvision
