"""`make sites`: the Slurm tests and one small search on three releases of Debian; writes docs/platforms.md.

A release that is not this machine's own gets a root directory, made by debootstrap once and kept. Everything in it runs
in namespaces of its own: its mounts and processes end with it. Needs root, and debootstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.page import filled, table

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "platforms.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "array-runner" / "sites"
RELEASES = {"bookworm": 12, "trixie": 13, "forky": 14}
COPIED = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf",
          str(Path.home() / ".config/pip/pip.conf"))  # fmt: skip
NEEDS_TORCH = "needs torch"  # as tests/conftest.py says it

# $1: the root directory
ENTER = """
mount -t proc proc "$1/proc"
if [ "$1" != / ]; then mount --rbind /dev "$1/dev"; mount --rbind /sys "$1/sys"; fi
exec chroot "$@"
"""
PACKAGES = """
export DEBIAN_FRONTEND=noninteractive
echo 'Acquire::Check-Valid-Until "false";' > /etc/apt/apt.conf.d/kept  # a testing release signs for a week only
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3 python3-venv procps ca-certificates git
"""
# $1: the folder of this site, with the files of the repository. The search comes before the packages of the tests.
WHEEL = """
cd "$1"
repository/tests/slurm-cluster install
rm -rf venv wheel search
python3 -m venv venv
venv/bin/pip wheel --quiet --no-deps --wheel-dir wheel ./repository
venv/bin/pip install --quiet --constraint repository/constraints.txt wheel/*.whl
(cd repository && rm -rf runner jobs models analysis)
"""
SEARCH = """
state=$(mktemp -d /tmp/site-XXXX)
cd "$1"
repository/tests/slurm-cluster up --state "$state" --base-port auto
trap 'repository/tests/slurm-cluster down --state "$state" --purge' EXIT
mkdir search
cp repository/tests/data/site_search/* search
eval "$(repository/tests/slurm-cluster env --state "$state")"
(
  cd search
  ../venv/bin/runner submit search.yaml --cluster cluster.yaml --wait
  ../venv/bin/analysis summarize search
)
"""
TESTS = """
cd "$1"
venv/bin/pip install --quiet --constraint repository/constraints.txt \
  pytest pytest-timeout pytest-xdist hypothesis jsonschema psutil
cd repository
REQUIRE_SLURM=1 OMP_NUM_THREADS=1 ../venv/bin/python -m pytest -m slurm --junitxml ../tests.xml \
  $(grep -rl 'mark\\.slurm' tests --include='test_*.py') >&2 || [ $? = 1 ]
"""
VERSIONS = """
cd "$1"
slurmctld -V | cut -d' ' -f2
venv/bin/python -c 'import platform; print(platform.python_version())'
"""


class Site:
    """One release: where its commands run, and what came of them.

    root: the directory that is / for them. folder: what belongs to this site, as this machine sees it.
    """

    def __init__(self, release: str, cache: Path) -> None:
        self.release = release
        self.own = release == platform.freedesktop_os_release().get("VERSION_CODENAME")
        self.root = Path("/") if self.own else cache / release
        self.folder = cache / f"{release}-host" if self.own else self.root / "site"
        self.log = cache / f"{release}.log"

    def run(self, script: str) -> str:
        """What bash prints for `script`; SystemExit with the log's name when it fails."""
        inside = self.folder if self.own else Path("/", self.folder.relative_to(self.root))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
        with self.log.open("a") as log:
            done = subprocess.run(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", ENTER, "sh", self.root,
                 "/bin/bash", "-euo", "pipefail", "-c", script, "bash", inside],
                stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
            )  # fmt: skip
            log.write(done.stdout)
        if done.returncode:
            raise SystemExit(f"sites: {self.release}: a step failed; next: read the end of {self.log}")
        return done.stdout

    def make(self, mirror: str) -> None:
        """The root directory, once; and of this machine what every use needs: names, certificates, pip's settings."""
        if self.own:
            return
        if not self.root.is_dir():
            unfinished = self.root.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            scripts = Path("/usr/share/debootstrap/scripts")
            script = scripts / (self.release if (scripts / self.release).exists() else "sid")  # older than the release
            command = ["debootstrap", "--variant=minbase", self.release, unfinished, mirror, script]
            with self.log.open("a") as log:
                if subprocess.run(command, stdout=log, stderr=log).returncode:
                    raise SystemExit(f"sites: debootstrap made no {self.release}; next: read the end of {self.log}")
            unfinished.rename(self.root)
        self.copy(COPIED[:2])
        self.run(PACKAGES)
        self.copy(COPIED[2:])

    def copy(self, files: Iterable[str]) -> None:
        for name in filter(os.path.exists, files):
            target = self.root / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, target)

    def lay_repository(self) -> str:
        """The tracked files as they are now; the commit that they are of."""
        shutil.rmtree(self.folder / "repository", ignore_errors=True)
        for name in git("ls-files", "-z").split("\0"):
            if (REPOSITORY / name).is_file():
                (self.folder / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, self.folder / "repository" / name)
        return git("describe", "--always", "--dirty").strip()

    def outcome(self) -> dict[str, Any]:
        """Install, search, test; the record of this site."""
        commit = self.lay_repository()
        self.run(WHEEL)
        self.run(SEARCH)
        self.run(TESTS)
        slurm, python = self.run(VERSIONS).split()
        return {
            "commit": commit,
            "slurm": slurm,
            "python": python,
            "tests": dict(counted(self.folder / "tests.xml")),
            "search": searched(self.folder / "search"),
        }


def searched(folder: Path) -> dict[str, Any]:
    """Run → state and metrics, as the summary of the search in `folder` has them."""
    runs = json.loads((folder / "runs/search/analysis/results.json").read_text())["runs"]
    return {run["run_id"]: [run["state"], run["metrics"]] for run in runs}


def compared(search: dict[str, Any], reference: dict[str, Any]) -> str:
    """How many runs, and whether they are those of the first row, bit for bit."""
    return f"{len(search)} runs, {'equal' if search == reference else 'DIFFERENT'}"


def counted(report: Path) -> Counter[str]:
    """Tests of a JUnit file that passed, failed, were skipped, or were left out since they need torch."""
    outcomes: Counter[str] = Counter(passed=0, left_out=0, skipped=0, failed=0)
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcomes["failed"] += 1
        elif skipped is not None:
            outcomes["left_out" if NEEDS_TORCH in skipped.get("message", "") else "skipped"] += 1
        else:
            outcomes["passed"] += 1
    return outcomes


def page_table(records: dict[str, dict[str, Any]]) -> str:
    """One row per site. The search's metrics are compared with those of the first site, bit for bit."""
    reference = next(iter(records.values()))["search"]
    names = ("passed", "left_out", "skipped", "failed")
    rows = [
        [f"Debian {RELEASES[release]} ({release})", record["slurm"], record["python"], record["commit"],
         compared(record["search"], reference),
         *(str(record["tests"][name]) for name in names)]
        for release, record in records.items()
    ]  # fmt: skip
    return table(("site", "Slurm", "Python", "commit", "search", "passed", "left out", "skipped", "failed"), rows, 4)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def own_mirror() -> str:
    """Where this machine's apt takes Debian from."""
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian",
         f"Codename: {platform.freedesktop_os_release().get('VERSION_CODENAME')}"],
        capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    if not shown:
        raise SystemExit("sites: apt of this machine names no mirror of Debian; next: apt-get update, or --mirror URL")
    return shown[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", nargs="*", default=list(RELEASES), help=f"of {', '.join(RELEASES)}; default: all")
    parser.add_argument("--root", type=Path, default=CACHE, help="holds the root directories (%(default)s)")
    parser.add_argument("--mirror", help="of Debian; default: the one of this machine's apt")
    options = parser.parse_args()
    if unknown := set(options.releases) - set(RELEASES):
        parser.error(f"no such release: {', '.join(unknown)}; allowed: {', '.join(RELEASES)}")
    if os.geteuid():
        raise SystemExit("sites: only root can make root directories")
    options.root.mkdir(parents=True, exist_ok=True)
    for release in options.releases:
        site = Site(release, options.root)
        site.log.unlink(missing_ok=True)
        print(f"sites: {release}; its log: {site.log}", flush=True)
        site.make(options.mirror or own_mirror())
        record = site.outcome()
        (options.root / f"{release}.json").write_text(json.dumps(record, indent=1))
        print(f"sites: {release}: {record['tests']}", flush=True)
    # a site that was not run now keeps its row, which names the commit it is of
    files = {release: options.root / f"{release}.json" for release in RELEASES}
    records = {release: json.loads(file.read_text()) for release, file in files.items() if file.exists()}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), {"sites": page_table(records)}), encoding="utf-8")
    first = next(iter(records.values()))["search"]
    sys.exit(any(record["tests"]["failed"] or record["search"] != first for record in records.values()))


if __name__ == "__main__":
    main()
