"""Where runs are sent: this machine, or a Slurm site described by a file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from runner.config import yaml_source
from runner.config.experiment import Mebibytes, Seconds, Words
from runner.config.part import Part
from runner.config.validation import problems
from runner.errors import ConfigError, Mistakes, Problem, nearest
from runner.masking import is_secret, masked
from runner.slurm_commands import Name

# sbatch options that must not be passed through, and why or where they are set instead
_SET_ELSEWHERE = {
    **dict.fromkeys(("array", "comment", "job-name"), "set by runner itself, to find its arrays again"),
    **dict.fromkeys(("output", "error", "open-mode"), "set by runner itself; `runner logs` shows the logs"),
    **dict.fromkeys(
        ("nodes", "ntasks", "ntasks-per-node"),
        "write `resources: {nodes: …, tasks_per_node: …}` in the experiment file",
    ),
    **dict.fromkeys(("parsable", "test-only", "wait", "wrap"), "changes how sbatch answers, so runner cannot use it"),
    **dict.fromkeys(("partition", "account", "qos", "constraint"), "a key of this file's top level"),
    **dict.fromkeys(("requeue", "no-requeue"), "write `requeue: true` or `false` at this file's top level"),
    "signal": "write `signal_seconds` at this file's top level",
    "time": "write `resources: {time: …}` in the experiment file",
    "mem": "write `resources: {memory: …}` in the experiment file",
    "cpus-per-task": "write `resources: {cpus: …}` in the experiment file",
    "gpus-per-node": "write `resources: {gpus: …}` in the experiment file",
}
_WHOLE = ("gpus",)  # names of options of their own that others begin with
_TOLD = ("RUNNER_SUBMITTED_AT", "RUNNER_REQUEUE", "RUNNER_SIGNAL_DELAY_S", "RUNNER_TIME_LIMIT_S", "RUNNER_JOB_ID",
         "RUNNER_CACHE_READ_ONLY", "RUNNER_SLURM_COMMANDS")  # fmt: skip


def _option(name: str) -> str:
    # sbatch takes a unique beginning for the whole name: `out` is `output`
    meant = name
    if name not in _WHOLE and name not in _SET_ELSEWHERE:
        meant = next((option for option in _SET_ELSEWHERE if option.startswith(name)), name)
    if meant in _SET_ELSEWHERE:
        raise ValueError(f"this sbatch option cannot be given here: {_SET_ELSEWHERE[meant]}")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"{name!r} is no sbatch option; write its long name without dashes, as mail-type")
    return name


def _variable(name: str) -> str:
    if name in _TOLD or name == "RUNNER_CACHE":
        instead = "write `cache` at this file's top level" if name == "RUNNER_CACHE" else "set by runner itself"
        raise ValueError(f"this variable cannot be given here: {instead}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} is no name of an environment variable; use letters, digits and '_'")
    return name


def _one_line(value: Any) -> Any:
    """Refuse what would begin a new line, or a new option, in the batch script."""
    if isinstance(value, str) and any(character < " " and character != "\t" for character in value):
        raise ValueError(f"found {value!r}; line breaks and control characters are not allowed")
    return value


def _interpreter(value: str) -> str:
    """With `~` as the home directory; the nodes start it without a shell that could know more."""
    path = os.path.expanduser(value)
    if not os.path.isabs(path) and not re.fullmatch(r"[\w.+-]+", path):
        allowed = "a whole path, as /shared/env/bin/python, or a name on the PATH of the nodes, as python3.11"
        raise ValueError(f"found {value!r}; write {allowed}; what has to be done before goes under `setup`")
    return path


Switch = BeforeValidator(lambda value: ({} if value else None) if isinstance(value, bool) else value)
Line = Annotated[str, AfterValidator(_one_line)]
Interpreter = Annotated[Line, AfterValidator(_interpreter)]
Option = Annotated[str, AfterValidator(_option)]
OptionValue = Annotated[bool | int | str, BeforeValidator(_one_line)]
Variable = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_one_line)]
Environment = dict[Annotated[str, AfterValidator(_variable)], Variable]


class LocalCluster(Part):
    """A bounded pool of processes on this machine."""

    kind: Literal["local"] = "local"
    max_parallel: int | None = Field(None, ge=1)  # runs at once; null: as many as the cores allow
    cache: Line | None = None  # directory of graphs and embeddings; null: RUNNER_CACHE or ~/.cache/runner
    environment: Environment = {}  # variables for the runs


class Supervisor(Part):
    """The small job that looks after an experiment (`--supervise`)."""

    partition: Words | None = None  # null: that of the runs
    time: Seconds = 30 * 60  # of one look; it comes again for as long as there is something to do
    memory: Mebibytes = 4096  # of the summary that it makes


class Preparing(Part):
    """The job that fills the caches before an array starts (`prepare: true`, or with any of these)."""

    partition: Words | None = None  # null: that of the runs
    time: Seconds = 60 * 60  # to fill the caches
    memory: Mebibytes = 8192  # all graphs at once
    cpus: int = Field(1, ge=1)  # processes that compute graphs
    internet: bool = False  # its partition may fetch data and encoders


class SlurmCluster(Part):
    """A Slurm site."""

    kind: Literal["slurm"]
    partition: Words | None = None  # as sinfo shows it; null: the site's default
    account: Words | None = None  # who pays, as sacctmgr shows it
    qos: Words | None = None  # quality of service
    constraint: Line | None = None  # features of the nodes, as sinfo shows them
    gpus_option: Literal["gpus-per-node", "gres"] = "gpus-per-node"  # how this site asks for GPUs
    sbatch: dict[Option, OptionValue] = {}  # any further sbatch option, without dashes: {mail-type: END}
    setup: list[Line] = []  # shell lines before the run: module load …
    environment: Environment = {}  # variables for the runs
    commands: dict[Name, Line] = {}  # Slurm's commands where the site wraps them: {sbatch: /opt/slurm/bin/sbatch}
    requeue: bool = True  # runs may ask Slurm to requeue them
    signal_seconds: int = Field(90, ge=10)  # warning before the time limit, in which a run writes its checkpoint
    max_array_size: int | None = Field(None, ge=1)  # null: as the site says
    max_submit_jobs: int | None = Field(None, ge=1)  # array tasks in the queue at once; null: no limit known
    max_parallel: int | None = Field(None, ge=1)  # array tasks that run at once, where the experiment says nothing
    supervisor: Supervisor = Supervisor()
    prepare: Annotated[Preparing | None, Switch] = None  # null: each run computes what it lacks
    python: Interpreter | None = None  # whole path, or name on the nodes' PATH; null: the one in use here
    cache: Line | None = None  # directory on the shared file system
    scratch: Line | None = None  # directory of each node, $TMPDIR too: what is read of the cache is copied there once


Cluster = LocalCluster | SlurmCluster


def has_secrets(cluster: Cluster, text: str) -> bool:
    """Whether `text`, the cluster's file, holds what looks like a token, or a variable that is called so."""
    return masked(text) != text or any(is_secret(*item) for item in cluster.environment.items())


def worker_environment(cluster: Cluster, ours: Mapping[str, str]) -> dict[str, str]:
    """`ours` and the variables of the cluster file, which win; but our code stays first on PYTHONPATH."""
    paths = (variables.get("PYTHONPATH") for variables in (ours, cluster.environment))
    path = os.pathsep.join(part for part in paths if part)
    return {**ours, **cluster.environment} | ({"PYTHONPATH": path} if path else {})


_KINDS: dict[str, type[LocalCluster] | type[SlurmCluster]] = {"local": LocalCluster, "slurm": SlurmCluster}


def text_of(name: str, beside: Path) -> str:
    """What a submission keeps of its cluster: `local`, or the text of the file."""
    return name if name == "local" else find(name, beside).read_text(encoding="utf-8")


def parse(text: str, path: Path) -> Cluster:
    """The cluster that `text_of` kept; `path` is named in errors."""
    return LocalCluster() if text == "local" else _checked(yaml_source.parse(text, path, strict=False))


def load(name: str, beside: Path) -> Cluster:
    """The cluster `name`: `local`, or a file, looked for here and then above and beside the experiment file `beside`.

    Raises ConfigError with all its mistakes; that there is no such file is a mistake without a place.
    """
    return LocalCluster() if name == "local" else _checked(yaml_source.read(find(name, beside), strict=False))


def _checked(source: yaml_source.Source) -> Cluster:
    mistakes = Mistakes(list(source.mistakes))
    kind = source.value.get("kind")
    if kind not in ("local", "slurm"):
        what = "missing; it must be given" if kind is None else f"found {kind!r}"
        mistakes.problems.append(
            source.problem(("kind",), what, allowed=", ".join(_KINDS), nearest=nearest(str(kind), _KINDS))
        )
        kind = "slurm"  # which has all the keys that there are
    try:
        cluster = _KINDS[kind].model_validate(source.value | {"kind": kind})
    except ValidationError as error:
        mistakes.problems += problems(_KINDS[kind], error, source.problem)
    mistakes.refuse()
    return cluster


def find(name: str, beside: Path) -> Path:
    """The cluster file `name`; a relative one is looked for here, then in each folder above the experiment file."""
    given = Path(os.path.expanduser(name))
    places = [given, *(folder / given for folder in beside.absolute().parents)]
    if file := next(filter(os.path.isfile, places), None):  # unlike Path.is_file false for a name that no file can have
        return file
    names = ["local", *dict.fromkeys(str(given.parent / file) for place in places for file in _clusters(place.parent))]
    raise ConfigError(
        [
            Problem(
                f"there is no cluster file {name!r}, here or in a folder above {beside}",
                allowed=", ".join(names[:8]),
                nearest=nearest(name, names),
            )
        ],
        next_command="runner init, which writes cluster files to start from",
    )


def _clusters(folder: Path) -> list[str]:
    """The cluster files in `folder`: those with a `kind`."""
    if not os.path.isdir(folder):
        return []
    files = sorted(entry for entry in folder.iterdir() if entry.suffix in yaml_source.SUFFIXES and entry.is_file())
    return [file.name for file in files if re.search(r"^kind:", file.read_text(errors="replace"), re.MULTILINE)]
