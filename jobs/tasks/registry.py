"""Tasks by name, and the user's own by `package.module:Class`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from jobs.task import Task
from runner.errors import ConfigError, Problem, UserError, nearest
from runner.extras import require

# A new task is one line here; the module is imported when the task is asked for.
TASKS = {
    "crystal": "jobs.tasks.crystal.task:CrystalTask",
    "command": "jobs.tasks.command.task:CommandTask",
    "sentiment": "jobs.tasks.sentiment.task:SentimentTask",
}


def load_task(name: str, code_path: str | Path | None = None) -> Task:
    """The task called `name`.

    code_path: folder of the user's own modules; it comes last on `sys.path`, since our packages have common names.
    Raises ConfigError for an unknown name or a class that is no task, UserError when the user's module fails, or
    where a package that a task of ours needs is not installed.
    """
    if name in TASKS:
        require(name)
        module, _, cls = TASKS[name].partition(":")
        return cast(Task, getattr(import_module(module), cls)())
    module, colon, cls = name.partition(":")
    if not (colon and module and cls):
        allowed = f"{', '.join(TASKS)}, or package.module:Class for a task of your own"
        raise _mistake(f"found {name!r}, which is no task", allowed=allowed, nearest=nearest(name, TASKS))
    if code_path is not None and str(code_path) not in sys.path:
        sys.path.append(str(code_path))
    task_class = getattr(_import_users(module, name, code_path), cls, None)
    if task_class is None:
        raise _mistake(f"module {module!r} has no class {cls!r}")
    _check(task_class, name)
    return cast(Task, task_class())


def _import_users(module: str, name: str, code_path: str | Path | None) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise UserError(f"task {name!r}: its module imports {error.name!r}, which is not installed") from error
        first = error.name.partition(".")[0]
        if first in sys.modules and first != error.name:
            where = getattr(sys.modules[first], "__path__", ["?"])[0]
            raise _mistake(f"no module {error.name!r} in the package {first!r} at {where}; "
                           f"if {first!r} is a package of yours, give it another name") from error  # fmt: skip
        looked = f"code_path {code_path}" if code_path is not None else "the installed packages (code_path is not set)"
        raise _mistake(f"no module {error.name!r}; looked in {looked}") from error
    except Exception as error:
        raise UserError(f"task {name!r}: importing {module!r} failed: {type(error).__name__}: {error}") from error


def _check(task_class: Any, name: str) -> None:
    wanted = {
        "Params": "a pydantic model of the parameters",
        "seed_key": "the dotted key that `seeds` set",
        "prepare": "a method",
        "run": "a method",
    }
    missing = [f"{member} ({what})" for member, what in wanted.items() if not hasattr(task_class, member)]
    if missing:
        raise _mistake(f"class {name!r} is no task: it lacks {', '.join(missing)}")
    if not (isinstance(task_class.Params, type) and issubclass(task_class.Params, BaseModel)):
        raise _mistake(f"class {name!r} is no task: Params is {task_class.Params!r}, not a pydantic model")


def _mistake(what: str, allowed: str | None = None, nearest: str | None = None) -> ConfigError:
    return ConfigError([Problem(what, key="task", allowed=allowed, nearest=nearest)])
