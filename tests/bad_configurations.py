"""Experiment files with mistakes, each made from a number: slips of the hand, and values of the wrong kind."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from runner_main import Said, run

CONFIGS = Path(__file__).parents[1] / "configs"
JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**30, -0.5, float("nan"), float("inf"), "", "x", "../../outside", "/etc/passwd", "~", "a/b",
    "$(touch outside)", "`touch outside`", "; touch outside", "-rf", "--help", "a\nb", "\x07", "🜚", "é" * 300, "1e3",
    "2026-01-01", "1:30:00", "no", "null", "nul\x00",
    [], [[]], [1, "a", None], {}, {"name": "nix"}, {"a": {"b": {"c": []}}}, list(range(5000)),
    {"touch outside": 1}, "*", "&a", "!!python/object:os.system", "%", "{", "local", "0", "9" * 400, "val_", "test_mae",
)  # fmt: skip
HUGE = {f"train.{name}": [i / 1e7 for i in range(1, 400)] for name in ("learning_rate", "weight_decay", "pct_start")}


def written(seed: int) -> bytes:
    """The content of the file with number `seed`; the same for the same number."""
    chance = random.Random(seed)
    text = chance.choice(sorted(CONFIGS.glob("*.yaml"))).read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    kind = chance.randrange(6)
    if kind == 0:  # a slip of the hand, or several
        characters = list(text)
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(characters))
            characters[at] = chance.choice(
                ["", "\t", ":", "'", '"', "{", "}", "[", "]", "-", "#", "\x00", "&", "*", "!"]
            )
        return "".join(characters).encode()
    if kind == 1:  # bytes that are no text
        at = chance.randrange(len(text))
        return text.encode()[:at] + chance.randbytes(chance.randint(1, 20)) + text.encode()[at:]
    for _ in range(chance.randint(1, 4)):
        _spoil(content, chance)
    if kind == 2 and isinstance(content.get("matrix"), dict):
        content["matrix"]["axes"] = copy.deepcopy(HUGE)  # sixty million points
    return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")


def _spoil(content: dict[str, Any], chance: random.Random) -> None:
    """Change one thing somewhere in `content`."""
    place = chance.choice(list(_mappings(content)))
    name = chance.choice(sorted(place, key=str)) if place else "x"
    match chance.randrange(4):
        case 0:
            place[name] = copy.deepcopy(chance.choice(JUNK))
        case 1:
            place.pop(name, None)
        case 2:
            place[str(name)[:-1] + chance.choice("xyz_.")] = place.pop(name, 1)
        case 3:
            place[chance.choice(["a.b.c", "..", "model.middle_fusion", "train", "seeds", "name"])] = copy.deepcopy(
                chance.choice(JUNK)
            )


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _mappings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _mappings(inner)


def refused(seed: int, sandbox: Path) -> Said | None:
    """What the commands say to file `seed`; None where it turns out to be right. The working directory is `sandbox`.

    Anything but exit status 0 or 2 is an AssertionError, as is anything written; a traceback escapes.
    """
    config = sandbox / "experiment.yaml"
    config.write_bytes(written(seed))
    before = tree(sandbox)
    said = run("expand", config, "--root", sandbox / "root", "--format", "csv")
    if said.status == 0:
        said = run("submit", config, "--root", sandbox / "root", "--cluster", "local", "--dry-run")
    assert tree(sandbox) == before, f"file {seed} made a command write"
    assert said.status in (0, 2), f"file {seed}: status {said.status}: {said.err}"
    if said.status == 0:
        return None
    assert said.err.startswith("error: "), f"file {seed}: {said.err}"
    assert "  next: " in said.err, f"file {seed}: {said.err}"
    return said


def tree(folder: Path) -> dict[str, int]:
    """Every file and folder below `folder`, with its size."""
    return {
        os.path.join(place, name): os.lstat(os.path.join(place, name)).st_size
        for place, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }
