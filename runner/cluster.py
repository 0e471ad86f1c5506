"""Where runs are sent: this machine, or a Slurm site described by a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from runner import yaml_source
from runner.errors import ConfigError, UserError
from runner.experiment import Mebibytes, Name, Part, Seconds
from runner.validation import problems


class LocalCluster(Part):
    """A bounded pool of processes on this machine."""

    kind: Literal["local"] = "local"
    max_parallel: int | None = Field(None, ge=1)  # runs at once; null: as many as the cores allow
    cache: str | None = None  # directory of graphs and embeddings; null: RUNNER_CACHE or ~/.cache/runner
    environment: dict[str, str] = {}


class Supervisor(Part):
    """The small job that looks after an experiment (`--supervise`)."""

    partition: Name | None = None  # null: that of the runs
    time: Seconds = 30 * 60
    memory: Mebibytes = 4096


class Preparing(Part):
    """The job that fills the caches before an array starts (`prepare: true`, or with any of these)."""

    partition: Name | None = None  # null: that of the runs
    time: Seconds = 60 * 60
    memory: Mebibytes = 8192
    cpus: int = Field(1, ge=1)
    internet: bool = False  # its partition may fetch data and encoders


def _switch(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class SlurmCluster(Part):
    """A Slurm site."""

    kind: Literal["slurm"]
    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    constraint: str | None = None
    gpus_option: Literal["gpus-per-node", "gres"] = "gpus-per-node"  # how this site asks for GPUs
    sbatch: dict[str, str | int | bool] = {}  # any further sbatch option, without dashes: {mail-type: END}
    setup: list[str] = []  # shell lines before the run: module load …
    environment: dict[str, str] = {}
    requeue: bool = True  # runs may ask Slurm to requeue them
    signal_seconds: int = Field(90, ge=10)  # warning before the time limit, in which a run writes its checkpoint
    max_array_size: int | None = Field(None, ge=1)  # null: as the site says
    max_submit_jobs: int | None = Field(None, ge=1)  # array tasks in the queue at once; null: no limit known
    max_parallel: int | None = Field(None, ge=1)  # array tasks that run at once, where the experiment says nothing
    supervisor: Supervisor = Supervisor()
    prepare: Annotated[Preparing | None, BeforeValidator(_switch)] = None  # null: each run computes what it lacks
    python: str | None = None  # interpreter on the compute nodes; null: the one in use here
    cache: str | None = None  # directory on the shared file system
    scratch: str | None = None  # directory of each node, $TMPDIR too: what is read of the cache is copied there once


Cluster = LocalCluster | SlurmCluster
_KINDS: dict[str, type[LocalCluster] | type[SlurmCluster]] = {"local": LocalCluster, "slurm": SlurmCluster}


def text_of(name: str, beside: Path) -> str:
    """What a submission keeps of its cluster: `local`, or the text of the file."""
    return name if name == "local" else find(name, beside).read_text(encoding="utf-8")


def parse(text: str, path: Path) -> Cluster:
    """The cluster that `text_of` kept; `path` is named in errors."""
    return LocalCluster() if text == "local" else _checked(yaml_source.parse(text, path))


def load(name: str, beside: Path) -> Cluster:
    """The cluster `name`: `local`, or a file, looked for here and then above and beside the experiment file `beside`.

    Raises UserError when there is no such file, ConfigError with all its mistakes.
    """
    if name == "local":
        return LocalCluster()
    return _checked(yaml_source.read(find(name, beside)))


def _checked(source: yaml_source.Source) -> Cluster:
    kind = source.value.get("kind")
    if kind not in _KINDS:
        what = "missing; it must be given" if kind is None else f"found {kind!r}"
        raise ConfigError([source.problem(("kind",), what, allowed="local, slurm")])
    try:
        return _KINDS[kind].model_validate(source.value)
    except ValidationError as error:
        raise ConfigError(problems(_KINDS[kind], error, source.problem)) from None


def find(name: str, beside: Path) -> Path:
    """The cluster file `name`; a relative one is looked for here, then in each folder above the experiment file."""
    given = Path(name).expanduser()
    places = [given, *(folder / given for folder in beside.absolute().parents)]
    for place in places:
        if place.is_file():
            return place
    raise UserError(
        f"cluster file {name!r}: no such file, here or in a folder above {beside}", next_command="runner init"
    )
