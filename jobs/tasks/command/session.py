"""One attempt of a command: made ready, started, followed, stopped, judged."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure, Stopped
from jobs.launch import CODE_ROOT
from jobs.reading.history import Reading
from jobs.reading.predictions import read_predictions
from jobs.task import Outcome
from jobs.tasks.command.checkpoints import epoch_of, half_written, newest_checkpoint
from jobs.tasks.command.epochs import Epochs
from jobs.tasks.command.process import Command, failure_of, status_text
from jobs.tasks.command.schema import CommandParams
from jobs.tasks.command.scripts import Start, pinned
from runner.config.template import fill, fill_all, flat, words_of
from runner.errors import UserError
from runner.files import write_json, write_text

_POLL_S = 0.2
_SAME_SIGNAL_S = 0.5
_CLEAN_END_S = 0.05  # of one that ends with 0 after its checkpoint: that took it longer than the signal to reach us
_WRITE_S = 10.0  # for the checkpoint that the command is writing when it is to stop
_ORPHAN_S = 240.0  # for the checkpoint of a command whose parent is gone; this process itself is ended after 300


class Session:
    """The state of one attempt."""

    def __init__(self, params: CommandParams, context: RunContext) -> None:
        self.command, self.context = params.command, context
        self.run_dir = context.directory
        self.out = context.directory.output.absolute()
        write_json(self.run_dir.values, params.values)
        self.values = names_of(params, context)
        self.reading = Reading(params.command.metrics, self.out, self.values)
        self.epochs = Epochs(self.reading, context)

    def run(self) -> Outcome:
        checkpoint = self._checkpoint()
        for path in self._half_written():
            self.context.warn(f"{path.relative_to(self.out)} is half-written; the command was killed meanwhile")
        self._make_ready(checkpoint)
        template = self.command.run
        if checkpoint is not None and self.command.resume is not None:
            template = self.command.resume
            self.values |= {"checkpoint": str(checkpoint), "checkpoint_epoch": epoch_of(checkpoint) or 0}
        directory = Path(fill(self.command.directory, self.values))
        start = pinned(self._words(template), directory.absolute(), self.run_dir)
        self.context.say(f"{'starting' if checkpoint is None else 'resuming'}: {shlex.join(start.words)}")
        process = self._start(start, directory)
        try:
            self._see_to_its_end(process)
            write_json(self.run_dir.ended, {"words": start.words, "notes": start.notes})
            predictions = read_predictions(self.out, self.command.predictions, self.values)
            return self.epochs.outcome(start.words, start.notes, predictions)
        except RunFailure as error:
            error.output = process.last_words()
            raise

    def _see_to_its_end(self, process: Command) -> None:
        """Returns where the command has ended well."""
        try:
            status = self._follow(process)
        finally:
            process.send(signal.SIGKILL)
            process.wait(_POLL_S)
        self._await_reason(_SAME_SIGNAL_S if status else _CLEAN_END_S)
        if self.context.stop_reason is not None:
            raise Stopped(self.context.stop_reason, self._checkpoint() is not None)
        if status == -signal.SIGKILL:
            self.context.say("the command was killed (SIGKILL); ending alike: the parent knows the memory")
            os.kill(os.getpid(), signal.SIGKILL)
        if status:
            raise failure_of(status, process.last, self.command.exit_codes)

    def _make_ready(self, checkpoint: Path | None) -> None:
        """A run that begins again finds its folder empty; one that resumes finds what it left."""
        self.run_dir.ended.unlink(missing_ok=True)
        if checkpoint is None:
            shutil.rmtree(self.out, ignore_errors=True)
        self.epochs.begin(checkpoint is not None, None if checkpoint is None else epoch_of(checkpoint))
        for name, content in self.command.files.items():
            filled = fill_all(content, self.values)
            path = self.out / fill(name, self.values)
            write_text(path, filled) if isinstance(filled, str) else write_json(path, filled)
        self.out.mkdir(exist_ok=True)

    def _words(self, template: str | list[str]) -> list[str]:
        if self.command.shell and isinstance(template, str):
            return ["bash", "-c", fill(template, self.values, shlex.quote)]
        return [fill(word, self.values) for word in words_of(template)]

    def _start(self, start: Start, directory: Path) -> Command:
        own = {name: fill(text, self.values) for name, text in self.command.environment.items()}
        places = filter(None, (own.get("PYTHONPATH", _users_python_path()), start.folder))
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **own, "PYTHONPATH": os.pathsep.join(places)}
        planned = self.command.metrics.epochs
        epochs = fill_all(planned, self.values) if isinstance(planned, str) else planned
        self.context.plan(epochs, self.command.metrics.follow)
        try:
            return Command(start.words, directory, environment)
        except OSError as error:
            raise UserError(f"the command cannot be started in {directory}: {error}") from error

    def _follow(self, process: Command) -> int:
        """Until the command has ended; its exit status."""
        moved = time.monotonic()
        status = None
        while status is None:
            status = process.wait(_POLL_S)
            self.reading.add_output(process.lines())
            if self.epochs.record_new(ended=status is not None):
                moved = time.monotonic()
            if status is None and self.context.stop_reason is not None:
                self._stop(process)
            silent = time.monotonic() - max(moved, process.heard)
            if status is None and self.command.silent_for is not None and silent > self.command.silent_for:
                what = f"the command hangs: no output and no metrics for {silent:.0f} s (command.silent_for); killed"
                raise RunFailure(Kind.EXCEPTION, what)
        return status

    def _stop(self, process: Command) -> None:
        """Let the command write its checkpoint; the parent ends us all when that takes too long."""
        reason = self.context.stop_reason
        assert reason is not None
        self.context.say(f"asked to stop ({reason}): SIG{self.command.stop_signal} to the command")
        self._pause(process)
        process.send(getattr(signal, f"SIG{self.command.stop_signal}"))
        process.send(signal.SIGCONT)
        status = process.wait(_ORPHAN_S if reason == "parent_gone" else 1e6)
        self.reading.add_output(process.lines())
        self.epochs.record_new(ended=True)
        self.context.say(f"the command ended with {status_text(status)}")
        raise Stopped(reason, self._checkpoint() is not None)

    def _pause(self, process: Command) -> None:
        """Hold the command where none of its checkpoints is half-written: most programs end at once on a signal."""
        process.send(signal.SIGSTOP)
        end = time.monotonic() + _WRITE_S
        while self._half_written() and time.monotonic() < end:
            process.send(signal.SIGCONT)
            time.sleep(0.05)
            process.send(signal.SIGSTOP)

    def _checkpoint(self) -> Path | None:
        name = self.command.checkpoint
        return None if name is None else newest_checkpoint(self.out, name, self.values)

    def _half_written(self) -> list[Path]:
        name = self.command.checkpoint
        return [] if name is None else half_written(self.out, name, self.values)

    def _await_reason(self, seconds: float) -> None:
        """Slurm signals the command as well as us and the parent: that it was stopped is known a moment later."""
        end = time.monotonic() + seconds
        while self.context.stop_reason is None and time.monotonic() < end:
            time.sleep(_CLEAN_END_S / 2)


def names_of(params: CommandParams, context: RunContext) -> dict[str, Any]:
    """What the names in templates stand for in a run."""
    run = context.directory
    ours = {
        "config_dir": str(context.config_dir or Path.cwd()), "here": str(Path.cwd()), "out": str(run.output.absolute()),
        "python": sys.executable, "run_dir": str(run.path.absolute()), "run_id": context.run_id, "seed": context.seed,
        "threads": context.threads, "values_file": str(run.values.absolute()),
    }  # fmt: skip
    return ours | flat(params.values)  # which may hold `seed`, and no other name of ours


def _users_python_path() -> str:
    """PYTHONPATH without our code, which common names such as `models` would take from the user's program."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if entry and Path(entry).resolve() != CODE_ROOT)
