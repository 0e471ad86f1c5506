"""A checkpoint whose text weighs more or less: what a factor on the text does is seen without training again."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from jobs.training import checkpoint
from runner.errors import CommandFailed, UserError

SCALE = re.compile(r"middle_fusions\.\w+\.text_scale")
PROJECTION = re.compile(r"middle_fusions\.\w+\.text\.second\.(weight|bias)")  # u = W₂·… is linear in both
HEAD = re.compile(r"text_head\.norm\.(weight|bias)")  # t leaves a LayerNorm: its weight and bias are the last factor


def rescale(source: Path, factor: float, target: Path) -> list[str]:
    """Copy a checkpoint with text_scale multiplied, or where there is none the last projection of the text.

    The names of what was multiplied. Raises UserError for a checkpoint without a text, or that is not whole, and
    CommandFailed where `target` exists.
    """
    if target.exists():
        raise CommandFailed(f"{target} exists; nothing is overwritten", next_command="another --to")
    if not source.exists():
        raise CommandFailed(f"there is no checkpoint {source}")
    try:
        content = checkpoint.load(source)
    except ValueError as error:
        raise UserError(str(error)) from error
    model = content.get("model")
    if not isinstance(model, dict):
        raise UserError(f"{source} holds no model")
    for pattern in (SCALE, PROJECTION, HEAD):
        if names := [name for name, value in model.items() if pattern.fullmatch(str(name)) and torch.is_tensor(value)]:
            break
    else:
        raise UserError(f"{source}: nothing to rescale; its model projects no text")
    for name in names:
        model[name] = model[name] * torch.tensor(factor, dtype=model[name].dtype)
    del content["format"]  # `save` writes it
    checkpoint.save(target, content)
    return names
