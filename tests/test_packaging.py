"""The wheel and the source distribution work in an empty environment, away from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from configparser import ConfigParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def ran(*command: object, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def built(folder: Path) -> Path:
    """The wheel, made from a source distribution of the tracked files as they are now."""
    source, made = folder / "source", folder / "dist"
    source.mkdir()
    subprocess.run(
        ["tar", "-cf", source / "all.tar", "--null", "--ignore-failed-read", "-T", "-"],
        input=ran("git", "ls-files", "-z", cwd=REPOSITORY).encode(), cwd=REPOSITORY, check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ran("tar", "-xf", "all.tar", cwd=source)
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", made, ".", cwd=source)
    assert len(list(made.glob("*.tar.gz"))) == 1
    return next(made.glob("*.whl"))


@pytest.mark.slow
def test_installed_package_brings_its_data_and_starters(tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps")
    ran(*pip, built(tmp_path), cwd=tmp_path)
    packages = next((home / "lib").glob("python*")) / "site-packages"
    dependencies = [folder for folder in sys.path if folder.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    work = tmp_path / "work"
    work.mkdir()
    where = ran(python, "-P", "-c", "import runner; print(runner.__file__)", cwd=work)
    assert str(home) in where, "the checkout was used"
    ran(home / "bin" / "runner", "init", cwd=work)
    assert "6 variants" in ran(home / "bin" / "runner", "expand", "configs/demo.yaml", cwd=work)
    assert "nothing was sent" in subprocess.run(
        [home / "bin" / "runner", "submit", "configs/demo.yaml", "--dry-run"],
        cwd=work, capture_output=True, text=True, env=ENVIRONMENT,
    ).stderr  # fmt: skip
    assert "summarize" in ran(home / "bin" / "analysis", "--help", cwd=work)
    template = ran(
        python, "-c",
        "import analysis.output, models.encoders, pathlib as p; print(*[(p.Path(m.__file__).parent / f).exists()"
        " for m, f in ((analysis.output, 'templates/report.html'), (models.encoders, 'data/cgcnn.json'))])", cwd=work,
    )  # fmt: skip
    assert template.split() == ["True", "True"]


def test_versions_of_python_that_are_claimed_are_those_that_are_tested() -> None:
    """This one, and those that `make sites` and `make wheels` wrote into docs/platforms.md."""
    settings = ConfigParser()
    settings.read(REPOSITORY / "setup.cfg")
    claimed = re.findall(r"Python :: (\d\.\d+)", settings["metadata"]["classifiers"])
    page = (REPOSITORY / "docs" / "platforms.md").read_text(encoding="utf-8")
    tried = re.findall(r"^\| (?:Debian .*?\| )?(\d\.\d+)\.\d+ \|", page, re.MULTILINE)
    assert claimed == sorted({"3.11", *tried})
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in claimed
