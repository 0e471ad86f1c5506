"""Damages experiment directories at random, reproducibly, and asks every reader about them. Used by tests."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

import analysis.cli
import hostile_content
import runner.cli
from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.rundir.layout import ExperimentDir

LONGEST_S = 30  # of one command; it takes a tenth of a second
LARGE = 1 << 30  # bytes
DEEP = "[" * 50_000
ODD: list[Any] = [
    None, True, -1, 0, 3, 10**400, 1e308, float("nan"), float("inf"), -float("inf"), 2**63, "", "x", "\u0000", "é日\n|",
    "../../outside", "[red]", "9" * 400, [], [1], [[]], {}, {"a": 1}, {"": {"": []}},
]  # fmt: skip
FILE = {
    "experiment": "stage1",
    "task": "crystal",
    "params": {"data": {"dataset": "mp6k", "target": "formation_energy_peratom"}},
    "matrix": {"axes": {"train.learning_rate": [1e-3, 2e-3, 5e-3]}, "seeds": [0, 1]},
}
RUNS = (":1", "3@0", "2@0", "2,3@1", "late@1")
LINES = (b"\x00\xff\xfe", b"null", b"[1, 2]", b"3", b'"x"', b"{", b"{}", b",,,", b"NaN", DEEP.encode())


def experiment(root: Path) -> Path:
    """An experiment with runs in every state and every file that runs have."""
    late = PlannedVariant(
        "late", 0.11, layers=(), weights=None, late="gated", axes={"model.late_fusion.name": "gated"},
    )  # fmt: skip
    diagnostics = {"norm_ratio": 5.0, "cosine": 0.1, "relative_change": 0.2, "gate_histogram": [12] * 20}
    variants = [
        PlannedVariant("2", 0.1, diagnostics=diagnostics, layer_values={"text_scale": 12.0, "gate_mean": 0.5}),
        PlannedVariant("2,3", 0.097, layers=(2, 3), states={0: "failed", 1: "running"}),
        PlannedVariant("3", 0.3, layers=(3,), states={0: "lost", 1: "new"}),
        late,
    ]
    variants = [
        replace(
            its, axes={**(its.axes or {"model.middle_fusion.layers": list(its.layers)}), "train.learning_rate": rate}
        )
        for its, rate in zip(variants, (1e-3, 2e-3, 5e-3, 1e-3), strict=True)
    ]
    more = {
        "baseline": "2",
        "health": {"cosine_poor": 0.2},
        "target_mae": {"good": 0.1, "acceptable": 0.2},
        "next": {"config": "configs/stage2.yaml", "top": 2},
        "config": "configs/stage1.yaml",
        "retry": {"max_attempts": 3},
        "description": "x",
        "axes": ["model.middle_fusion.layers"],
    }
    path = write_experiment(root, Plan(variants, seeds=(0, 1), crystals=12, crystal_noise=0.02, manifest=more))
    _around(ExperimentDir(path))
    return path


def _around(directory: ExperimentDir) -> None:
    """What the runner writes beside the results: submissions, configurations, attempts, logs."""
    planned = json.loads(directory.manifest.read_text())["runs"]
    folder = directory.submission(1)
    folder.mkdir(parents=True)
    now = time.time()
    tasks = [[run["run_id"]] for run in planned]
    (folder / "tasks.json").write_text(json.dumps({"tasks": tasks}))
    pool = {"host": "n1", "machine": "m", "pid": 1, "start_time": 5, "time": now, "interval": 30}
    pool |= {"pending": [planned[5]["run_id"]], "running": [planned[3]["run_id"]]}
    directory.pool_state(1).write_text(json.dumps(pool))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(FILE))
    lines = [
        {"time": now, "event": "begun", "submission": 1, "kind": "local", "overrides": [], "cluster": None},
        {"time": now, "event": "sending", "submission": 1, "token": "t", "first": 0, "count": 8},
        {"time": now, "event": "sent", "submission": 1, "token": "t", "job_id": "12"},
    ]
    directory.submission_log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for run in planned:
        its = directory.run(run["run_id"])
        if not its.path.is_dir():
            continue
        its.config.write_text(yaml.safe_dump({"experiment": "stage1", "task": "crystal", **run}))
        start = {"attempt": 1, "time": now, "host": "n1", "job_id": "local-1", "pid": 4}
        end = {"attempt": 1, "ended": now, "outcome": "failed", "kind": "timeout", "seconds": 3.0}
        its.attempts.write_text(json.dumps(start) + "\n" + json.dumps(end) + "\n")
        its.logs.mkdir()
        its.log(1).write_text("epoch 1\nepoch 2\n")


@dataclass(frozen=True)
class Damaged:
    """A damaged copy, and what was done to it."""

    path: Path
    outside: Path  # a directory that must stay as it is
    done: list[str]
    names: frozenset[str] = frozenset()  # of the files that were there before


def damaged(whole: Path, folder: Path, seed: int, damages: int | None = None) -> Damaged:
    """A copy of `whole` below `folder` with one to six damages."""
    chance = random.Random(seed)
    root, outside = folder / "root", folder / "outside"
    path = Path(shutil.copytree(whole, root / whole.name))
    names = frozenset(entry.name for entry in path.rglob("*"))
    outside.mkdir()
    (outside / "file.json").write_text('{"kind": "x", "time": 1}')
    done = []
    for _ in range(chance.randint(1, 6) if damages is None else damages):
        target = chance.choice(sorted(_below(path)))
        small = target.is_file() and target.stat().st_size < LARGE  # what is endless already is not read by us
        damage = chance.choice(DAMAGES if small else FOLDER_DAMAGES)
        with contextlib.suppress(FileNotFoundError):  # an earlier damage took it away
            damage(target, outside, chance)
        done.append(f"{damage.__name__.strip('_')} {target.relative_to(path)}")
    return Damaged(path, outside, done, names)


def _below(path: Path) -> Iterator[Path]:
    """Files and folders of an experiment, the manifest and the logs of runs more often."""
    for place, folders, files in os.walk(path):
        yield from (Path(place) / name for name in [*folders, *files])
        yield from (Path(place) / name for name in files if name.endswith((".json", ".jsonl", ".csv")))
        yield from [Path(place) / "manifest.json"] * (Path(place) == path) * 10


def _truncate(target: Path, outside: Path, chance: random.Random) -> None:
    data = target.read_bytes()
    target.write_bytes(data[: chance.randint(0, len(data))])


def _delete(target: Path, outside: Path, chance: random.Random) -> None:
    shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink()


def _garble(target: Path, outside: Path, chance: random.Random) -> None:
    data = bytearray(target.read_bytes() or b"x")
    for _ in range(chance.randint(1, 20)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    target.write_bytes(bytes(data))


def _foreign(target: Path, outside: Path, chance: random.Random) -> None:
    target.write_bytes(b"\n".join(chance.choice(LINES) for _ in range(chance.randint(0, 3))))


def _odd_lines(target: Path, outside: Path, chance: random.Random) -> None:
    lines = target.read_bytes().splitlines()
    for _ in range(chance.randint(1, 3)):
        lines.insert(chance.randint(0, len(lines)), chance.choice(LINES))
    target.write_bytes(b"\n".join(lines) + b"\n")


def _odd_value(target: Path, outside: Path, chance: random.Random) -> None:
    """Another value somewhere: of another type, huge, or not finite; or a key that is missing."""
    lines = target.read_text(errors="replace").splitlines()
    if not lines:
        return
    if target.suffix == ".csv":
        cells = lines[(row := chance.randrange(len(lines)))].split(",")
        cells[chance.randrange(len(cells))] = str(chance.choice(ODD)).replace("\n", " ")
        lines[row] = ",".join(cells)
    else:
        row = chance.randrange(len(lines))
        try:
            value = json.loads(lines[row])
        except ValueError:
            value = {}
        lines[row] = json.dumps(_changed(value, chance))
    target.write_text("\n".join(lines) + "\n")


def _changed(value: Any, chance: random.Random) -> Any:
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    if not keys or chance.random() < 0.1:
        return chance.choice(ODD)
    key = chance.choice(keys)
    if isinstance(value, dict) and chance.random() < 0.2:
        return {name: item for name, item in value.items() if name != key}
    value[key] = _changed(value[key], chance) if chance.random() < 0.7 else chance.choice(ODD)
    return value


def _directory_instead(target: Path, outside: Path, chance: random.Random) -> None:
    _delete(target, outside, chance)
    target.mkdir()


def _file_instead(target: Path, outside: Path, chance: random.Random) -> None:
    _delete(target, outside, chance)
    target.write_text("not a directory\n")


def _link_out(target: Path, outside: Path, chance: random.Random) -> None:
    is_folder = target.is_dir()
    _delete(target, outside, chance)
    target.symlink_to(outside if is_folder else outside / "file.json")


def _link_to_nothing(target: Path, outside: Path, chance: random.Random) -> None:
    _delete(target, outside, chance)
    target.symlink_to(target.with_name("gone"))


def _link_to_itself(target: Path, outside: Path, chance: random.Random) -> None:
    _delete(target, outside, chance)
    target.symlink_to(target)


def _pipe_instead(target: Path, outside: Path, chance: random.Random) -> None:
    """A named pipe: whoever opens it plainly waits for ever."""
    _delete(target, outside, chance)
    os.mkfifo(target)


def _endless(target: Path, outside: Path, chance: random.Random) -> None:
    """20 GB that take no disk."""
    with target.open("r+b") as file:
        file.truncate(20 * 10**9)


def _forbid(target: Path, outside: Path, chance: random.Random) -> None:
    """No permission; root is not stopped by it."""
    target.chmod(0)


def _analysis_out(target: Path, outside: Path, chance: random.Random) -> None:
    """The folder that results are written to leads out of the experiment."""
    path = next(parent for parent in target.parents if (parent.parent / "root").name and parent.parent.name == "root")
    shutil.rmtree(path / "analysis", ignore_errors=True)
    if not (path / "analysis").is_symlink():
        (path / "analysis").symlink_to(outside)


TEXTS = (".json", ".jsonl", ".csv", ".log", ".yaml")


def _escapes(target: Path, outside: Path, chance: random.Random) -> None:
    hostile_content.escaped(target, outside, chance) if target.suffix in TEXTS else _garble(target, outside, chance)


OF_A_TREE = [_analysis_out, hostile_content.planted_cache]
ANY = [_delete, _link_out, _link_to_nothing, _link_to_itself, _forbid, *OF_A_TREE]
DAMAGES: list[Callable[[Path, Path, random.Random], None]] = [
    *ANY, *[_pipe_instead, _endless, hostile_content.pickled, _escapes] * 2,
    _truncate, _garble, _foreign, _odd_lines, _directory_instead, *[_odd_value] * 8,
]  # fmt: skip
FOLDER_DAMAGES: list[Callable[[Path, Path, random.Random], None]] = [*ANY, _file_instead, _pipe_instead]


def questions(path: Path, seed: int) -> list[tuple[str, tuple[object, ...]]]:
    """Program and arguments of commands that read an experiment without a checkpoint; one of the slower, in turn."""
    quick: list[tuple[object, ...]] = [
        ("export", path),
        ("compare", "2", "late", "-e", path),
        ("refine", path),
        ("summarize", path, "--format", "json", "--no-report"),
    ]
    slower = [("summarize", path), ("weights", path), ("scale", path), *quick * 3]  # the first with its report
    return [
        ("runner", ("status", path)),
        ("runner", ("status", path, "--format", "json")),
        ("runner", ("failures", path)),
        ("runner", ("logs", path, RUNS[seed % len(RUNS)])),
        ("analysis", ("summarize", path, "--no-report")),
        ("analysis", slower[seed % len(slower)]),
    ]


Limits = dict[tuple[str, object], float]  # (program, command) → the longest that it may take, s
Questions = Callable[[Path, int], list[tuple[str, tuple[object, ...]]]]


def limits(whole: Path, folder: Path, asked: Questions = questions) -> Limits:
    """Five times what each command takes for the healthy tree, and 5 s."""
    longest: Limits = {}
    for seed in (-1, *range(14)):
        if not seed:
            longest.clear()  # the first time, modules are imported
        case = damaged(whole, folder / str(seed), seed, damages=0)
        for program, arguments in asked(case.path, seed):
            began = time.monotonic()
            status, _, err = answer(program, *arguments)
            assert status == 0, (arguments, err)
            taken = 5 * (time.monotonic() - began) + 5
            longest[program, arguments[0]] = max(taken, longest.get((program, arguments[0]), 0.0))
    return longest


def wrong(whole: Path, folder: Path, seed: int, longest: Limits | None = None) -> list[str]:
    """What the readers did wrong on the experiment that `seed` damages; empty when all is well."""
    case = damaged(whole, folder, seed)
    kept = contents(case.path, but="analysis")
    found = faults(case, questions(case.path, seed), seed, longest or {})
    if contents(case.path, but="analysis") != kept:
        found.append(f"seed {seed} ({'; '.join(case.done)}): a reader changed what it reads")
    found += [f"seed {seed}: a formula in CSV: {cell!r}" for cell in hostile_content.formulas(case.path / "analysis")]
    remove(folder)
    return found


def faults(case: Damaged, asked: list[tuple[str, tuple[object, ...]]], seed: int, longest: Limits) -> list[str]:
    """What the commands `asked` did wrong: a traceback, no word, a word without a name, too long, outside, executed."""
    outside, beside = contents(case.outside), sorted(entry.name for entry in case.outside.parent.iterdir())
    names = {case.path.name, *(path.name for path in case.path.rglob("*")), *case.names}
    found = []
    for program, arguments in asked:
        began = time.monotonic()
        status, out, err = answer(program, *arguments)
        taken = time.monotonic() - began
        about = f"seed {seed} ({'; '.join(case.done)}): {program} {arguments[0]}: "
        if status not in (0, 1, 2) or "Traceback" in err:
            found.append(f"{about}status {status}\n{err[-1500:]}")
        elif status and "error: " not in err:
            found.append(f"{about}status {status} without a word: {err[-300:]!r}")
        elif status and not any(name in out + err for name in names if name):
            found.append(f"{about}names no file: {err[-300:]!r}")
        if hostile_content.commands_the_terminal(out + err):
            found.append(f"{about}an escape in {out[-300:]!r}, {err[-300:]!r}")
        if taken > longest.get((program, arguments[0]), LONGEST_S):
            found.append(f"{about}took {taken:.1f} s")
        if contents(case.outside) != outside:
            found.append(f"{about}wrote outside the root, or executed: {sorted(contents(case.outside))}")
            break
    if sorted(entry.name for entry in case.outside.parent.iterdir()) != beside:
        found.append(f"seed {seed}: something new beside the root")
    return found


def remove(folder: Path) -> None:
    for place, folders, _ in os.walk(folder):  # so that it can be removed
        for name in folders:
            if not (link := Path(place) / name).is_symlink():
                link.chmod(0o700)
    shutil.rmtree(folder)


def contents(path: Path, but: str = "") -> dict[str, tuple[int, int, int]]:
    """Name → size, time and kind of everything below `path`, without following links."""
    found = {}
    for place, folders, files in os.walk(path):
        if but in folders and Path(place) == path:
            folders.remove(but)
        for name in [*folders, *files]:
            if name == but and Path(place) == path:
                continue
            status = (Path(place) / name).lstat()
            times = 0 if name in folders else status.st_mtime_ns
            found[os.path.relpath(os.path.join(place, name), path)] = (status.st_size, times, status.st_mode)
    return found


def answer(program: str, *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command in this process; 70: an exception, 124: it does not end."""
    main = {"runner": runner.cli.main, "analysis": analysis.cli.main}[program]
    out, err = io.StringIO(), io.StringIO()
    previous = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST_S)
    try:
        with (
            patch.object(sys, "argv", [program, *map(str, arguments)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as left:
        return (left.code if isinstance(left.code, int) else int(left.code is not None)), out.getvalue(), err.getvalue()
    except TimeoutError:
        return 124, out.getvalue(), err.getvalue() + traceback.format_exc()
    except Exception:
        return 70, out.getvalue(), err.getvalue() + traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return 0, out.getvalue(), err.getvalue()


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"no answer in {LONGEST_S} s")
