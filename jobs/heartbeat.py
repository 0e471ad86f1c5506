"""heartbeat.json: the sign of life of a running attempt."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jobs.log import say
from jobs.node.memory import peak_bytes
from runner.files import write_json
from runner.rundir.layout import RunDir
from runner.rundir.processes import HEARTBEAT_SECONDS, Heartbeat


def interval_from_environment() -> float:
    """Seconds between two heartbeats: RUNNER_HEARTBEAT_S, else 30."""
    return float(os.environ.get("RUNNER_HEARTBEAT_S", HEARTBEAT_SECONDS))


class HeartbeatThread:
    """Replaces heartbeat.json every `interval` seconds from a thread of its own, and whenever `beat` is called.

    facts: what stays the same (job_id, array_task_id, attempt, memory_limit_bytes).
    check: called before each beat; leaves the process when the run directory is no longer ours.
    """

    def __init__(
        self, directory: RunDir, facts: dict[str, Any], interval: float, check: Callable[[], None] = lambda: None
    ) -> None:
        self._directory = directory
        self._check = check
        self._interval = interval
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._last = Heartbeat.this(parent_pid=os.getppid(), interval=interval, **facts)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self.beat()
        self._thread.start()

    def beat(self, **progress: Any) -> None:
        """Write now. progress: epoch, epochs, metric, value, health; kept for the beats that follow."""
        with self._lock:
            self._check()
            known = replace(self._last, time=time.time(), ended=self._ended.is_set())
            self._last = replace(known, peak_memory_bytes=peak_bytes(), **progress)
            write_json(self._directory.heartbeat, vars(self._last))

    def end(self) -> None:
        """Write the last one."""
        self._ended.set()
        self._thread.join()
        self._try_to_beat()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self._try_to_beat()

    def _try_to_beat(self) -> None:
        try:
            self.beat()
        except OSError as error:  # a full disk must not end the run, nor hide why it ended: the next beat may succeed
            say(f"heartbeat not written: {error}")
