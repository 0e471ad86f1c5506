"""Shared settings of the tests, a real Slurm for those marked `slurm`, and a real browser."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# The modules that tests share, and tests that lend others their cases; last, so that ours win
sys.path.extend(sorted({str(path.parent) for path in Path(__file__).parent.rglob("*.py")}))

from browser import Browser
from browser import find as find_browser
from runner import extras
from slurm_cluster import SlurmCluster, SlurmMissing

if not os.environ.get("RUNNER_CACHE"):  # what commands keep for the next call must not fill the person's own cache
    os.environ["RUNNER_CACHE"] = tempfile.mkdtemp(prefix="array-runner-tests-")
    atexit.register(shutil.rmtree, os.environ["RUNNER_CACHE"], ignore_errors=True)

for name in ("COLUMNS", "LINES"):  # of a terminal; a worker of pytest-xdist has them from readline, without one
    os.environ.pop(name, None)

_missing = pytest.StashKey[dict[str, str]]()  # what was not there → why
CGROUPS = "CGROUPS: no test held a job to its memory by the kernel"
SLURM, CHROMIUM = "SLURM: the tests marked slurm were not run", "CHROMIUM: the report was not opened in a browser"
# What the extra crystal brings, beside torch itself; test files that import one of them say so by that.
OF_TORCH = ("torch", "alignn", "dgl", "jarvis", "transformers", "safetensors", "vesin", "ase", "spglib")
HAS_TORCH = find_spec("torch") is not None

if not os.environ.get("ACCEPTANCE"):  # set by `make acceptance`
    collect_ignore = ["acceptance"]


@pytest.fixture(autouse=True, scope="session")
def assume_extras() -> Iterator[None]:
    """A core without torch: checking a configuration imports none of the extras, so the tests of it run."""
    with pytest.MonkeyPatch.context() as patch:
        if not HAS_TORCH:
            patch.setattr(extras, "find_spec", lambda _: True)
        yield


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[SlurmCluster]:
    """A Slurm that is started once; RUNNER_TEST_SLURM=STATE_DIR uses one that `slurm-cluster up` has started.

    Where Slurm can be neither installed nor started the tests are skipped, and the summary says so; with
    REQUIRE_SLURM=1 they fail.
    """
    running = os.environ.get("RUNNER_TEST_SLURM")
    if running:
        yield SlurmCluster(Path(running))
        return
    cluster = _start_cluster()
    if isinstance(cluster, SlurmMissing):
        if os.environ.get("REQUIRE_SLURM") == "1":
            pytest.fail(f"REQUIRE_SLURM=1, but there is no Slurm: {cluster}", pytrace=False)
        _say_missing(request.config, SLURM, str(cluster))
        pytest.skip(f"no Slurm: {cluster}")
    yield cluster
    cluster.stop()


def _start_cluster() -> SlurmCluster | SlurmMissing:
    try:
        return SlurmCluster.start()
    except SlurmMissing as error:
        return error


@pytest.fixture
def slurm(slurm_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The cluster, with SLURM_CONF set; empty again after the test."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_cluster.conf))
    yield slurm_cluster
    slurm_cluster.clear()


@pytest.fixture
def cgroup_slurm(
    slurm_cluster: SlurmCluster, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlurmCluster]:
    """Beside the one of the session, with memory limits by cgroups; skipped where Slurm cannot make any here."""
    try:
        cluster = SlurmCluster.start(("--cgroup", "--no-accounting"))
    except SlurmMissing as error:
        _say_missing(request.config, CGROUPS, str(error))
        pytest.skip(f"no cgroups: {error}")
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A headless Chromium. Where there is none the tests are skipped; with REQUIRE_CHROMIUM=1 they fail."""
    program = find_browser()
    if program is None:
        if os.environ.get("REQUIRE_CHROMIUM") == "1":
            pytest.fail("REQUIRE_CHROMIUM=1, but there is no chromium on this machine", pytrace=False)
        _say_missing(request.config, CHROMIUM, "apt-get install chromium")
        pytest.skip("no Chromium")
    opened = Browser(program)
    yield opened
    opened.close()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """A core without torch: files that cannot be imported there are skipped, and the summary counts them."""
    report = yield
    if report.failed and not HAS_TORCH:
        missing = re.search(rf"No module named '({'|'.join(OF_TORCH)})\b", str(report.longrepr))
        if missing:
            report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"Skipped: needs {missing[1]}")
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked torch are skipped where it is missing; with `-m "not torch"` they are left out everywhere."""
    for item in items:
        if item.get_closest_marker("torch") and not HAS_TORCH:
            item.add_marker(pytest.mark.skip(reason="needs torch"))
    _group(items)


def _group(items: list[pytest.Item]) -> None:
    """Where tests run side by side (pytest -n 2 --dist loadgroup), those of one module do not, nor those of Slurm."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("slurm" if item.get_closest_marker("slurm") else item.path.stem))


def _say_missing(config: pytest.Config, what: str, why: str) -> None:
    told = config.workeroutput if hasattr(config, "workeroutput") else config.stash.setdefault(_missing, {})
    told[what] = why


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist has missed."""
    told = getattr(node, "workeroutput", {})
    for what in (SLURM, CHROMIUM, CGROUPS):
        if what in told:
            _say_missing(node.config, what, told[what])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, why in config.stash.get(_missing, {}).items():
        terminalreporter.section(f"NO {what}", sep="!", red=True)
        terminalreporter.line(why)
