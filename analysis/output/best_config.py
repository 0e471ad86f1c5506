"""best_config.yaml: the chosen variant as an experiment file of its own, for a full training that is tested once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.rank.ranking import Variant
from analysis.rank.refinement import refined
from analysis.task_definitions import FULL_EPOCHS
from runner.config.yaml_output import dump

FULL_PATIENCE = 10  # epochs; a search stops earlier than a full training should


def best_config(content: Mapping[str, Any], chosen: Variant) -> str:
    """The experiment file `content` with the parameters of `chosen` alone, all data, and epochs enough.

    Seeds, cluster and resources stay.
    """
    name = str(content.get("experiment"))
    found = refined(content, chosen, [], f"{name}_best")
    params = found["params"]
    train, data = dict(params.get("train") or {}), dict(params.get("data") or {})
    train["epochs"] = max(FULL_EPOCHS, int(train.get("epochs") or 0))
    if train.get("patience") is not None:
        train["patience"] = max(FULL_PATIENCE, int(train["patience"]))
    data |= dict.fromkeys(data.keys() & {"train", "val", "test"})
    found["params"] = {**params, **({"data": data} if data else {}), "train": train}
    found["matrix"] = {key: value for key, value in found["matrix"].items() if key == "seeds"}
    found["description"] = f"The best of {name}, {chosen.name}, trained in full and tested once."
    del found["baseline"]
    return dump(found, f"Written by `analysis summarize {name}`: {chosen.name}, as its validation split chose it.")
