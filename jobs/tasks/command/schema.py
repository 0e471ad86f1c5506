"""The parameters of the command task. Free of torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from jobs.reading.schema import NO_RESULT, Inside, MetricsParams, PredictionsParams
from jobs.section import Section, misfit
from runner.config.experiment import Seconds
from runner.config.template import words_of
from runner.rundir.failures import CommandKind


class CommandSection(Section):
    """The program and how it is treated. `{name}` is a value of `values`, or one of ours such as {out}."""

    run: str | list[str]  # a list is passed as it is; text is split at blanks, without a shell
    resume: str | list[str] | None = None  # instead of `run` where `checkpoint` exists; null: begin again
    checkpoint: Inside | None = None  # in {out}, what a resumed command needs; of a pattern (ckpt_*.pt) the newest
    shell: bool = False  # true: `run` and `resume` are text for bash; values are quoted
    directory: str = "{here}"  # where it is started; {here}: where `runner submit` was
    environment: dict[str, str] = {}  # variables beside those that the run has
    files: dict[Inside, Any] = {}  # written into {out} before it starts: text, or JSON where it is no text
    metrics: MetricsParams = Field(json_schema_extra=NO_RESULT)  # how its metrics and fusion weights are read
    predictions: PredictionsParams | None = Field(None, json_schema_extra=NO_RESULT)  # tables that it leaves in {out}
    exit_codes: dict[CommandKind, int | list[int]] = {}  # kind of failure → exit status; any other is `exception`
    stop_signal: Literal["TERM", "INT", "USR1", "USR2"] = Field(
        "TERM", json_schema_extra=NO_RESULT
    )  # what the command gets when the run has to stop
    silent_for: Seconds | None = Field(None, json_schema_extra=NO_RESULT)  # s without a word: it hangs and is killed

    @model_validator(mode="after")
    def _parts_fit(self) -> CommandSection:
        if (self.resume is None) != (self.checkpoint is None):
            missing = "checkpoint" if self.checkpoint is None else "resume"
            raise misfit(missing, "missing; `resume` and `checkpoint` go together", "both or none")
        for key in ("run", "resume"):
            line = getattr(self, key)
            if self.shell and isinstance(line, list):
                raise misfit(key, "found a list; a shell takes one text", "text, or shell: false")
            if line is not None and not self._program(key, line):
                raise misfit(key, f"found {line!r}, which names no program", "a program and its arguments")
        return self

    def _program(self, key: str, line: str | list[str]) -> str:
        """The first word, or the whole text for a shell; empty where none is named."""
        if self.shell:
            return str(line).strip()
        try:
            return next(iter(words_of(line)), "").strip()
        except ValueError as error:
            raise misfit(key, f"found {line!r}: {error}", "text with closed quotes, or a list of words") from None


class CommandParams(Section):
    """Everything a run of the command task is made from."""

    command: CommandSection
    values: dict[str, Any] = {}  # what the templates name; axes are values.NAME, the seed is values.seed
