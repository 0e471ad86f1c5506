"""Ordinary mistakes in experiment files, cluster files, options and data, each made from a number.

A kind takes a right file and the chance of its number and spoils one thing; None where the file has nothing to spoil in
this way. What must stand in the message is known: the file or option, the key, the line.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.config import yaml_source
from runner_main import Said, run

CONFIGS = Path(__file__).parents[1] / "configs"
SITE = "kind: slurm\npartition: gpu\naccount: me\nsignal_seconds: 90\nsupervisor: {time: 30m, memory: 4G}\n"
COMMAND = {
    "printed": """\
experiment: printed
task: command
params:
  command:
    run: ["{python}", train.py, --rate, "{rate}", --seed, "{seed}"]
    metrics: {pattern: 'val_mae (?P<val_mae>[0-9.]+)', follow: val_mae}
    silent_for: 30m
  values: {rate: 0.1}
matrix:
  axes:
    values.rate: [0.1, 0.2]
  seeds: [0, 1]
resources: {cpus: 2, memory: 2G, time: 10m}
""",
    "written": """\
experiment: written
task: command
params:
  command:
    run: [sh, -c, "echo {width} > {out}/metrics.csv"]
    directory: "{out}"
    metrics:
      file: metrics.csv
      names: {val_mae: error}
      first_epoch: 0
  values:
    width: 8
matrix:
  named:
    narrow: {values.width: 4}
    wide: {values.width: 16}
baseline: narrow
resources: {cpus: 1, time: 5m}
retry: {max_attempts: 2}
""",
    "resumed": """\
experiment: resumed
task: command
params:
  command:
    run: [python3, train.py, --config, "{out}/settings.json"]
    resume: [python3, train.py, --config, "{out}/settings.json", --resume]
    checkpoint: state.json
    files:
      settings.json: {depth: "{depth}", seed: "{seed}"}
    metrics: {file: log.jsonl, mode: max, follow: val_accuracy}
  values: {depth: 3}
matrix:
  random: {count: 4, seed: 0, axes: {values.depth: {integer: [1, 9]}}}
select: {metric: val_accuracy, mode: max}
resources: {cpus: 1, memory: 512M, time: 1h}
keep: {checkpoints: best}
""",
}
FREE = ("values", "files", "names", "environment", "sbatch")  # sections whose keys the user invents


@dataclass(frozen=True)
class Mistake:
    """A spoilt file, and what the message about it must name."""

    text: str
    key: str  # a word of the message, outside what it lists as allowed
    lines: tuple[int, ...] = ()  # one of these, counted from 1
    options: tuple[str, ...] = ()
    where: str = "experiment.yaml"  # the file or option that is to blame
    files: dict[str, str] = field(default_factory=dict)  # beside the experiment file


@dataclass(frozen=True)
class Draft:
    """A right file, to be spoilt."""

    text: str
    chance: random.Random

    @property
    def source(self) -> yaml_source.Source:
        return yaml_source.parse(self.text, Path("experiment.yaml"))

    def spellable(self) -> list[tuple[yaml_source.Key, int]]:
        """Keys that stand once in their line, with the line."""
        lines = self.text.splitlines()
        return [
            (key, line)
            for key, line in self.source.lines.items()
            if key and isinstance(key[-1], str) and len(re.findall(_token(key[-1]), lines[line - 1])) == 1
        ]

    def known(self) -> list[tuple[yaml_source.Key, int]]:
        """Those whose names the schema fixes, outside the matrix' own names."""
        return [
            (key, line)
            for key, line in self.spellable()
            if not set(key[:-1]) & set(FREE) and key[0] not in ("baseline", "health") and len(str(key[-1])) > 2
            if key[:2] != ("matrix", "named") and key[:2] != ("matrix", "axes") and "random" not in key[:-1]
        ]

    def at(self, key: yaml_source.Key) -> Any:
        value: Any = self.source.value
        for part in key:
            value = value[part]
        return value

    def numbers(self) -> list[tuple[yaml_source.Key, int]]:
        return [(key, line) for key, line in self.known() if type(self.at(key)) in (int, float)]

    def pick(self, things: list[Any]) -> Any:
        return self.chance.choice(things) if things else None

    def replaced(self, line: int, pattern: str, by: str) -> str:
        lines = self.text.splitlines(keepends=True)
        lines[line - 1] = re.sub(pattern, lambda _: by, lines[line - 1], count=1)
        return "".join(lines)

    def renamed(self, key: yaml_source.Key, line: int, name: str) -> str:
        return self.replaced(line, _token(str(key[-1])), name)

    def valued(self, key: yaml_source.Key, line: int, value: str) -> str:
        """With another value for a key whose value is a plain scalar in its line."""
        name = re.escape(str(key[-1]))
        return self.replaced(line, rf"(?<![\w.-]){name}\s*:\s*[^,}}\]\s#]+", f"{key[-1]}: {value}")

    def line_of(self, *key: str) -> int | None:
        return self.source.lines.get(key)

    def added(self, line: int, text: str) -> str:
        """With `text` as a line before line `line`."""
        lines = self.text.splitlines(keepends=True)
        return "".join([*lines[: line - 1], text + "\n", *lines[line - 1 :]])


Kind = Callable[[Draft], Mistake | None]
KINDS: dict[str, Kind] = {}


def _token(name: str) -> str:
    return rf"(?<![\w.-]){re.escape(name)}(?=\s*:)"


def kind(name: str) -> Callable[[Kind], Kind]:
    def listed(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return listed


def _typo(name: str, change: Callable[[str, int], str]) -> None:
    def made(draft: Draft) -> Mistake | None:
        key, line = draft.pick(draft.known())
        right = str(key[-1])
        wrong = change(right, draft.chance.randrange(len(right) - 1))
        return None if wrong == right else Mistake(draft.renamed(key, line, wrong), right, (line,))

    KINDS[f"typo in a key: {name}"] = made


_typo("a letter left out", lambda name, at: name[: at + 1] + name[at + 2 :])
_typo("two letters changed places", lambda name, at: name[:at] + name[at + 1] + name[at] + name[at + 2 :])
_typo("a letter twice", lambda name, at: name[: at + 1] + name[at:])
_typo("another letter", lambda name, at: name[:at] + "x" + name[at + 1 :])
_typo("a capital letter", lambda name, at: name.capitalize())
_typo("an s too much", lambda name, at: name + "s")
_typo("dashes", lambda name, at: name.replace("_", "-"))


def _axis_typo(name: str, part: int) -> None:
    def made(draft: Draft) -> Mistake | None:
        axes = [(key, line) for key, line in draft.spellable() if key[:2] == ("matrix", "axes") and len(key) == 3]
        chosen = draft.pick([(key, line) for key, line in axes if "." in key[2] and not key[2].startswith("values.")])
        if chosen is None:
            return None
        key, line = chosen
        parts = key[2].split(".")
        right = parts[part]
        parts[part] = right[:-2] + right[-1] + right[-2] + "q"
        return Mistake(draft.renamed(key, line, ".".join(parts)), right, (line, line + 1))  # of its first value

    KINDS[f"typo in an axis: {name}"] = made


_axis_typo("its section", 0)
_axis_typo("its last part", -1)


def _renamed_value(name: str, path: tuple[str, ...], wrong: Callable[[str], str]) -> None:
    def made(draft: Draft) -> Mistake | None:
        line = draft.line_of(*path)
        right = draft.at(path) if line else None
        if not isinstance(right, str):
            return None
        return Mistake(draft.valued(path, line, wrong(right)), path[-1], (line,))

    KINDS[name] = made


_renamed_value("typo in a dataset", ("params", "data", "dataset"), lambda name: name + "x")
_renamed_value("typo in a target", ("params", "data", "target"), lambda name: name[:-2])
_renamed_value("typo in a task", ("task",), lambda name: name[:-1])
_renamed_value("typo in a fusion", ("params", "model", "middle_fusion", "name"), lambda name: name + "y")
_renamed_value("typo in an encoder", ("params", "model", "encoder", "name"), lambda name: name[1:])
_renamed_value("a name with a blank", ("experiment",), lambda name: f"my {name}")
_renamed_value("a name that is a path", ("experiment",), lambda name: f"runs/{name}")
_renamed_value("a metric of the test split", ("select", "metric"), lambda name: "test_mae")
_renamed_value("an end that there is not", ("select", "mode"), lambda name: "maximum")
_renamed_value("a baseline that there is not", ("baseline",), lambda name: name + "_")
_renamed_value("a cluster file that there is not", ("cluster",), lambda name: "cluster.yaml")


@kind("indentation: one blank more")
def _(draft: Draft) -> Mistake | None:
    choice = [(k, n) for k, n in draft.known() if _first_of_line(draft, k, n) and n > 3 and len(k) > 1]
    picked = draft.pick([(k, n) for k, n in choice if len(draft.at(k[:-1])) > 1])  # alone it may stand anywhere
    if picked is None:
        return None
    key, line = picked
    return Mistake(draft.replaced(line, "^", " "), str(key[-1]), (line, line + 1))


@kind("indentation: one blank less")
def _(draft: Draft) -> Mistake | None:
    choice = [(k, n) for k, n in draft.known() if _first_of_line(draft, k, n) and len(k) > 1]
    lines = draft.text.splitlines()
    key, line = draft.pick([(k, n) for k, n in choice if not lines[n - 2].endswith(":")] or choice)
    return Mistake(draft.replaced(line, "^ ", ""), str(key[-1]), (line, line + 1, line - 1))


@kind("indentation: a tab")
def _(draft: Draft) -> Mistake | None:
    line = draft.pick([n for k, n in draft.known() if _first_of_line(draft, k, n) and len(k) > 1])
    return Mistake(draft.replaced(line, "^ +", "\t"), "spaces", (line, line - 1))


def _first_of_line(draft: Draft, key: yaml_source.Key, line: int) -> bool:
    return draft.text.splitlines()[line - 1].lstrip(" ").startswith(f"{key[-1]}:")


@kind("colon of a section forgotten")
def _(draft: Draft) -> Mistake | None:
    sections = [
        (k, n) for k, n in draft.known() if draft.text.splitlines()[n - 1].split(" #")[0].rstrip().endswith(":")
    ]
    key, line = draft.pick(sections)
    return Mistake(draft.replaced(line, rf"({re.escape(str(key[-1]))}):", str(key[-1])), str(key[-1]), (line,))


@kind("colon before a value forgotten")
def _(draft: Draft) -> Mistake | None:
    key, line = draft.pick(
        [(k, n) for k, n in draft.known() if len(k) == 1 and k[0] in ("task", "cluster", "experiment")]
    )
    return Mistake(draft.replaced(line, ":", ""), str(key[-1]), (line, line + 1))


@kind("colon before a bracket forgotten")
def _(draft: Draft) -> Mistake | None:
    lines = draft.text.splitlines()
    choice = [(k, n) for k, n in draft.known() if re.search(rf"^ *{k[-1]}: \{{\w+: ", lines[n - 1])]
    if not choice:
        return None
    key, line = draft.pick(choice)
    return Mistake(draft.replaced(line, ":", ""), str(key[-1]), (line,))


@kind("blank behind a colon forgotten")
def _(draft: Draft) -> Mistake | None:
    key, line = draft.pick(draft.numbers())
    return Mistake(draft.replaced(line, rf"{_token(str(key[-1]))}:\s+", f"{key[-1]}:"), str(key[-1]), (line, line + 1))


@kind("bracket not closed")
def _(draft: Draft) -> Mistake | None:
    lines = draft.text.splitlines()
    line = draft.pick([n for n, text in enumerate(lines, 1) if text.rstrip().endswith(("}", "]"))])
    return Mistake(draft.replaced(line, r"[}\]]\s*$", "\n"), "YAML", tuple(range(line, len(lines) + 2)))


@kind("quotation mark not closed")
def _(draft: Draft) -> Mistake | None:
    line = draft.pick([n for k, n in draft.known() if k in (("task",), ("experiment",), ("cluster",))])
    return Mistake(draft.replaced(line, r":\s*", ": '"), "YAML", tuple(range(line, draft.text.count("\n") + 2)))


@kind("a key twice")
def _(draft: Draft) -> Mistake | None:
    key, line = draft.pick([(k, n) for k, n in draft.known() if k in (("task",), ("experiment",), ("cluster",))])
    return Mistake(draft.added(line, draft.text.splitlines()[line - 1]), str(key[-1]), (line + 1,))


def _misplaced(name: str, section: tuple[str, ...], text: str, indent: str) -> None:
    def made(draft: Draft) -> Mistake | None:
        line = draft.line_of(*section)
        if line is None or "crystal" not in draft.text:
            return None
        word = re.findall(r"\w+", text)[0]
        return Mistake(draft.added(line, f"{indent}{text}"), word, (line,))

    KINDS[f"wrong section: {name}"] = made


_misplaced("matrix below params", ("params", "train"), "matrix: {seeds: [0]}", "  ")
_misplaced("resources below params", ("params", "train"), "resources: {time: 1h}", "  ")
_misplaced("train at the top", ("params",), "train: {epochs: 3}", "")
_misplaced("data at the top", ("matrix",), "data: {dataset: mp6k}", "")
_misplaced("a parameter directly in params", ("params", "train"), "epochs: 3", "  ")
_misplaced("a parameter at the top", ("matrix",), "learning_rate: 1e-3", "")
_misplaced("seeds at the top", ("matrix",), "seeds: [0, 1]", "")
_misplaced("epochs of data", ("params", "train"), "patience: 3", "  ")
_misplaced("a key of the cluster file", ("matrix",), "account: me", "")
_misplaced("the interpreter", ("matrix",), "python: /usr/bin/python3", "")


@kind("name alone for a section")
def _(draft: Draft) -> Mistake | None:
    path = ("params", "model", draft.pick(["middle_fusion", "encoder"]))
    line = draft.line_of(*path)
    if line is None:
        return None
    return Mistake(draft.replaced(line, rf"{path[-1]}: \{{.*\}}", f"{path[-1]}: dynamic"), path[-1], (line,))


def _axes(name: str, text: str, key: str) -> None:
    def made(draft: Draft) -> Mistake | None:
        line = draft.line_of("matrix", "axes")
        if line is None or "task: crystal" not in draft.text:
            return None
        return Mistake(draft.added(line + 1, f"    {text}"), key, (line + 1 + text.count("\n"),))

    KINDS[f"axis: {name}"] = made


_axes("with params", "params.train.epochs: [3, 4]", "train.epochs")
_axes("its end alone", "patience: [3, 4]", "train.patience")
_axes("without its section", "encoder.hidden: [32, 64]", "model.encoder")
_axes("one value, no list", "train.patience: 3", "train.patience")
_axes("no values", "train.patience: []", "train.patience")
_axes("a value twice", "train.patience: [3, 3]", "train.patience")
_axes("values of another kind", "train.patience: [some, more]", "train.patience")
_axes("below another axis", "model.encoder: [{hidden: 32}]\n    model.encoder.norm: [batch]", "model.encoder.norm")
_axes("the seed", "train.seed: [0, 1]", "train.seed")


def _in_matrix(name: str, text: str, key: str) -> None:
    def made(draft: Draft) -> Mistake | None:
        line = draft.line_of("matrix", "seeds")
        taken = {str(part) for place in draft.source.lines if place[:1] == ("matrix",) for part in place}
        if line is None or "task: crystal" not in draft.text or text.split(":")[0] in taken:
            return None
        return Mistake(draft.added(line, f"  {text}"), key, (line,))

    KINDS[f"matrix: {name}"] = made


_in_matrix("unknown draw", "random: {count: 2, axes: {train.pct_start: {log: [0.1, 0.2]}}}", "log_uniform")
_in_matrix("a draw that is a list", "random: {count: 2, axes: {train.pct_start: [0.1, 0.2]}}", "train.pct_start")
_in_matrix("a draw the wrong way round", "random: {count: 2, axes: {train.pct_start: {uniform: [1, 0]}}}", "uniform")
_in_matrix("points without a count", "random: {axes: {train.pct_start: {uniform: [0.1, 0.2]}}}", "count")
_in_matrix("zip of unequal lengths", "zip: [{train.patience: [1, 2], train.pct_start: [0.1]}]", "zip")
_in_matrix("exclude of no axis", "exclude: [{train.pct_strat: 1}]", "train.pct_strat")
_in_matrix("named points as a list", "named: [{train.patience: 3}]", "named")
_in_matrix("typo in a named point", "named: {more: {train.patiense: 3}}", "patience")
_in_matrix("typo in a section of a named point", "named: {more: {train: {patiense: 3}}}", "patience")


@kind("seeds as a number")
def _(draft: Draft) -> Mistake | None:
    line = draft.line_of("matrix", "seeds")
    return line and Mistake(draft.replaced(line, r"seeds: \[.*?\]", "seeds: 3"), "seeds", (line,))  # type: ignore[return-value]


@kind("a seed twice")
def _(draft: Draft) -> Mistake | None:
    line = draft.line_of("matrix", "seeds")
    return line and Mistake(draft.replaced(line, r"seeds: \[.*?\]", "seeds: [1, 1]"), "seeds", (line,))  # type: ignore[return-value]


def _number(name: str, value: Callable[[Any], str]) -> None:
    def made(draft: Draft) -> Mistake | None:
        key, line = draft.pick(draft.numbers())
        return Mistake(draft.valued(key, line, value(draft.at(key))), str(key[-1]), (line,))

    KINDS[f"number: {name}"] = made


_number("decimal comma", lambda number: f"'{number},5'")
_number("decimal comma in braces", lambda number: "0,5")
_number("a unit", lambda number: f"{number} eV")
_number("a unit without a blank", lambda number: f"{number}x")
_number("a word", lambda number: "many")
_number("negative", lambda number: "-3")
_number("a list", lambda number: f"[{number}]")
_number("yes", lambda number: "'yes'")


@kind("fractions in percent")
def _(draft: Draft) -> Mistake | None:
    line = draft.line_of("params", "data", "dataset")
    text = draft.replaced(line, "data: {", "data: {split: random, fractions: [80, 10, 10], ") if line else draft.text
    if text == draft.text or "split: official" in text or text.count("split:") > 1:
        return None
    return Mistake(text, "fractions", (line,) if line else ())


def _resource(name: str, key: str, value: str) -> None:
    def made(draft: Draft) -> Mistake | None:
        line = draft.line_of("resources", key)
        return Mistake(draft.valued(("resources", key), line, value), key, (line,)) if line else None

    KINDS[f"resources: {name}"] = made


_resource("minutes in words", "time", "10 minutes")
_resource("a time that is none", "time", "soon")
_resource("memory in words", "memory", "16 gigs")
_resource("more CPUs than machines have", "cpus", "100000")
_resource("half a CPU", "cpus", "0.5")


def _option(name: str, key: str, *options: str) -> None:
    blamed = options[1] if options[0] == "--only" else options[0]
    KINDS[f"option: {name}"] = lambda draft: Mistake(draft.text, key, (), options, blamed)


_option("typo in a section of --set", "resources", "--set", "resuorces.cpus=2")
_option("typo in a key of --set", "cpus", "--set", "resources.cpu=2")
_option("--set without a value", "key=value", "--set", "resources.cpus")
_option("--set of two lines", "memory", "--set", "resources.cpus=1\nmemory: 2")
_option("--set below a text", "task", "--set", "task.name=crystal")
_option("--only of no run", "nonsense=3", "--only", "nonsense=3")
_option("a cluster that there is not", "cluster", "--cluster", "slrum.yaml")


def _site(name: str, old: str, new: str, key: str) -> None:
    def made(draft: Draft) -> Mistake | None:
        line = SITE[: SITE.index(old)].count("\n") + 1
        files = {"site.yaml": SITE.replace(old, new)}
        return Mistake(draft.text, key, (line,), ("--cluster", "site.yaml"), "site.yaml", files)

    KINDS[f"cluster file: {name}"] = made


_site("typo in a key", "partition", "parttion", "partition")
_site("typo in a kind", "slurm", "slrum", "kind")
_site("a key of the experiment file", "account: me", "epochs: 3", "epochs")
_site("a word for a number", "90", "soon", "signal_seconds")
_site("typo further down", "memory", "memroy", "memory")
_site("colon forgotten", "account: me", "account me", "account")


@kind("template of the next stage that there is not")
def _(draft: Draft) -> Mistake | None:
    line = draft.line_of("matrix")
    if line is None or draft.line_of("next"):
        return None
    return Mistake(draft.added(line, "next: {config: no_stage.yaml}"), "config", (line,))


ROWS = "id{0}structure{0}gap\na{0}x{0}1{1}5\nb{0}y{0}2{1}5\n"


def _table(name: str, file: str, content: str, key: str) -> None:
    def made(draft: Draft) -> Mistake | None:
        line = draft.line_of("params", "data", "dataset")
        if line is None or "task: crystal" not in draft.text:
            return None
        text = draft.replaced(line, r"dataset: [^,}]+", f"dataset: {file}, split: random")
        text = re.sub(
            r"target: \w+", "target: gap", re.sub(r", split: random(.*), split: random", r", split: random\1", text)
        )
        return Mistake(text, key, (line,), (), "experiment.yaml", {file: content} if content else {})

    KINDS[f"data: {name}"] = made


_table("a spreadsheet's semicolons", "table.csv", ROWS.format(";", ","), "semicolons")
_table("a spreadsheet's tabs", "table.csv", ROWS.format("\t", "."), "tabs")
_table("decimal commas", "table.csv", 'id,structure,gap\na,x,"1,5"\nb,y,"2,5"\n', "gap")
_table("numbers with a unit", "table.csv", "id,structure,gap\na,x,1.5 eV\nb,y,2.5 eV\n", "gap")
_table("no structures", "table.csv", "id,gap\na,1.5\n", "structure")
_table("nothing", "table.csv", "\n", "table.csv")
_table("broken JSON", "table.json", '[{"id": "a", "structure": {},\n', "table.json")
_table("a workbook", "table.xlsx", "PK", "table.xlsx")
_table("a file that is not there", "no_table.csv", "", "no_table.csv")


def right_files() -> dict[str, str]:
    """Name → text of every shipped experiment file, and of the command files."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(CONFIGS.glob("*.yaml"))}
    return {
        name: text for name, text in texts.items() if "\nadopt:\n" not in text
    } | COMMAND  # of runs that are started


def made(number: int) -> tuple[str, str, Mistake]:
    """Kind, file and mistake of a number: the kinds in turn, the file by chance among those that fit."""
    names = list(KINDS)
    chance = random.Random(number)
    files = list(right_files().items())
    chance.shuffle(files)
    name = names[number % len(names)]
    for file, text in files:
        if (mistake := KINDS[name](Draft(text, chance))) is not None:
            return name, file, mistake
    raise AssertionError(f"no file fits {name}")


def typos() -> Iterator[tuple[str, str, Mistake]]:
    """A typo in every key of every file, each name once a file."""
    for file, text in right_files().items():
        draft = Draft(text, random.Random(0))
        for key, line in {str(key[-1]): (key, line) for key, line in draft.known()}.values():
            right = str(key[-1])
            wrong = right[:-2] + right[-1] + right[-2]
            if wrong != right:
                yield f"typo: {wrong}", file, Mistake(draft.renamed(key, line, wrong), right, (line,))


def answer(mistake: Mistake, sandbox: Path) -> Said:
    """What a dry run in `sandbox` says to the mistake."""
    (sandbox / "experiment.yaml").write_text(mistake.text, encoding="utf-8")
    (sandbox / "train.py").touch()  # what the command files start
    shutil.copy(CONFIGS / "fusion_study.yaml", sandbox)  # which search_fusion.yaml extends
    for name, content in mistake.files.items():
        (sandbox / name).write_text(content, encoding="utf-8")
    cluster = () if "--cluster" in mistake.options or "cluster.yaml" in mistake.text else ("--cluster", "local")
    said = run("submit", "experiment.yaml", "--root", "runs", "--dry-run", *cluster, *mistake.options)
    for name in mistake.files:
        (sandbox / name).unlink()
    return said


def faults(mistake: Mistake, said: Said) -> list[str]:
    """What is wrong with the answer in any case: its status, its form, the file or option and the line it names."""
    found = []
    if said.status != 2 or not said.err.startswith("error: ") or "  next: " not in said.err:
        found.append(f"status {said.status}")
    if "Traceback" in said.err:
        found.append("a traceback")
    if mistake.where not in said.err:
        found.append(f"does not name {mistake.where}")
    if mistake.lines and not any(f"{mistake.where}:{line}:" in said.err for line in mistake.lines):
        found.append(f"does not name line {mistake.lines[0]}")
    return found


def names_the_key(mistake: Mistake, said: Said) -> bool:
    """Whether the right key stands in the answer, outside the lists of what is allowed."""
    lines = [line for line in said.err.splitlines() if not line.startswith("    allowed: ")]
    return re.search(rf"(?<![\w-]){re.escape(mistake.key)}(?![\w-])", "\n".join(lines)) is not None
