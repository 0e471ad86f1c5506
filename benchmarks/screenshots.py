"""Pictures of the reports of five searches, for docs/pictures.md: light and dark, on a laptop and on a phone.

python benchmarks/screenshots.py [SEARCH...] [--work FOLDER] [--to docs/img]

SEARCH: demo, demo-3-seeds, loss-weights, program, many. All but the last, which is made up, are trained; what lies in
--work (build/screenshots) already is not trained again. Needs Chromium and scikit-learn.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import Browser, find  # noqa: E402
from experiment_factory import Plan, PlannedVariant, write_experiment  # noqa: E402
from runner.rundir.layout import ExperimentDir  # noqa: E402

LARGEST = 150_000  # bytes of a picture in the repository
WINDOWS = {"laptop": (1280, 1000), "phone": (390, 844)}
TRAINED = {  # name of the pictures → experiment, its file, further arguments of `runner submit`
    "demo": ("demo", "configs/demo.yaml", ()),
    "demo-3-seeds": ("demo", "configs/demo.yaml", ("--set", "matrix.seeds=[0, 1, 2]")),
    "loss-weights": ("tva_grid", "configs/tva_grid.yaml", ()),
    "program": ("digits", "search.yaml", ("--cluster", "local")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("searches", nargs="*", default=[*TRAINED, "many"])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "img")
    options = parser.parse_args()
    program = find()
    if program is None:
        raise SystemExit("there is no Chromium here: apt-get install chromium")
    _files(options.work)
    for name in options.searches:
        experiment = _made_up(options.work / name) if name == "many" else _trained(options.work / name, name)
        _run("analysis", "summarize", experiment, cwd=options.work)
        _take(program, ExperimentDir(options.work / experiment).report, options.to, name)


def _files(work: Path) -> None:
    """The experiment files of the package, and the script and the search of README and docs/five-minutes.md."""
    shutil.copytree(ROOT / "configs", work / "configs", dirs_exist_ok=True)
    page = (ROOT / "docs" / "five-minutes.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^cat > train.py <<'END'\n(.*?)^END$", page, re.M | re.S)
    (search,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    (work / "train.py").write_text(script, encoding="utf-8")
    (work / "search.yaml").write_text(search, encoding="utf-8")


def _trained(root: Path, name: str) -> Path:
    experiment, file, arguments = TRAINED[name]
    _run("runner", "submit", file, *arguments, "--wait", "--root", root.name, cwd=root.parent)
    return Path(root.name) / experiment


def _made_up(root: Path) -> Path:
    """Two hundred variants of three axes, two seeds each, four of them failed."""
    shutil.rmtree(root, ignore_errors=True)
    points = [
        (10.0**-rate, width, depth) for rate in range(1, 9) for width in (16, 32, 64, 128, 256) for depth in range(1, 6)
    ]
    variants = [
        PlannedVariant(
            f"lr={rate:g} width={width} depth={depth}",
            0.1 + 0.0003 * (number * 37 % 200),
            axes={"lr": rate, "width": width, "depth": depth},
            states={0: "failed"} if number % 50 == 0 else {},
        )
        for number, (rate, width, depth) in enumerate(points)
    ]
    write_experiment(root, Plan(variants, "many", [0, 1], 20, crystal_noise=0.02, seed_noise=0.01))
    return Path(root.name) / "many"


def _run(program: str, *arguments: str | Path, cwd: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-P", "-m", f"{program}.cli", *map(str, arguments)], cwd=cwd, env=environment, check=True
    )


def _take(program: str, report: Path, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    browser = Browser(program)
    try:
        for window, (width, height) in WINDOWS.items():
            for scheme in ("light", "dark"):
                browser.show(report, width=width, height=height, dark=scheme == "dark")
                if browser.complaints or browser.requests[1:]:
                    raise SystemExit(f"{report}: {browser.complaints} {browser.requests[1:]}")
                picture = _small(browser.screenshot())
                path = folder / f"report-{name}-{window}-{scheme}.png"
                if len(picture) > LARGEST:
                    raise SystemExit(f"{path} has {len(picture):,} bytes; at most {LARGEST:,} go into the repository")
                path.write_bytes(picture)
                print(f"{path}: {len(picture):,} bytes")
    finally:
        browser.close()


def _small(picture: bytes) -> bytes:
    """The same in 256 colours."""
    file = io.BytesIO()
    drawn = Image.open(io.BytesIO(picture)).convert("RGB")
    drawn.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
