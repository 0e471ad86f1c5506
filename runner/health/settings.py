"""The options of a run that advice may name: only keys that it has, and only what is not on already.

Free of torch and pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.files import as_number
from runner.health.quantities import LATE

SECTIONS = {LATE: "late_fusion"}  # of params.model; a layer with a number belongs to middle_fusion


@dataclass(frozen=True)
class Change:
    """One thing to try. `{key}` in `text` stands for the whole dotted key."""

    key: str  # of the fusion, or train.<key>
    text: str
    done: Callable[[Any], bool] = lambda value: False  # whether that value of the key is the proposed one already


@dataclass(frozen=True)
class Settings:
    """The parameters that bear on one fused layer, or on the training; empty where they are not known."""

    layer: str | None = None
    section: str = ""  # dotted key of the fusion's options
    options: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None  # optimiser steps of the whole run

    def value(self, key: str) -> Any:
        """The value of `key`; None where the run has no such key."""
        return self.train.get(key.removeprefix("train.")) if key.startswith("train.") else self.options.get(key)

    def has(self, key: str) -> bool:
        return key.removeprefix("train.") in self.train if key.startswith("train.") else key in self.options

    def advise(self, *changes: Change, otherwise: str = "") -> str:
        """Those of `changes` whose key the run has and that are not on; else `otherwise`."""
        texts = [
            change.text.replace(
                "{key}", change.key if change.key.startswith("train.") else f"{self.section}.{change.key}"
            )
            for change in changes
            if self.has(change.key) and not change.done(self.value(change.key))
        ]
        return ", or ".join(texts) or otherwise


UNKNOWN = Settings()


def settings_of(params: Mapping[str, Any], layer: str | None = None, steps: int | None = None) -> Settings:
    """What `params` say about `layer`; of the training alone for None."""
    model, train = (_mapping(params.get(name)) for name in ("model", "train"))
    name = "" if layer is None else "middle_fusion" if layer.isdigit() else SECTIONS.get(layer, "")
    options = _of_layer(model.get(name), layer)
    return Settings(layer, f"model.{name}" if options else "", options, train, steps)


def _of_layer(fusion: Any, layer: str | None) -> Mapping[str, Any]:
    """The options of a fusion; of several in a list, those of the one at `layer`."""
    for one in map(_mapping, fusion if isinstance(fusion, (list, tuple)) else ()):
        if layer in [str(number) for number in one.get("layers") or ()]:
            return one
    return _mapping(fusion)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def planned_steps(history: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> int | None:
    """Optimiser steps of the whole run, from what its epochs so far took."""
    last = history[-1] if history else {}
    step, epoch = as_number(last.get("step")), as_number(last.get("epoch"))
    epochs = as_number(_mapping(params.get("train")).get("epochs"))
    return round(step / epoch * epochs) if step and epoch and epochs else None


def _is_on(value: Any) -> bool:
    return value is True or (as_number(value) or 0) > 0


CONTRAST = Change("train.contrastive_weight", "{key}: 0.1", _is_on)
GATE_NORM = Change("gate_norm", "{key}: true, so that the gate sees both streams", _is_on)
TEXT_QUALITY = Change("text_quality", "{key}: true", _is_on)
SLOWER = Change("train.learning_rate", "a smaller {key}")
HALF_RATE = Change("train.learning_rate", "{key}: 5e-4", lambda value: (as_number(value) or 1) <= 5e-4)
CLIP = Change("train.gradient_clip", "{key}: 1.0", _is_on)
SCALE_20 = Change("initial_scale", "{key}: 20", lambda value: as_number(value) == 20)
LARGER_SCALE = Change("initial_scale", "a larger {key}")
SMALLER_SCALE = Change("initial_scale", "a smaller {key}")
MORE_DROPOUT = Change("dropout", "a larger {key}")
NARROWER = Change("hidden_dim", "a smaller {key}")
FEWER_LAYERS = Change("layers", "fewer {key}", lambda value: not isinstance(value, (list, tuple)) or len(value) < 2)
OTHER_LAYER = Change("layers", "other {key}")


def late_form(name: str) -> Change:
    """Another late fusion."""
    return Change("name", f"{{key}}: {name}", lambda value: value == name)


def gate_warmup(steps: int | None) -> Change:
    """500 steps, or 30 % of a shorter run."""
    share = 500 if steps is None else int(0.3 * steps)
    shown = f"{{key}}: {share} (30 % of this run's {steps} steps)" if share < 500 else "{key}: 500"
    return Change("gate_warmup", shown, _is_on)
