"""The order of an epoch: which crystals make a batch.

`random`: a random order cut into batches. `balanced`: the bond pairs, which a step's time and memory grow with, are
spread evenly: roughly from the largest crystal to the smallest, each goes to the batch that has the fewest pairs and
still has room. Roughly: each counts as up to half smaller than it is, by chance, because otherwise the same crystals
would meet in every epoch. The order of the batches is left to chance too.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from jobs.training.trainer import cut

Positions = NDArray[np.int64]


def balanced(order: Positions, pairs: NDArray[np.int64], size: int) -> list[Positions]:
    """As many batches, of the same sizes, as `cut` makes, with about equally many pairs per crystal.

    order: positions in random order; pairs: bond pairs of each, in that order. The smaller batch stays the last.
    """
    sizes = [len(batch) for batch in cut(order, size)]
    members: list[list[int]] = [[] for _ in sizes]
    # a smaller batch is as full as the others when it has its share of the pairs
    open_batches = [(0.0, number) for number in range(len(sizes))]
    lessened = pairs * (1 - 0.5 * np.arange(len(order)) / len(order))  # the order is random already
    for place in np.argsort(-lessened, kind="stable"):
        load, number = heapq.heappop(open_batches)
        members[number].append(int(place))
        if len(members[number]) < sizes[number]:
            heapq.heappush(open_batches, (load + pairs[place] / sizes[number], number))
    whole = [number for number, length in enumerate(sizes) if length == size]
    first_seen = sorted(whole, key=lambda number: min(members[number]))  # as random as `order`
    rest = [number for number, length in enumerate(sizes) if length < size]
    return [order[np.sort(members[number])] for number in [*first_seen, *rest]]
