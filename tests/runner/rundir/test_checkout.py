"""Code is named by what can change a result."""

import subprocess

import pytest

from runner.rundir.checkout import can_change_results, checkouts, package_digest


@pytest.mark.parametrize(
    "path", ["README.md", "docs/conf.py", "tests/test_x.py", "benchmarks/results/cpu.json", "a/test/b.py"]
)
def test_documentation_tests_and_results_change_nothing(path):
    assert not can_change_results(path)


@pytest.mark.parametrize("path", ["train.py", "data/set.json", "benchmarks/run.py", "test.py", "contest/a.py"])
def test_code_and_data_may_change_results(path):
    assert can_change_results(path)


@pytest.fixture
def repository(tmp_path):
    for name in ("train.py", "docs/page.txt", "jobs/a.py", "models/b.py", "analysis/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")


def digest_of_users(folder):
    return checkouts(folder, folder).record["user_code"]["digest"]


@pytest.mark.parametrize(("name", "changes"), [("docs/page.txt", False), ("train.py", True)])
def test_a_checkout_is_named_by_its_code_committed_or_not(repository, name, changes):
    before = digest_of_users(repository)
    (repository / name).write_text("2\n")
    assert (digest_of_users(repository) != before) == changes
    commit(repository)
    assert (digest_of_users(repository) != before) == changes


@pytest.mark.parametrize(("name", "changes"), [("jobs/a.py", True), ("models/b.py", True), ("analysis/c.py", False)])
def test_ours_is_named_by_what_a_run_computes_with(repository, name, changes):
    before = package_digest(repository)
    (repository / name).write_text("2\n")
    assert (package_digest(repository) != before) == changes
    assert checkouts(repository, None).record["code"]["digest"] == package_digest(repository)
