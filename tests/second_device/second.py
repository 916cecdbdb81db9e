"""A device of torch's that computes on the CPU and refuses what CUDA refuses.

python second.py SCRIPT     runs a script on it, as if it was the machine's accelerator

Its kernels are in second.cpp, which is compiled once for each release of torch.
"""

import builtins
import ctypes
import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch
from torch.utils import cpp_extension

NAME = "second"
SOURCE = Path(__file__).with_suffix(".cpp")
BUILT = SOURCE.parents[2] / "_build" / "second_device"


def compiler() -> str | None:
    """The C++ compiler, or None."""
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")


def library() -> Path:
    """The compiled kernels; made where they are not up to date, whole or not at all.

    Raises
    ------
    RuntimeError
        With the compiler's words if it fails.
    """
    key = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()
    path = BUILT / f"{key[:16]}.so"
    if not path.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILT) as folder:
            made = Path(folder) / path.name
            done = subprocess.run(_command(made), capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{SOURCE.name} does not compile:\n{done.stderr}")
            os.replace(made, path)
    return path


def _command(made: Path) -> list[str]:
    command = [compiler(), "-std=c++20", "-O1", "-fPIC", "-shared", "-w"]
    command += [f"-isystem{folder}" for folder in cpp_extension.include_paths()]
    for folder in cpp_extension.library_paths():
        command += [f"-L{folder}", f"-Wl,-rpath,{folder}"]
    return [*command, SOURCE, "-o", made, "-lc10", "-ltorch_cpu", "-ltorch"]


def register() -> ctypes.CDLL:
    """Make ``torch.device("second")`` known, once a process; return the library.

    Before the first backward pass of the process: later ones know no new device.
    """
    torch.utils.rename_privateuse1_backend(NAME)
    torch.ops.load_library(path := library())
    module = ModuleType(NAME)
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module._is_in_bad_fork = lambda: False
    module.manual_seed_all = lambda seed: None  # the CPU's generator is its own
    torch._register_device_module(NAME, module)
    torch.utils.generate_methods_for_privateuse1_backend()
    return ctypes.CDLL(str(path))


def run(script: str) -> None:
    """Run a script whose profile computes on the second device; tell what it used."""
    kernels = register()
    from tailwise import profiles

    current = profiles.current
    profiles.current = lambda name=None: replace(current(name), device=NAME)
    builtins.display = lambda *shown, **_: print(*map(repr, shown))
    runpy.run_path(script, run_name="__main__")
    print(f"\ntensors made on the second device: {kernels.allocations()}")


if __name__ == "__main__":
    run(sys.argv[1])
