"""The help of both command lines: in groups, uncut, with examples that the commands accept; their version."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
from typer.main import get_command

import analysis.cli
import runner.cli
from analysis.commands.examples import EXAMPLES as OF_ANALYSIS
from runner.commands.examples import EXAMPLES as OF_RUNNER

PROGRAMS = {"runner": (runner.cli.app, OF_RUNNER), "analysis": (analysis.cli.app, OF_ANALYSIS)}
COMMANDS = [(program, name) for program, (_, groups) in PROGRAMS.items() for group in groups.values() for name in group]


def printed(program: str, *words: str, columns: int = 80) -> str:
    line = [sys.executable, "-P", "-m", f"{program}.cli", *words]
    environment = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_stands_in_one_group(program: str) -> None:
    command_line: Any = get_command(PROGRAMS[program][0])
    assert sorted(name for of, name in COMMANDS if of == program) == sorted(command_line.commands)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_of_the_program_is_uncut_at_the_width_of_the_window(program: str, columns: int) -> None:
    text = printed(program, "-h", columns=columns)
    assert max(map(len, text.splitlines())) <= columns
    assert max(map(len, text.splitlines())) > columns - 15, "the window is not used"
    command_line: Any = get_command(PROGRAMS[program][0])
    for name, command in command_line.commands.items():
        assert " ".join([name, *command.help.split("\n\n")[0].split()]) in " ".join(text.split())


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_examples_of_a_command_are_accepted_and_stand_in_its_help(program: str, name: str) -> None:
    app, groups = PROGRAMS[program]
    command_line: Any = get_command(app)
    command = command_line.get_command(None, name)
    examples = next(group[name] for group in groups.values() if name in group)
    assert len(set(examples)) == 2
    for example in examples:
        first, second, *words = shlex.split(re.sub(r" > \S+$", "", example))
        assert (first, second) == (program, name)
        assert f"  {example}\n" in command.get_help(command.make_context(name, words)) + "\n"
        assert len(f"  {example}") <= 80


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_is_that_of_the_package(program: str) -> None:
    assert printed(program, "--version") == f"array-runner {version('array-runner')}\n"
