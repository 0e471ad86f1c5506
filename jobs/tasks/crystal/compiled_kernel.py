"""The compiled pass of models.encoders.cpp_convolution: built once by the C++ compiler here, kept in the cache.

A build depends on the source, the flags and the kind of processor alone, and is never built again, so a resumed run
computes with the same instructions. Without a compiler, or where the build does not fit, torch computes the same to
float32's accuracy: the log says so once, and the run's result names what it was computed with.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from jobs.content_cache import content_key, publish
from models.encoders import cpp_convolution
from runner.errors import CommandFailed
from runner.rundir.cache_root import make_folder, open_to_others

# errno and floating-point traps cost vector instructions; no flag here lets a compiler assume that there is no NaN
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fopenmp", "-fno-math-errno", "-fno-trapping-math")
PROCESSORS = {  # torch's name of what a processor can do → the flags that use it
    "AVX2": ("-mavx2", "-mfma"),
    "AVX512": (
        "-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512",
    ),
}  # fmt: skip
COMPILERS = ("c++", "g++", "clang++")
TORCH = "torch"  # what computes where there is no build
_TIMEOUT_S = 300

Log = Callable[[str], None]


class NoKernels(Exception):
    """Why there is no build to load."""


def use_kernels(root: Path, log: Log) -> str:
    """Compute with the build in the cache below `root`, building it first where it is missing; says what computes.

    `TORCH` where that is not possible; the log says why.
    """
    processor = torch.backends.cpu.get_cpu_capability()
    try:
        library = _build(root, processor)
        if place := open_to_others(library):  # a library is code
            what = "could have been written by another user; chmod go-w, or set RUNNER_CACHE to a cache of your own"
            raise NoKernels(f"{place} {what}")
        cpp_convolution.use(library)
    except (NoKernels, CommandFailed, OSError) as error:
        log(f"convolutions are computed by torch, which takes longer on a CPU: {error}")
        return use_torch()
    return f"compiled for {processor}"


def use_torch() -> str:
    """Compute with torch from now on; says what computes."""
    cpp_convolution.use(None)
    return TORCH


def build_kernels(root: Path) -> list[str]:
    """Build for every kind of processor that a node of this architecture may have; which ones there are now.

    Raises NoKernels or CommandFailed where nothing can be built.
    """
    own = torch.backends.cpu.get_cpu_capability()
    kinds = [*PROCESSORS] if own in PROCESSORS else [own]
    for kind in kinds:
        _build(root, kind)
    return kinds


def _build(root: Path, processor: str) -> Path:
    """The library for `processor`, compiled if the cache does not have it."""
    source, flags = cpp_convolution.SOURCE.read_bytes(), [*FLAGS, *PROCESSORS.get(processor, ())]
    folder = root / "kernels" / f"{processor}-{content_key(source, flags, platform.machine(), platform.system())}"
    make_folder(folder.parent)
    publish(folder, root, "kernels", 1, lambda beside: _compile(flags, beside))
    return folder / "convolution.so"


def _compile(flags: Iterable[str], folder: Path) -> None:
    """Two steps: linking with -fopenmp could bring a second OpenMP beside torch's, whose threads would compete."""
    compiler = os.environ.get("CXX", "").split() or list(filter(None, map(shutil.which, COMPILERS)))[:1]
    if not compiler:
        raise NoKernels(f"there is no C++ compiler here ({', '.join(COMPILERS)}; CXX names another)")
    object_file, library = folder / "convolution.o", folder / "convolution.so"
    _call([*compiler, *flags, "-c", str(cpp_convolution.SOURCE), "-o", str(object_file)])
    _call([*compiler, "-shared", str(object_file), "-o", str(library)])
    object_file.unlink()
    library.chmod(0o755)  # a umask may let a group write


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoKernels(f"{command[0]}: {error}") from error
    if done.returncode:
        last_line = done.stderr.strip().split("\n")[-1][:200]
        raise NoKernels(f"{command[0]} ended with status {done.returncode}: {last_line}")
