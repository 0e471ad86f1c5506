"""The command task: any program as a run. Free of torch."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from jobs.reading.schema import inside
from jobs.task import Outcome, Preparation
from jobs.tasks.command.schema import CommandParams
from jobs.tasks.command.scripts import copies, script_of
from runner.config.ranking import Reported
from runner.config.template import fill, flat, names_in, words_of
from runner.errors import Problem, nearest

if TYPE_CHECKING:
    from jobs.context import RunContext

OURS = ("config_dir", "here", "out", "python", "run_dir", "run_id", "seed", "threads", "values_file")
_STAND_INS = dict.fromkeys(OURS, "/") | {"run_id": "run", "seed": 0, "threads": 1}  # folders end no path in {out}


OF_CHECKPOINT = ("checkpoint", "checkpoint_epoch")  # in `resume` alone
_OF_A_RUN = "\0"  # no path has it
_SCRIPT_PLACES = "a path from where the command is started ({here}, or `directory`), or {config_dir}/SCRIPT"


class CommandTask:
    """Starts a command, follows its metrics, and passes on what stops it."""

    Params: ClassVar[type[CommandParams]] = CommandParams
    seed_key: ClassVar[str] = "values.seed"

    def reported(self, params: CommandParams) -> Reported:
        """The followed metric with its mode; all names, where `names` or the groups of `pattern` list them."""
        metrics = params.command.metrics
        return Reported(metrics.follow, ((metrics.follow, metrics.mode),), metrics.known_metrics)

    def check(self, params: Mapping[str, Any]) -> list[Problem]:
        """Names that do not exist, and values that no template uses: their runs would all be the same."""
        whole = CommandParams.model_validate(params)
        known = {*OURS, *flat(whole.values)}
        used: Counter[str] = Counter()
        problems = []
        for key, template in templates(whole):
            try:
                names = names_in(template)
            except ValueError as error:
                problems.append(Problem(str(error), key=key))
                continue
            used.update(names)
            allowed = known | set(OF_CHECKPOINT) if key == "command.resume" else known
            for name in dict.fromkeys(names):
                if name not in allowed:
                    what, listed = f"names {{{name}}}, which is no value", ", ".join(sorted(allowed))
                    problems.append(Problem(what, key=key, allowed=listed, nearest=nearest(name, allowed)))
        problems += [
            Problem("is a name of ours", key=f"values.{name}")
            for name in (*OURS, *OF_CHECKPOINT)
            if name in whole.values and name != "seed"
        ]
        problems = problems or _misplaced(whole)
        return problems if problems or "values_file" in used else _unused(whole.values, used)

    def prepare(
        self, params: Sequence[CommandParams], cache_root: Path, log: Callable[[str], None]
    ) -> list[Preparation]:
        """Whether the programs are on this machine; one that only compute nodes have is no mistake."""
        words = [words_of(one.command.run) for one in params]
        programs = {line[0] for line in words if line and not names_in(line[0])}
        return [
            Preparation(f"program {name}", True, shutil.which(name) or "not here; compute nodes may have it")
            for name in sorted(programs)
        ]

    def own_code(
        self, params: Sequence[CommandParams], start_folder: Path, config_dir: Path
    ) -> tuple[dict[str, Path], list[Problem]]:
        """Copies of the scripts that are started, as name → file, and scripts that are missing.

        here, config_dir: what the names stand for. A script in a folder of the run itself is not looked for.
        """
        known = _STAND_INS | {"here": str(start_folder), "config_dir": str(config_dir), "python": "python"}
        known |= dict.fromkeys(("out", "run_dir", *OF_CHECKPOINT), _OF_A_RUN)
        scripts: dict[Path, str] = {}
        for one in params:
            values = known | flat(one.values)
            directory = start_folder / fill(one.command.directory, values)
            for key, line in (("run", one.command.run), ("resume", one.command.resume)):
                if line is not None and not one.command.shell:
                    script = script_of([fill(word, values) for word in words_of(line)], directory)
                    if script is not None and _OF_A_RUN not in str(script.path):
                        scripts.setdefault(script.path, key)
        missing = [
            Problem(f"no file {path.name!r} in {path.parent}", key=f"command.{key}", allowed=_SCRIPT_PLACES)
            for path, key in scripts.items()
            if not path.is_file()
        ]
        present = [path for path in scripts if path.is_file()]
        return {name: path for script in present for name, path in copies(script).items()}, missing

    def run(self, params: CommandParams, context: RunContext) -> Outcome:
        """Run the command to its end; the best epoch is the one with the best followed metric."""
        from jobs.tasks.command.session import Session

        return Session(params, context).run()


def templates(params: CommandParams) -> Iterator[tuple[str, Any]]:
    """Every template of `params` with its key."""
    command = params.command
    for key in ("run", "resume", "directory", "environment", "files"):
        if (template := getattr(command, key)) is not None:
            yield f"command.{key}", template
    yield from _paths(params)
    if isinstance(command.metrics.epochs, str):
        yield "command.metrics.epochs", command.metrics.epochs


def _paths(params: CommandParams) -> Iterator[tuple[str, str]]:
    """Every path in {out}, a template too, with its key."""
    command = params.command
    yield from (("command.files", name) for name in command.files)
    metrics, predictions = command.metrics, command.predictions
    places = [("checkpoint", command.checkpoint), ("metrics.file", metrics.file)]
    places += [(f"metrics.sources.{at}.file", source.file) for at, source in enumerate(metrics.sources)]
    places += [("metrics.fusion.file", metrics.fusion.file)] if metrics.fusion else []
    places += [("predictions.val", predictions.val), ("predictions.test", predictions.test)] if predictions else []
    yield from ((f"command.{key}", path) for key, path in places if path is not None)


def _misplaced(params: CommandParams) -> list[Problem]:
    """Paths that the values lead out of the folder of the command."""
    problems = []
    for key, template in _paths(params):
        try:
            inside(fill(template, _STAND_INS | flat(params.values)))
        except ValueError as error:
            problems.append(Problem(str(error), key=key))
    return problems


def _unused(values: Mapping[str, Any], used: Mapping[str, int]) -> list[Problem]:
    """Values in which no template shows any interest. The seed 0 is the default of an experiment that has none."""
    what = "is used by nothing in `command`, so it cannot change the run"
    related = [
        name
        for name in flat(values)
        if any(f"{name}.".startswith(f"{other}.") or other.startswith(f"{name}.") for other in used)
    ]
    return [
        Problem(what, f"values.{name}", allowed=f"{{{name}}} in run, files or environment, or {{values_file}}")
        for name, value in flat(values).items()
        if name not in related and not (name == "seed" and value == 0)
    ]
