"""How Python processes of ours are started: which code they import and how many threads they use."""

from __future__ import annotations

import multiprocessing
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jobs

CODE_ROOT = Path(jobs.__file__).resolve().parent.parent

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

# Training frees and asks for the same large blocks in every step. glibc gives each one above 32 MiB back to the kernel,
# which must clear its pages again: twenty blocks of 100 MiB cost 1.2 s, and 0.05 s when the process keeps them.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


def module_command(module: str, *arguments: str, interpreter: Sequence[str] | None = None) -> list[str]:
    """The command line that runs `module` with this Python, or with `interpreter`.

    -P keeps the working directory off `sys.path`: a folder called models/ in it must not hide ours. Unlike
    PYTHONSAFEPATH it is not inherited by the programs that a task starts.
    """
    return [*(interpreter or [sys.executable]), "-P", "-u", "-m", module, *arguments]


@contextmanager
def mapping(workers: int, chunksize: int = 1) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` that works in this process, or in several."""
    if workers <= 1:
        yield map
        return
    # spawned, not forked: a forked child inherits the locks of torch's threads and may wait for one without end
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=chunksize)


def python_path(environ: Mapping[str, str]) -> str:
    """PYTHONPATH for our processes: our code first, and no entry that means the working directory."""
    entries = environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if entry and Path(entry).resolve() not in (Path.cwd().resolve(), CODE_ROOT)]
    ours = [] if _is_installed(CODE_ROOT) else [str(CODE_ROOT)]
    return os.pathsep.join([*ours, *kept])


def child_environment(environ: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment of a run. What the user has set for the allocator stays."""
    # without PYTHONSAFEPATH: the run has -P; a script that its task starts may need its own folder
    kept = {name: value for name, value in environ.items() if name != "PYTHONSAFEPATH"}
    ours = {"PYTHONPATH": python_path(environ), **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
    return (ALLOCATOR if sys.platform == "linux" else {}) | kept | ours


def _is_installed(root: Path) -> bool:
    """Is `root` a site-packages folder? On PYTHONPATH it would come before the standard library."""
    folders = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages())
    return root in [Path(folder).resolve() for folder in folders]
