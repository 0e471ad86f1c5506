"""The script of the user's that a command starts: where it is, and the copy that a submission keeps of it.

The copy runs in the same working directory, so relative paths of data keep their meaning. What looks for files beside
the script itself is not copied.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from jobs.launch import CODE_ROOT
from runner.files import read_mapping, write_json
from runner.rundir.checkout import code_of
from runner.rundir.layout import RunDir

_INTERPRETER = re.compile(r"(python|pypy|bash|sh)[\d.]*")
_TAKES_A_VALUE = ("-W", "-X", "-o", "-O")  # options of an interpreter
_NEEDS_ITS_FOLDER = re.compile(r"__file__|\bhydra\b|sys\.argv\[0\]|sys\.path\[0\]|inspect\.get\w*file")
_MOST_BYTES = 20 << 20


@dataclass(frozen=True)
class Script:
    """A script in a command line."""

    at: int  # its place among the words
    path: Path  # absolute


def script_of(words: Sequence[str], directory: Path) -> Script | None:
    """What `words` start in `directory`; None for a module, an installed program or code on the command line."""
    if _INTERPRETER.fullmatch(Path(words[0]).name):
        at = _argument_of_the_interpreter(words)
    elif "/" in words[0] and not words[0].startswith("/"):
        at = 0
    else:  # such as `srun python train.py`
        at = next((place for place, word in enumerate(words) if word.endswith(".py")), None)
        at = at if at is not None and (directory / words[at]).is_file() else None
    return None if at is None else Script(at, directory / words[at])


def _argument_of_the_interpreter(words: Sequence[str]) -> int | None:
    at = 1
    while at < len(words) and words[at].startswith("-"):
        if words[at] in ("-c", "-m", "-"):
            return None
        at += 2 if words[at] in _TAKES_A_VALUE else 1
    return at if at < len(words) else None


def pinned_name(script: Path) -> str:
    """Its place in the copy of the code; the folder keeps scripts of one name apart."""
    return f"command/{hashlib.sha256(str(script.parent).encode()).hexdigest()[:8]}/{script.name}"


def copies(script: Path) -> dict[str, Path]:
    """Name in the copy of the code → file: the script, the Python files beside it and the packages that it imports.

    Empty where `why_unpinned` gives a reason.
    """
    if why_unpinned(script):
        return {}
    folder = Path(pinned_name(script)).parent
    return {str(folder / name): path for name, path in _code_of(script).items()}


def why_unpinned(script: Path) -> str | None:
    """Why no copy of `script` can be run in its place; None where one can."""
    if script.suffix != ".py":
        return f"{script.name} is no Python file"
    if sum(path.stat().st_size for path in _code_of(script).values()) > _MOST_BYTES:
        return f"{script.name} and the code beside it are more than {_MOST_BYTES >> 20} MiB"
    for name, path in _imported(script).items():
        text = path.read_text(encoding="utf-8", errors="replace") if path.suffix == ".py" else ""
        if use := _NEEDS_ITS_FOLDER.search(text):
            return f"{name} uses {use[0]}, so it needs its own folder"
    return None


@dataclass(frozen=True)
class Start:
    """A command line as it is started."""

    words: list[str]
    folder: str = ""  # of the script whose copy is started, for what it imports and was not copied
    notes: list[str] = field(default_factory=list)  # that no copy was kept, and why


def pinned(words: list[str], directory: Path, run: RunDir) -> Start:
    """`words` with the copy of the script that the submission kept; provenance.json says which was started.

    directory: absolute, where they are started.
    """
    script = script_of(words, directory)
    if script is None or not script.path.is_file():
        return Start(words, notes=_unpinned_program(words, directory))
    copy = CODE_ROOT / pinned_name(script.path)
    why = None if copy.is_file() else why_unpinned(script.path) or "it was not submitted"
    record = {"path": str(script.path), "pinned": why is None, "why": why} | _digests(script.path if why else copy)
    write_json(run.provenance, {**read_mapping(run.provenance), "script": record})
    if why:
        return Start(words, notes=[f"{script.path.name} ran as it was when the run began; no copy was kept: {why}"])
    return Start([*words[: script.at], str(copy), *words[script.at + 1 :]], str(script.path.parent))


def _unpinned_program(words: list[str], directory: Path) -> list[str]:
    """What is said of code of the user's that is started without a script."""
    if words[0] == "bash" and words[1:2] == ["-c"]:
        return ["no copy was kept of what the shell started"]
    module = next((name for option, name in pairwise(words) if option == "-m"), "").partition(".")[0]
    if module and ((directory / module).is_dir() or (directory / f"{module}.py").is_file()):
        return [f"no copy was kept of the module {module}; give its file instead of -m"]
    return []


def _digests(script: Path) -> dict[str, str]:
    """Of the script itself, and of the code that lies beside it or is imported too."""
    code = _code_of(script) if script.suffix == ".py" else {script.name: script}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(code.items())}
    return {"sha256": digests[script.name], "digest": hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:12]}


def _code_of(script: Path) -> dict[str, Path]:
    return {path.name: path for path in script.parent.glob("*.py") if path.is_file()} | _imported(script)


def _imported(script: Path) -> dict[str, Path]:
    """The script itself and what it imports from its folder."""
    return {script.name: script} | dict(code_of(script.stem, script.parent))
