"""What a submission sends, what it leaves and why, and the files it writes before."""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.failure import Kind
from runner.commands.loading import Loaded
from runner.commands.submit import WORKERS, lines, submit
from runner.commands.supervise import watch
from runner.config import cluster as clusters
from runner.config.cluster import Cluster, LocalCluster, SlurmCluster
from runner.config.experiment import Array
from runner.config.experiment_file import load
from runner.errors import CommandFailed
from runner.files import read_mapping, write_json
from runner.matrix.expansion import Expansion, expand
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.run_config import read_run_config
from runner.rundir.states import run_state
from runner.submit.arrays import array_tasks
from runner.submit.plan import Limits, Plan, Policy, plan
from runner.submit.schedulers import limits, slurm
from runner.submit.submission import Origin, Sent, origin_of, send
from runner_main import run
from tiny_experiment import TESTS
from tiny_task import TinyTask

TEXT = """
experiment: e
task: tiny_task:TinyTask
params: {train: {epochs: 3}}
matrix: {axes: {at_epoch: [1, 2, 3]}, seeds: [0, 1]}
select: {metric: val_loss, mode: min}
resources: {cpus: 2, gpus: 1, memory: 1G, time: 30m}
keep: {checkpoints: best}
stop_after_same_error: 5
"""


@pytest.fixture
def directory(tmp_path: Path) -> ExperimentDir:
    return ExperimentDir(tmp_path / "runs" / "e")


def expansion(tmp_path: Path, more: str = "") -> Expansion:
    (tmp_path / "e.yaml").write_text(TEXT + more)
    return expand(load(tmp_path / "e.yaml"), TinyTask.Params, "train.seed")


def planned(directory: ExperimentDir, found: Expansion, **policy: Any) -> Plan:
    return plan(directory, found.runs, found.file.experiment, Policy(**policy))


def ended(directory: ExperimentDir, run_id: str, attempt: int = 1, **failure: Any) -> None:
    """A run that had an attempt which ended, with `failure` when there is one."""
    run = directory.run(run_id)
    beat = {"attempt": attempt, "time": time.time(), "ended": True}
    write_json(run.heartbeat, beat)
    run.config.touch()
    if failure:
        write_json(run.failure, {"attempt": attempt, "time": time.time(), "message": "m", **failure})


def test_new_runs_are_sent(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path)
    assert planned(directory, found).send == found.runs
    assert not directory.path.exists()


def test_runs_are_sorted_by_what_is_to_be_done(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path)
    done, failed, lost, cancelled, retried, new = (run.run_id for run in found.runs)
    write_json(directory.run(done).result, {"metrics": {}})
    ended(directory, failed, kind="exception")
    ended(directory, lost)
    directory.run(cancelled).path.mkdir()
    write_json(directory.run(cancelled).cancelled, {})
    ended(directory, retried, kind="timeout")
    sorted_ = planned(directory, found)
    assert [run.run_id for run in sorted_.completed] == [done]
    assert [run.run_id for run in sorted_.held_back] == [failed, cancelled]
    assert [run.run_id for run in sorted_.send] == [lost, retried, new]
    forced = planned(directory, found, force=True)
    assert [run.run_id for run in forced.send] == [failed, lost, cancelled, retried, new]


@pytest.mark.parametrize("kind", list(Kind))
def test_only_kinds_that_may_pass_are_sent_again(tmp_path: Path, directory: ExperimentDir, kind: Kind) -> None:
    found = expansion(tmp_path)
    ended(directory, found.runs[0].run_id, kind=str(kind))
    assert (found.runs[0] in planned(directory, found).send) is kind.retried


@pytest.mark.parametrize(("attempt", "sent"), [(1, True), (2, True), (3, False)])
def test_a_run_is_not_retried_without_end(tmp_path: Path, directory: ExperimentDir, attempt: int, sent: bool) -> None:
    found = expansion(tmp_path)
    ended(directory, found.runs[0].run_id, attempt=attempt, kind="timeout")
    ended(directory, found.runs[1].run_id, attempt=attempt)  # lost
    assert (found.runs[0] in planned(directory, found).send) is sent
    assert (found.runs[1] in planned(directory, found).send) is sent


def test_runs_under_way_are_left_alone(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path)
    beat = {"attempt": 1, "time": time.time(), "interval": 30, "host": "another", "machine": "another"}
    write_json(directory.run(found.runs[0].run_id).heartbeat, beat)
    assert planned(directory, found).under_way == [found.runs[0]]
    assert planned(directory, found, force=True).under_way == [found.runs[0]]


@pytest.mark.parametrize(("together", "expected"), [(1, [1, 1, 1, 1, 1, 1]), (4, [4, 2]), (10, [6])])
def test_runs_are_packed_into_array_tasks(tmp_path: Path, together: int, expected: list[int]) -> None:
    tasks = array_tasks(expansion(tmp_path).runs, Array(side_by_side=together))
    assert tasks == array_tasks(expansion(tmp_path).runs, Array(in_turn=together))
    assert [len(task) for task in tasks] == expected
    assert [run_id for task in tasks for run_id in task] == [run.run_id for run in expansion(tmp_path).runs]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands: sbatch keeps its scripts and answers as `sbatch.sh` says, squeue shows `queue`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "sbatch": f'cp "$1" {tmp_path}/script-$(ls {tmp_path} | grep -c script-)\n. {folder}/sbatch.sh\n',
        "squeue": f"cat {folder}/queue\n",
        "srun": "", "scancel": "",
        "scontrol": "echo MaxArraySize = 1001\n",
    }  # fmt: skip
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(0o755)
    (folder / "queue").touch()
    (folder / "sbatch.sh").write_text(f"echo Submitted batch job $((10 + $(ls {tmp_path} | grep -c script-)))\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def site(**more: Any) -> SlurmCluster:
    return SlurmCluster.model_validate({"kind": "slurm", **more})


def sent(directory: ExperimentDir, found: Expansion, cluster: Cluster) -> Sent:
    origin = Origin(["a=1"], "local", str(TESTS))
    return send(directory, found, cluster, planned(directory, found), WORKERS, origin)


@pytest.mark.usefixtures("commands")
def test_a_submission_keeps_what_it_was_made_from(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path, "array: {runs_per_task: 4}")
    assert sent(directory, found, site()) == Sent(["11"], 6, 2)
    folder = directory.submission(1)
    assert (folder / "experiment.yaml").read_text() == (tmp_path / "e.yaml").read_text()
    ids = [run.run_id for run in found.runs]
    packing = {"side_by_side": 4, "in_turn": 1, "gpus": 1}
    assert read_mapping(directory.pool_tasks(1)) == {"tasks": [ids[:4], ids[4:]], **packing}
    (submission,) = manifest.submissions(directory)
    assert submission.origin == manifest.Origin(["a=1"], "local", str(TESTS))
    assert [(chunk.count, chunk.job_id) for chunk in submission.chunks] == [(2, "11")]
    assert f"--comment=runner:{submission.chunks[0].token}" in (tmp_path / "script-0").read_text()


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize("variable", ["HF_TOKEN", "wandb_api_key"])
def test_a_token_of_a_cluster_file_is_for_its_owner_alone_to_read(
    tmp_path: Path, directory: ExperimentDir, variable: str
) -> None:
    secret = secrets.token_hex(16)
    text = f"kind: slurm\nenvironment: {{{variable}: x{secret}}}\n"
    origin, found = Origin([], text, str(TESTS)), expansion(tmp_path)
    send(directory, found, clusters.parse(text, Path("site.yaml")), planned(directory, found), WORKERS, origin)
    holders = [path for path in directory.path.rglob("*") if path.is_file() and secret in path.read_text("latin-1")]
    assert {path.suffix for path in holders} == {".sh", ".yaml"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}
    assert origin_of(directory, manifest.submissions(directory)[0]) == origin  # resubmit sends it again


@pytest.mark.usefixtures("commands")
def test_a_cluster_file_without_a_token_is_for_colleagues_to_read(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path)
    origin = Origin([], "kind: slurm\n", str(TESTS))
    send(directory, found, site(), planned(directory, found), WORKERS, origin)
    assert directory.cluster_file(1).stat().st_mode & 0o044
    directory.cluster_file(1).unlink()
    directory.cluster_file(1).symlink_to("/etc/passwd")
    with pytest.raises(CommandFailed, match=r"cluster\.yaml: .*link.*\n  next: the same with --cluster FILE"):
        origin_of(directory, manifest.submissions(directory)[0])
    directory.cluster_file(1).unlink()
    directory.cluster_file(1).write_bytes(b"kind: slurm\npartition: \xd9\n")
    with pytest.raises(CommandFailed, match=r"cluster\.yaml: not UTF-8"):
        origin_of(directory, manifest.submissions(directory)[0])


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"cluster": None}, "submissions.jsonl: the record of submission 1 is damaged"),
        ({"folder": 3}, "the record of submission 1 is damaged"),
        ({"overrides": "a=1"}, "the record of submission 1 is damaged"),
        ({"folder": "/gone"}, "was submitted from /gone, which is no folder any more"),
    ],
)
def test_a_submission_that_cannot_be_repeated_is_said(
    directory: ExperimentDir, record: dict[str, Any], words: str
) -> None:
    directory.path.mkdir(parents=True)
    begun = {"submission": 1, "event": "begun", "kind": "local", "overrides": [], "cluster": "local", "folder": "/"}
    manifest.log_submission(directory, begun | record)
    with pytest.raises(CommandFailed, match=words):
        origin_of(directory, manifest.submissions(directory)[0])
    assert run("resubmit", directory.path).status == 1


@pytest.mark.usefixtures("commands")
def test_a_run_directory_holds_what_the_worker_needs(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path)
    sent(directory, found, site())
    run = found.runs[1]
    config = read_run_config(directory.run(run.run_id))
    assert (config.run_id, config.variant, config.seed, config.task) == (
        run.run_id,
        "at_epoch=1",
        1,
        "tiny_task:TinyTask",
    )
    assert (config.threads, config.gpus, config.stop_after_same_error) == (2, 1, 5)
    assert (config.memory, config.time) == (1024, 1800)
    assert (config.keep.checkpoints, config.retry.max_attempts) == ("best", 3)
    assert config.code_path == TESTS
    assert config.params == run.params
    assert "&" not in directory.run(run.run_id).config.read_text()  # no anchors, which would puzzle readers


@pytest.mark.usefixtures("commands")
def test_parameters_survive_the_way_through_config_yaml(tmp_path: Path, directory: ExperimentDir) -> None:
    text = TEXT.replace("{epochs: 3}", "{epoch_seconds: 1e-7}, mischief: '1e5'")  # text that looks like a number
    (tmp_path / "f.yaml").write_text(text)
    other = expand(load(tmp_path / "f.yaml"), TinyTask.Params, "train.seed")
    sent(directory, other, site())
    config = read_run_config(directory.run(other.runs[0].run_id))
    assert TinyTask.Params.model_validate(config.params) == other.runs[0].model


@pytest.mark.usefixtures("commands")
def test_arrays_are_cut_at_the_sites_size_and_take_turns(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path, "array: {max_parallel: 2}")
    assert sent(directory, found, site(max_array_size=4)).jobs == ["11", "12"]
    assert "--array=0-3%2" in (tmp_path / "script-0").read_text()
    second = (tmp_path / "script-1").read_text()
    assert "--array=0-1%2" in second
    assert "--dependency=afterany:11" in second
    assert [(chunk.first, chunk.count) for chunk in manifest.submissions(directory)[0].chunks] == [(0, 4), (4, 2)]


@pytest.mark.usefixtures("commands")
def test_dry_run_says_what_the_site_leaves_for_later(tmp_path: Path, directory: ExperimentDir) -> None:
    loaded, cluster = Loaded(TinyTask(), expansion(tmp_path), directory), site(max_submit_jobs=5)
    dry = submit(loaded, cluster, Origin([], "local", str(TESTS)), loaded.expansion.runs, Policy(), dry_run=True)
    text = "\n".join(lines(dry, loaded, cluster, dry_run=True))
    assert "e: would send 3 runs (" in text
    assert "3 array tasks more than the site takes at once; submit again later" in text


def test_no_more_is_sent_than_the_site_takes_and_the_rest_stays_new(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    found = expansion(tmp_path)
    (commands / "queue").write_text("7|0|RUNNING|1|None|mine\n8|N/A|PENDING|N/A|None|other\n")
    assert sent(directory, found, site(max_submit_jobs=7)) == Sent(["11"], 3, 3, waiting=3)  # two places are left
    states = [run_state(directory.run(run.run_id)).state for run in found.runs]
    assert states[3:] == ["new", "new", "new"]
    (commands / "queue").write_text("".join(f"9|{n}|RUNNING|1|None|x\n" for n in range(5)))
    assert sent(directory, found, site(max_submit_jobs=5)) == Sent([], 0, 0, waiting=3)  # 11 was cancelled
    assert manifest.next_number(directory) == 2


def test_an_array_that_sbatch_refuses_leaves_its_runs_new(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    (commands / "sbatch.sh").write_text("echo 'sbatch: error: Invalid qos specification' >&2; exit 1\n")
    found = expansion(tmp_path)
    with pytest.raises(CommandFailed, match=r"sbatch refused the array: .*Invalid qos specification"):
        sent(directory, found, site())
    assert {run_state(directory.run(run.run_id)).state for run in found.runs} == {"new"}


def test_only_the_refused_part_of_a_submission_is_taken_back(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    (commands / "sbatch.sh").write_text(
        f"[ $(ls {tmp_path} | grep -c script-) = 1 ] && echo Submitted batch job 11 || {{ echo full >&2; exit 1; }}\n"
    )
    found = expansion(tmp_path)
    with pytest.raises(CommandFailed, match=r"sbatch refused the array: .*full\n    sent before: array 11, whose runs"):
        sent(directory, found, site(max_array_size=4))
    assert [directory.run(run.run_id).config.exists() for run in found.runs] == [True] * 4 + [False] * 2


def test_a_run_that_had_attempts_keeps_its_files_when_its_array_is_refused(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    (commands / "sbatch.sh").write_text("exit 1\n")
    found = expansion(tmp_path)
    ended(directory, found.runs[0].run_id, kind="timeout")
    directory.run(found.runs[0].run_id).attempts.write_text(json.dumps({"attempt": 1, "time": 1.0}) + "\n")
    with pytest.raises(CommandFailed, match="sbatch refused"):
        sent(directory, found, site())
    assert run_state(directory.run(found.runs[0].run_id)).kind == "timeout"
    assert directory.run(found.runs[0].run_id).config.exists()


def test_the_jobs_beside_the_array_get_the_time_they_are_given(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    found = expansion(tmp_path)
    cluster = site(prepare={"time": "1h"}, supervisor={"time": "20m"}, cache=str(tmp_path / "cache"))
    assert sent(directory, found, cluster) == Sent(["12"], 6, 6)
    watch(directory, cluster)
    prepare, array, supervisor = ((tmp_path / f"script-{n}").read_text() for n in range(3))
    assert "#SBATCH --time=60\n" in prepare
    assert "#SBATCH --time=30\n" in array
    assert "#SBATCH --dependency=afterok:11\n" in array
    assert "export RUNNER_CACHE_READ_ONLY=1\n" in array
    assert "RUNNER_CACHE_READ_ONLY" not in prepare
    assert "#SBATCH --time=20\n" in supervisor
    assert "#SBATCH --dependency=afterany:12\n" in supervisor


def test_a_supervisor_waits_for_no_local_process_and_comes_back_later_where_the_site_is_full(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    directory.path.mkdir(parents=True)
    manifest.log_submission(directory, {"submission": 1, "event": "begun", "kind": "local"})
    chunk = {"submission": 1, "token": "t", "first": 0, "count": 1, "job_id": "4711"}
    for event in ("sending", "sent"):
        manifest.log_submission(directory, {**chunk, "event": event})
    watch(directory, site(), later=True)
    script = (tmp_path / "script-0").read_text()
    assert "--dependency" not in script
    assert "#SBATCH --begin=now+600\n" in script


def test_a_refused_array_ends_the_job_that_was_to_prepare_it(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    (commands / "sbatch.sh").write_text(
        f"[ $(ls {tmp_path} | grep -c script-) = 1 ] && echo Submitted batch job 11 || {{ echo full >&2; exit 1; }}\n"
    )
    (commands / "scancel").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    with pytest.raises(CommandFailed, match=r"sbatch refused the array: full$"):
        sent(directory, expansion(tmp_path), site(prepare=True, cache=str(tmp_path / "cache")))
    assert (tmp_path / "cancelled").read_text() == "11\n"


def test_what_was_sent_and_never_started_is_sent_again_until_the_attempts_are_used_up(
    tmp_path: Path, directory: ExperimentDir, commands: Path
) -> None:
    found = expansion(tmp_path)
    for _ in range(3):
        again = planned(directory, found)
        assert len(again.send) == 6
        send(directory, found, site(), again, WORKERS, Origin([], "local", str(TESTS)))
        array = manifest.submissions(directory)[-1]
        for index in range(6):  # its shell began, and told why it went no further
            log = slurm.log(directory.slurm_logs(array.number), str(array.chunks[0].job_id), index, 6)
            log.write_text("module: command not found")
    left = planned(directory, found)
    assert (left.send, len(left.held_back)) == ([], 6)
    assert {state.state for state in left.states.values()} == {"lost"}
    assert len(planned(directory, found, force=True).send) == 6


def test_nothing_to_send_writes_nothing(tmp_path: Path, directory: ExperimentDir) -> None:
    found = expansion(tmp_path)
    empty = Plan([], {})
    assert send(directory, found, LocalCluster(), empty, WORKERS, Origin([], "local", str(TESTS))) == Sent([], 0, 0)
    assert not directory.path.exists()


def test_interrupted_submit_says_what_is_in_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(["71"])

    def interrupted(*_: Any) -> str:
        try:
            return next(calls)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.chdir(TESTS)
    monkeypatch.setattr(slurm, "send", interrupted)
    monkeypatch.setattr(slurm, "check_commands", lambda commands: None)
    monkeypatch.setattr(slurm, "queue", list)
    monkeypatch.setattr(limits, "limits", lambda *_: Limits())
    monkeypatch.setattr(limits, "max_submit_jobs", lambda _: None)
    monkeypatch.setattr(limits, "max_array_size", lambda _: 2)
    (tmp_path / "e.yaml").write_text(TEXT)
    (tmp_path / "site.yaml").write_text("kind: slurm\n")
    done = run("submit", tmp_path / "e.yaml", "--cluster", tmp_path / "site.yaml", "--root", tmp_path / "runs")
    assert "interrupted; in the queue: Slurm array 71; one more was just being sent" in done.err
    assert "runner cancel e" in done.err
