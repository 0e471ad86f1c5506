"""A task without torch that trains nothing: it counts epochs and does the mischief its parameters ask for."""

from __future__ import annotations

import atexit
import functools
import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure, Stopped
from jobs.patience import patiently
from jobs.task import Outcome, Preparation
from runner.files import read_json, write_text


class TrainParams(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    epochs: int = 3
    epoch_seconds: float = 0.0
    micro_batch: int = 8  # pieces of a batch; `gpu_memory` has room for four


class TinyParams(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    train: TrainParams = TrainParams()
    mischief: str | None = None  # one of those below; not_finite; wait: until asked to stop
    at_epoch: int = 1  # in which the mischief is done
    first_attempts: int = 1000  # mischief only in attempts up to this one
    preparation: str | None = None  # missing, or kill: that of all runs is ended so
    allocate_mib: int = 0
    lingers: bool = False  # does not come to its end after it has stopped
    deaf: bool = False  # never looks at stop_reason
    checkpoint_seconds: float = 0.0  # how long writing a checkpoint takes when asked to stop
    checkpoint_kib: int = 0  # how much a checkpoint is larger than it must be
    metrics_kib: int = 0  # how much a line of metrics is longer than it must be


class TinyTask:
    """Its metric after n epochs is a sum of n random numbers: a resumed run gives it bit for bit, or has lost one."""

    Params = TinyParams
    seed_key = "train.seed"

    def shrink(self, params: Mapping[str, Any], factor: float) -> dict[str, Any]:
        return {"train.micro_batch": int(TinyParams.model_validate(params).train.micro_batch * factor)}

    def prepare(self, params: Sequence[TinyParams], cache_root: Path, log: Callable[[str], None]) -> list[Preparation]:
        if any(its.preparation == "kill" for its in params):
            os.kill(os.getpid(), signal.SIGKILL)
        missing = any(its.preparation == "missing" for its in params)
        return [Preparation("nothing", ready=not missing, detail="it was told to be missing" if missing else "")]

    def run(self, params: TinyParams, context: RunContext) -> Outcome:
        checkpoint = read_json(context.directory.last_checkpoint) or {"epoch": 0, "total": 0.0}
        epoch, total = checkpoint["epoch"], checkpoint["total"]
        context.plan(params.train.epochs, "val_loss")
        seen = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "cores": sorted(os.sched_getaffinity(0))}
        write_text(context.directory.path / "seen.json", json.dumps({**seen, "began": time.time()}))
        context.rewind(epoch)
        context.say(f"starts after epoch {epoch}")
        while epoch < params.train.epochs:
            self._wait(params, context, epoch + 1)
            if context.stop_reason is not None and not params.deaf:
                time.sleep(params.checkpoint_seconds)
                context.say(f"stops after epoch {epoch}")
                if params.lingers:
                    atexit.register(linger)
                raise Stopped(context.stop_reason)
            epoch += 1
            total += random.Random(f"{params.train.seed}/{epoch}").random()
            if params.mischief and epoch == params.at_epoch and context.attempt <= params.first_attempts:
                mischief(params)
            long = {"padding": "x" * (params.metrics_kib << 10)} if params.metrics_kib else {}
            context.record({"epoch": epoch, "train_loss": 1 / epoch, "val_loss": total, **long})
            context.record_fusion(epoch, {"2": {"w_graph": 0.5, "ratio": 3.0}})
            state = {"epoch": epoch, "total": total, "padding": "x" * (params.checkpoint_kib << 10)}
            text = json.dumps(state)
            patiently(functools.partial(write_text, context.directory.last_checkpoint, text))
        write_text(context.directory.best_checkpoint, json.dumps({"epoch": epoch, "total": total}))
        loss = float("nan") if params.mischief == "not_finite" else total
        return Outcome({"val_loss": loss}, best_epoch=epoch, epochs=epoch, parameters=1)

    def _wait(self, params: TinyParams, context: RunContext, epoch: int) -> None:
        endless = params.mischief == "wait" and epoch == params.at_epoch and context.attempt <= params.first_attempts
        until = time.monotonic() + (1e9 if endless else params.train.epoch_seconds)
        while time.monotonic() < until and (params.deaf or context.stop_reason is None):
            time.sleep(0.01)


def linger() -> None:
    print("lingers", flush=True)
    time.sleep(600)


def mischief(params: TinyParams) -> None:
    if params.mischief == "raise":
        raise ValueError("the task was told to raise")
    if params.mischief == "nan":
        raise RunFailure(Kind.DIVERGED, "the loss is not finite")
    if params.mischief == "data":
        raise RunFailure(Kind.DATA_MISSING, "the task was told that its data are bad")
    if params.mischief == "gpu_memory" and params.train.micro_batch > 4:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")  # the words of torch
    if params.mischief == "memory":  # needs three quarters for a while, then all of it, and goes on where it gets it
        needed = [b"x" * (params.allocate_mib * 3 // 4 << 20)]
        time.sleep(4)
        needed.append(b"x" * (params.allocate_mib // 4 << 20))
        time.sleep(3)
        needed.clear()
    if params.mischief == "allocate":
        hoard = bytearray(os.urandom(1)) * (params.allocate_mib << 20)
        time.sleep(0.2)
        print(f"allocated {len(hoard) >> 20} MiB", flush=True)
    if params.mischief == "hoard":  # close to the limit for a while, then beyond it for ever
        hoards = [b"x" * (params.allocate_mib << 20)]
        time.sleep(4)
        hoards.append(b"x" * (params.allocate_mib << 20))
        time.sleep(600)
    if params.mischief in ("kill", "allocate"):
        os.kill(os.getpid(), signal.SIGKILL)
    if params.mischief == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if params.mischief == "exit":
        os._exit(3)
