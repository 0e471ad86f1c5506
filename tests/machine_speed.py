"""What 100,000 runs cost at least on this machine just now, as the unit of limits on processor time."""

from __future__ import annotations

import hashlib
import json
import time

RUNS = 100_000


def least_seconds() -> float:
    """Processor seconds in which plain Python merges, encodes and hashes as many parameters as a crystal run has."""
    base = {"data": dict.fromkeys("abcdefgh", 1), "graph": dict.fromkeys("abcde", 8.0), "text": dict.fromkeys("abcde")}
    base |= {"model": {part: dict.fromkeys("abcdef", 0.1) for part in ("encoder", "middle", "late")}}
    train = {f"key_{letter}": 0.001 for letter in "abcdefghijklmnopqr"}
    rows = {}
    began = time.process_time()
    for number in range(RUNS):
        params = {**base, "train": {**train, "key_a": number}}
        text = json.dumps(params, sort_keys=True, separators=(",", ":"))
        rows[hashlib.sha256(text.encode()).hexdigest()] = params
    return time.process_time() - began
