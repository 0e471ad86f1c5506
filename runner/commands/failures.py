"""`runner failures`: why each failed run failed, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from runner.commands.logs import attempt_logs, log_of_the_start
from runner.commands.status import Status
from runner.files import read_mapping
from runner.layout import ExperimentDir, RunDir
from runner.manifest import PlannedRun
from runner.retry import RETRIED
from runner.states import RunState

LOG_LINES = 8
_ADVICE = {
    "out_of_memory": "ask for more memory: resources.memory",
    "gpu_out_of_memory": "smaller batches, or a larger GPU",
    "timeout": "more time: resources.time; it goes on from its checkpoint, where it has one",
    "diverged": "a smaller learning rate",
    "bad_config": "correct the experiment file and submit it again",
    "data_missing": "put back what is missing, or `runner prepare` where there is internet",
    "exception": "read its last lines above; the whole output is in its log",
}
_OWN_KEYS = {  # of the tasks that have them
    "gpu_out_of_memory": "a smaller train.batch_size or train.micro_batch, or a larger GPU",
    "diverged": "a smaller train.learning_rate, or train.gradient_clip: 1.0",
}
_WITH_OWN_KEYS = ("crystal", "sentiment")


def blocks(status: Status) -> Iterator[str]:
    """One block of lines for each run that failed, was lost or was cancelled."""
    for run, state in status.rows:
        if state.state in ("failed", "lost", "cancelled"):
            yield "\n".join(_lines(status, run, state))


def _lines(status: Status, run: PlannedRun, state: RunState) -> list[str]:
    name, target = status.manifest.experiment, status.directory.run(run.run_id)
    failure = read_mapping(target.failure)
    tries = f"attempt {state.attempt}" if state.attempt else "never started"
    lines = [
        f"{run.run_id}: {state.state} ({state.kind}), {tries}",
        f"  {state.message or ''}".rstrip(),
    ]
    if run.axes:
        lines.append(f"  {run.variant}, seed {run.seed}")
    lines += [f"  | {line}" for line in _tail(status.directory, target, failure)]
    if advice := _advice(status.manifest.task, state.kind or ""):
        lines.append(f"  advice: {advice}")
    why = _held_back(status, state)
    if why:
        lines.append(f"  not sent again by itself: {why}")
    force = " --force" if why or state.kind not in RETRIED else ""
    kind = f" --kind {state.kind}" if state.kind else ""
    lines.append(f"  next: runner logs {name} {run.run_id}, runner resubmit {name}{kind}{force}")
    return lines


def _advice(task: str, kind: str) -> str | None:
    """What to do about a failure; keys are named where the task has them."""
    own = _OWN_KEYS.get(kind) if task in _WITH_OWN_KEYS else None
    return own or _ADVICE.get(kind)


def _held_back(status: Status, state: RunState) -> str | None:
    """Why a kind of failure that the policy retries is not retried here."""
    most = status.manifest.content["retry"].get("max_attempts")
    if state.kind not in RETRIED:
        return None
    if isinstance(most, int) and state.attempt >= most:
        return f"all {most} attempts are used (retry.max_attempts)"
    if state.kind == "gpu_out_of_memory" and status.manifest.task == "command":
        return "a command cannot be told to work in smaller pieces"
    return None


def _tail(directory: ExperimentDir, run: RunDir, failure: dict[str, object]) -> list[str]:
    """The last lines of the traceback, else of the log, else of what should have started the run."""
    if text := str(failure.get("traceback") or ""):
        return text.rstrip().splitlines()[-LOG_LINES:]
    logs = attempt_logs(run)
    last = logs[max(logs)] if logs else log_of_the_start(directory, run.run_id)
    if last is None:
        return []
    try:
        return last.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError as error:
        return [f"{last.name} cannot be read: {error.strerror}"]
