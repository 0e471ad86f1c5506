"""The experiment file: its keys, their types and defaults."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from runner.config import quantities
from runner.config.part import Part
from runner.config.search import Search

DIGITS = 3  # of a drawn number
LARGEST_SEED = 2**32 - 1  # NumPy takes no larger one
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def checked_name(name: str) -> str:
    """`name` if it is safe as the name of a directory and in a shell; ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a directory; use letters, digits, '.', '_' and '-', starting with a letter or digit "
            "(at most 100 characters)"
        )
    return name


def _words(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.,:@+=-]*", value):
        raise ValueError(f"found {value!r}; write names as sinfo and sacctmgr show them, several with commas")
    return value


Name = Annotated[str, AfterValidator(checked_name)]
Words = Annotated[str, AfterValidator(_words)]  # names of Slurm's: accounts such as abc@v100, lists of partitions
Seconds = Annotated[
    int,
    BeforeValidator(quantities.seconds),
    WithJsonSchema({"type": ["number", "string"], "examples": ["30m", "1-12:00:00"]}),
]
Mebibytes = Annotated[
    int,
    BeforeValidator(quantities.mebibytes),
    WithJsonSchema({"type": ["number", "string"], "examples": ["16G", "500M"]}),
]
Overrides = dict[str, Any]  # dotted key of params → value; a mapping is merged, unless its `name` selects another kind


def _share(value: Any) -> float:
    text = str(value).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if isinstance(value, bool) or not 0 <= share < 1:
        raise ValueError(f"found {value!r}; write a share below 1, as 5% or 0.05")
    return share


Share = Annotated[
    float, BeforeValidator(_share), WithJsonSchema({"type": ["number", "string"], "examples": ["5%", 0.05]})
]


def validation_metric(name: str | None) -> str | None:
    if name is not None and not name.startswith("val_"):
        raise ValueError(
            f"found {name!r}; variants are ranked by a metric of the validation split (val_…): the test split never "
            "takes part in a choice"
        )
    return name


def _ascending(band: tuple[float, float]) -> tuple[float, float]:
    if band[0] >= band[1]:
        raise ValueError(f"found {list(band)}; write the lower border first, as [3, 10]")
    return band


class Draw(Part):
    """How the values of a random axis are drawn; one of the four."""

    uniform: tuple[float, float] | None = None  # between two numbers
    log_uniform: tuple[float, float] | None = None  # the same for their logarithms
    integer: tuple[int, int] | None = None  # whole numbers, both ends included
    choice: list[Any] | None = Field(None, min_length=1)  # one of these
    when: Overrides | None = None  # dotted key → value that the point or `params` must have; else the axis is left out

    @model_validator(mode="after")
    def _one_kind(self) -> Draw:
        kinds = [name for name in type(self).model_fields if name != "when"]
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'nothing'}; write one of {', '.join(kinds)}")
        if given[0] != "choice":
            low, high = getattr(self, given[0])
            if low >= high or (given[0] == "log_uniform" and low <= 0):
                least = "two positive numbers" if given[0] == "log_uniform" else "two numbers"
                raise ValueError(f"found {given[0]} {[low, high]}; write {least}, the smaller one first")
        return self

    def rounded(self, value: float) -> float:
        """A number between the borders with few digits: enough for a search, and short in names."""
        low, high = self.log_uniform or self.uniform or (-math.inf, math.inf)
        return min(max(float(f"{value:.{DIGITS}g}"), low), high)


class Random(Part):
    """Axes whose values are drawn together: `count` points, the same for the same seed. A larger count adds points."""

    count: int = Field(0, ge=1, le=100_000)  # points; must be given unless search.propose says how many
    seed: int = Field(0, ge=0)  # another one draws other points
    axes: dict[str, Draw] = Field(min_length=1)  # dotted key → how its values are drawn


class Matrix(Part):
    """The varied parameters. Order: axes × zip × random, then exclude, include, named; each once per seed."""

    axes: dict[str, list[Any]] = {}  # dotted key → values
    zip: list[dict[str, list[Any]]] = []  # groups of axes that advance together
    random: Random | None = None  # axes whose values are drawn
    exclude: list[Overrides] = []  # points that match all keys of one entry are removed
    include: list[Overrides] = []  # whole points added
    named: dict[Name, Overrides] = {}  # hand-picked points: name → overrides
    seeds: list[Annotated[int, Field(ge=0, le=LARGEST_SEED)]] = Field([0], min_length=1)  # each variant once per seed


class Resources(Part):
    """What one run needs, the same on every cluster; a Slurm array task asks for `array.side_by_side` times that."""

    gpus: int = Field(0, ge=0)  # of one node
    cpus: int = Field(1, ge=1, le=1024)  # also the threads of each run, so that results do not depend on the allocation
    memory: Mebibytes | None = None  # 16G, 500M; a bare number counts MiB
    time: Seconds | None = None  # 30m, 1.5h, 1-12:00:00; a bare number counts minutes, as in Slurm
    partition: Words | None = None  # overrides the cluster file's
    nodes: int = Field(1, ge=1)  # of a command that starts its processes by srun; gpus, memory: of each node
    tasks_per_node: int = Field(1, ge=1)  # how many that srun starts on each node; cpus: of each

    @property
    def processes(self) -> int:
        """How many an srun inside a run starts."""
        return self.nodes * self.tasks_per_node

    @classmethod
    def of_job(cls, seconds: int, **others: Any) -> Resources:
        """Of a job of ours: `time` itself takes a bare number for minutes, as a file means it."""
        return cls.model_validate({"time": f"{seconds}s", **others})


class Array(Part):
    """How runs are packed into array tasks."""

    max_parallel: int | None = Field(None, ge=1)  # array tasks that run at once
    side_by_side: int = Field(1, ge=1)  # runs at once in one array task, each with its own cores, memory and GPUs
    in_turn: int = Field(1, ge=1)  # runs that each of them is followed by, itself included; each ends at its own `time`
    share_gpu: bool = False  # all runs of an array task compute on one GPU

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, value: Any) -> Any:
        """`runs_per_task: 4` of version 0.1 means `{side_by_side: 4, share_gpu: true}`."""
        if not isinstance(value, dict) or "runs_per_task" not in value:
            return value
        if "side_by_side" in value:
            raise ValueError("found side_by_side and its older name runs_per_task; write side_by_side alone")
        rest = {key: item for key, item in value.items() if key != "runs_per_task"}
        return {"share_gpu": True, **rest, "side_by_side": value["runs_per_task"]}

    def of_task(self, run: Resources, runs: int) -> Resources:
        """What Slurm is asked for an array task of `runs` runs that need `run` each."""
        beside = min(self.side_by_side, runs)
        changes = {"gpus": run.gpus if self.share_gpu else beside * run.gpus, "cpus": beside * run.cpus}
        changes |= {"memory": beside * run.memory} if run.memory else {}
        changes |= {"time": -(-runs // beside) * run.time} if run.time else {}
        return run.model_copy(update=changes)


class MemoryRaise(Part):
    memory: float = Field(1.5, ge=1)  # factor for the next attempt


class MicroBatchRaise(Part):
    micro_batch: float = Field(0.5, gt=0, le=1)  # factor for the next attempt


class TimeRaise(Part):
    time: float = Field(1.5, ge=1)  # factor for the next attempt


class Retry(Part):
    """What is done about failures that may pass."""

    max_attempts: int = Field(3, ge=1)  # starts of one run, the first included
    out_of_memory: MemoryRaise = MemoryRaise()  # what the next attempt gets more of
    gpu_out_of_memory: MicroBatchRaise = MicroBatchRaise()  # smaller pieces of the same batch
    timeout: TimeRaise = TimeRaise()  # what the next attempt gets more of


class Select(Part):
    """What ranks the variants."""

    metric: Annotated[str | None, AfterValidator(validation_metric)] = None  # val_…; null: what the task follows
    mode: Literal["min", "max"] | None = None  # which end of it is the good one; null: as the task says
    within: Share = 0.05  # share of the best that counts as equal; 5% works too
    ratio: Annotated[tuple[float, float], AfterValidator(_ascending)] = (3.0, 10.0)  # healthy band of the fusion ratio


class TargetMae(Part):
    """The error that the user hopes for; shown, never used for choosing."""

    good: float = Field(gt=0)  # in the target's unit
    acceptable: float = Field(gt=0)  # in the target's unit


class Next(Part):
    """The next stage of a funnel."""

    config: str  # experiment file of the next stage, its template
    top: int = Field(3, ge=1)  # how many variants go on


class Keep(Part):
    """What stays of a run when it is done."""

    checkpoints: Literal["all", "best", "none"] = "all"  # best: last.pt is removed when a run is done; none: all


class Notify(Part):
    """Who hears, once, that everything has ended; with --supervise."""

    mail: bool = False  # Slurm writes an e-mail to whoever submitted
    command: list[str] | None = Field(None, min_length=1)  # words of a program, which gets the summary on stdin


class Experiment(Part):
    """One experiment file."""

    experiment: Name  # names the directory runs/<experiment>
    extends: str | None = None  # a file that is merged below this one, key by key
    description: str = ""  # the question, for the reader of the report
    task: str = "crystal"  # a task of ours, or package.module:Class
    params: dict[str, Any] = {}  # what every run shares; checked against the task's schema
    matrix: Matrix = Matrix()
    search: Search | None = None  # which runs go on; null: all of the matrix, in full
    baseline: str | Overrides | None = None  # a variant's name, or keys that match exactly one variant
    cluster: str = "local"  # local, or a cluster file
    resources: Resources = Resources()
    array: Array = Array()
    retry: Retry = Retry()
    stop_after_same_error: int | None = Field(3, ge=1)  # circuit breaker; null: none
    interpreter: list[str] | None = Field(None, min_length=1)  # starts a run: [apptainer, exec, --nv, x.sif, python]
    select: Select = Select()
    health: dict[str, bool | float] = {}  # thresholds that replace the defaults
    target_mae: TargetMae | None = None
    keep: Keep = Keep()
    notify: Notify = Notify()
    next: Next | None = None
    adopt: dict[str, Any] | None = None  # finished runs of another program, which `runner adopt` reads; no matrix then
    promoted: dict[Name, dict[str, Any]] = {}  # variant → where it came from; written by `runner promote`
