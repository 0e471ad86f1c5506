"""Gradient descent on (w - target)², in plain Python: the same numbers on every machine. Arguments: rate, seed."""

import json
import random
import sys

rate, seed = float(sys.argv[1]), int(sys.argv[2])
target, w = random.Random(seed).uniform(1, 2), 0.0
with open("log.jsonl", "w") as log:
    for epoch in range(1, 6):
        w -= rate * 2 * (w - target)
        log.write(json.dumps({"epoch": epoch, "val_mae": (w - target) ** 2}) + "\n")
