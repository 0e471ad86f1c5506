"""What PyYAML says of a file that is no YAML, in the words of a person who has to repair it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from runner.errors import Problem

# What PyYAML says of the commonest slips, and what helps
_HINTS = {
    "mapping values are not allowed here": "a value that holds ': ' must stand in quotes",
    "cannot start any token": "indent with spaces, and put a value that begins with a special character in quotes",
    "'<stream end>'": "the file ends early: is a bracket not closed?",
    "unexpected end of stream": "the file ends early: is a quotation mark not closed?",
    "another document": "a file holds one document: remove the line '---'",
    "undefined alias": "a value that begins with '*' must stand in quotes",
}


def syntax_problem(error: yaml.MarkedYAMLError, path: Path, lines: list[str]) -> Problem:
    """The mistake in the file `path` of these `lines`, at the line where a person would repair it."""
    mark = error.problem_mark or error.context_mark
    what = f"{error.problem or error.context}".removeprefix("but ")
    hint = next((hint for sign, hint in _HINTS.items() if sign in what), None)
    number, key = mark.line if mark else None, None
    if (bare := _line_without_colon(error, lines)) is not None:
        number, what = bare, f"found {lines[bare].strip()!r}, which is no key with a value"
        hint = "a key is followed by ':' and a space"
        key = _word(lines[bare])
    elif "mapping values" in what and mark and (bracket := re.match(r"\s*([\w.]+)\s*[\[{]", lines[mark.line])):
        what, key = "found a value in brackets behind no key", bracket[1]
        hint = f"a ':' is missing behind {key!r}"
    elif re.match("expected <block end>.*'<block (mapping|sequence) start>'", what) and error.context_mark:
        what = f"indented in another way than its section, which begins in line {error.context_mark.line + 1}"
        hint = "the keys of one section begin in the same column"
        key = _word(lines[error.problem_mark.line]) if error.problem_mark else None
    elif error.context and error.context_mark and mark and error.context_mark.line != mark.line:
        what += f", {error.context} that begins in line {error.context_mark.line + 1}"
    what = f"not valid YAML: {what}" + (f"; {hint}" if hint else "")
    return Problem(what, key, str(path), None if number is None else number + 1)


def _word(line: str) -> str | None:
    """The key with which `line` begins."""
    word = re.match(r"[\s-]*([\w.]+)", line)
    return word[1] if word else None


def _line_without_colon(error: yaml.MarkedYAMLError, lines: list[str]) -> int | None:
    """The line where a ':' was forgotten, counted from 0: YAML notices only at what follows."""
    what, mark = str(error.problem), error.problem_mark
    if "could not find expected ':'" in what and error.context_mark:
        return error.context_mark.line
    if mark and re.match("mapping values are not allowed|expected <block end>.*'<block mapping start>'", what):
        for number in range(min(mark.line, len(lines)) - 1, -1, -1):
            text = lines[number].split(" #")[0].strip()
            if text and not text.startswith("#"):
                return number if re.fullmatch(r"[\w.]+", text) else None
    return None
