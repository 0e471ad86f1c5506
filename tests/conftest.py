"""Shared settings of the tests, a real Slurm for those marked `slurm`, and a real browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # the modules that tests share; last, so that ours win


from browser import Browser
from browser import find as find_browser
from slurm_cluster import SlurmCluster, SlurmMissing

_missing = pytest.StashKey[str]()
_no_browser = pytest.StashKey[str]()

if not os.environ.get("ACCEPTANCE"):  # set by `make acceptance`
    collect_ignore = ["acceptance"]


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
        request.config.stash[_missing] = str(cluster)
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


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A headless Chromium. Where there is none the tests are skipped; with REQUIRE_CHROMIUM=1 they fail."""
    program = find_browser()
    if program is None:
        if os.environ.get("REQUIRE_CHROMIUM") == "1":
            pytest.fail("REQUIRE_CHROMIUM=1, but there is no chromium on this machine", pytrace=False)
        request.config.stash[_no_browser] = "apt-get install chromium"
        pytest.skip("no Chromium")
    opened = Browser(program)
    yield opened
    opened.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _missing in config.stash:
        terminalreporter.section("NO SLURM: the tests marked slurm were not run", sep="!", red=True)
        terminalreporter.line(config.stash[_missing])
    if _no_browser in config.stash:
        terminalreporter.section("NO CHROMIUM: the report was not opened in a browser", sep="!", red=True)
        terminalreporter.line(config.stash[_no_browser])
