"""`runner init`: starter experiment and cluster files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from runner.errors import UserError
from runner.files import write_text


def starters() -> dict[str, str]:
    """Path below `configs/` → content of every starter file."""
    base = files("runner.starters")
    found = {entry.name: entry.read_text(encoding="utf-8") for entry in base.iterdir() if entry.name.endswith(".yaml")}
    clusters = (base / "clusters").iterdir()
    found |= {f"clusters/{entry.name}": entry.read_text(encoding="utf-8") for entry in clusters}
    return dict(sorted(found.items()))


def write(folder: Path, force: bool) -> list[Path]:
    """Write the starters into `folder`; UserError, and nothing written, when one exists and `force` is not given."""
    wanted = {folder / name: text for name, text in starters().items()}
    existing = [path for path in wanted if path.exists()]
    if existing and not force:
        raise UserError(
            f"{existing[0]} exists" + (f" and {len(existing) - 1} more" if len(existing) > 1 else ""),
            next_command="runner init --force, which overwrites them",
        )
    for path, text in wanted.items():
        write_text(path, text)
    return list(wanted)
