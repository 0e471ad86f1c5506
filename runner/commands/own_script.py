"""`runner init --script`: an experiment file for a script of one's own, whose options are read and never executed."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jobs.tasks.command.task import OF_CHECKPOINT, OURS
from runner.config.metric_names import named_mode
from runner.errors import UserError
from runner.files import read_bytes
from runner.terminal import one_line

_yaml = json.JSONEncoder(ensure_ascii=False).encode
LIKE = "runner init --script train.py --metric val_acc"
_SEED = re.compile(r"(random_?|manual_?|torch_?)?seed|random_?state")
_OUTPUT = re.compile(
    r"out(put)?|(out(put)?|save|logs?|results?|checkpoints?|ckpt|work)_?(dir|path|folder|directory|file)"
)
# What people vary first; and what makes a run longer or asks another question
_OFTEN = re.compile(r"(^|_)(lr|rate|width|hidden|dim|layers|depth|dropout|decay|alpha)(_|$)")
_NEVER = re.compile(
    r"(^|_)n?(epochs?|iter|iterations?|steps?|workers?|threads?|jobs|cpus?|gpus?|device|rank|port|verbose|verbosity|log"
    r"|print|save|eval|every|interval|freq|patience|data|dataset|task|split|mode|target|folds?|samples|version|train|val"
    r"|valid|test|seed)(_|$)"
)
_PATTERN = r"(?<!\w){theirs}[^\w\n.-]+(?P<{ours}>-?(?:\d*\.?\d+(?:e[-+]?\d+)?|inf|nan))"
_TEXT = """\
# A search over {script}, {variants} variants. Its runs: `runner expand FILE`; train them: `runner submit FILE --wait`.
experiment: {experiment}
description: {description}
task: command
params:
  command:
    # {{python}} is the Python that runs array-runner: write the path of another one where the script needs it.
    # {{out}} is a folder of each run alone. Options that stay at the script's defaults: {rest}
    run: [{run}]
    metrics:       # the number behind the name in what the script prints, once an epoch or once
      pattern: '{pattern}'
      # where it writes a file into {{out}}: `file: metrics.csv` instead of `pattern`; more in docs/your-program.md
      follow: {follow}
      mode: {mode}    # its good end: max or min
  values: {{}}       # of names in braces in `run` that are no axis: {{epochs: 10}}
matrix:
  axes:            # the script's default and a value beside it: change them, add others
    {axes}
  {seeds}
baseline: {{{baseline}}}    # the others are compared with it
cluster: local     # or a cluster file; `runner init` writes some to start from
resources: {{gpus: 0, cpus: 1}}    # of one run; on a cluster also memory: 4G, time: 1h
"""


class Option(NamedTuple):
    """An option or argument of argparse."""

    flag: str  # before its value; empty for an argument without one
    name: str  # of its value in the experiment file
    default: Any  # None where none stands in the script as it is
    required: bool
    place: str  # the seed, or where to write; empty for others
    tried: list[Any]  # the default first; empty where it is not to be varied


def experiment(script: Path, metric: str, mode: str | None, tell: Callable[[str], None]) -> dict[str, str]:
    """File name → text of a search over `script`, which prints `metric`; `tell` gets what a person has to look at."""
    follow, good_end = _followed(metric, mode)
    source, options = _read(script)
    varied = sorted((one for one in options if one.tried), key=lambda one: not _OFTEN.search(one.name))[:2]
    if not varied:
        raise UserError(
            f"{script} has nothing to vary: no option with a number as its default, and none with choices; "
            f"argparse has {', '.join(one.flag or one.name for one in options) or 'no option there'}",
            next_command=LIKE,
        )
    used = [one for one in options if one.place or one.required or one in varied]
    words = [word for one in used for word in (one.flag, one.place or f"{{{one.name}}}") if word]
    rest = [one.flag + ("" if one.default is None else f" {one.default!r}") for one in options if one not in used]
    for one in used:
        if not (one.place or one in varied):
            tell(f"note: {script} requires {one.flag or one.name}: write {one.name} and its value into `values`")
    if metric not in source:
        tell(f"note: {metric!r} stands nowhere in {script}: see that `pattern` fits what is printed")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", script.stem).lstrip("-._")[:100] or "search"
    return {
        f"{name}.yaml": _TEXT.format(
            script=one_line(script.name),
            variants=math.prod(len(one.tried) for one in varied),
            experiment=_yaml(name),
            description=_yaml(f"Which {' and '.join(one.name for one in varied)} suit {script.name}?"),
            rest=one_line(", ".join(rest)) or "none",
            run=", ".join(map(_yaml, ["{python}", str(script).replace("{", "{{").replace("}", "}}"), *words])),
            pattern=_PATTERN.format(theirs=re.escape(metric), ours=follow).replace("'", "''"),
            follow=follow,
            mode=good_end,
            axes="\n    ".join(f"values.{one.name}: {_yaml(one.tried)}" for one in varied),
            seeds="seeds: [0, 1, 2]" if "{seed}" in words else "# no option is a seed, so each variant is trained once",
            baseline=", ".join(f"values.{one.name}: {_yaml(one.tried[0])}" for one in varied),
        )
    }


def _followed(metric: str, mode: str | None) -> tuple[str, str]:
    """Our name for `metric`, and its good end."""
    name = re.sub(r"\W+", "_", metric, flags=re.ASCII).strip("_")
    if not name or re.match(r"(train|test)(_|$)", name):
        raise UserError(f"--metric: found {metric!r}, which is none of the validation split", next_command=LIKE)
    name = "val_" + re.sub(r"^(val|valid|validation|eval|dev)_", "", name)
    good_end = named_mode(name) or mode
    if good_end not in ("min", "max"):
        raise UserError(
            f"--mode: found {mode}; the name {metric} does not tell whether more is better: min or max",
            next_command=f"{LIKE} --mode max",
        )
    return name, good_end


def _read(script: Path) -> tuple[str, list[Option]]:
    """The script, and the options in it; of two with one name the first."""
    try:
        source = read_bytes(script, links=True).decode()
        tree = ast.parse(source, script.name)
    except (FileNotFoundError, SyntaxError, ValueError) as error:  # ValueError: no UTF-8; a NUL
        raise UserError(
            f"{script}: {getattr(error, 'strerror', None) or f'not Python: {error}'}", next_command=LIKE
        ) from None
    options = [
        _option(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument"
        if node.args and isinstance(_literal(node.args[0]), str)
    ]
    return source, list({one.name: one for one in reversed(options)}.values())[::-1]


def _option(call: ast.Call) -> Option:
    flags = [str(_literal(word)) for word in call.args]
    given = {keyword.arg: _literal(keyword.value) for keyword in call.keywords}
    flag = next((flag for flag in flags if flag.startswith("--")), flags[0])
    name = re.sub(r"\W", "_", str(given.get("dest") or flag.lstrip("-")), flags=re.ASCII)
    required = given.get("required") is True if flag.startswith("-") else given.get("nargs") not in ("?", "*")
    if "nargs" in given or given.get("action", "store") != "store":  # its value is not one word
        given = {}
    default, place = given.get("default"), "{seed}" if _SEED.fullmatch(name) else ""
    if _OUTPUT.fullmatch(name) and isinstance(default, str | None):
        place = "{out}" + (f"/{Path(default).name}" if default and Path(default).suffix else "")
    name = name if name[:1].isalpha() and (place or name not in (*OURS, *OF_CHECKPOINT)) else f"option_{name}"
    tried = [] if place or _NEVER.search(name) else _tried(default, given.get("choices"))
    return Option(flag if flag.startswith("-") else "", name, default, required, place, tried)


def _tried(default: Any, choices: Any) -> list[Any]:
    """The default and a value beside it: half of a fraction stays one, and double a whole number is whole."""
    if isinstance(choices, list | tuple) and {type(choice) for choice in choices} <= {str, int, float}:
        return list(dict.fromkeys([default, *choices] if default in choices else choices))[:2]
    if type(default) not in (int, float) or default <= 0:
        return []
    return [default, 2 * default if type(default) is int else float(f"{default / 2:.6g}")]


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):  # a name, a call
        return None
