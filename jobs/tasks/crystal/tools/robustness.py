"""What a finished model makes of wrong texts: none, those of other crystals, half of each; beside the right ones.

A model that reads its text does worse without it, and no better with another crystal's than without any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jobs.tasks.crystal.dataset import Corpus, embedded
from jobs.tasks.crystal.learner import CrystalLearner
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.tools.load_run import open_run, params_of
from runner.errors import UserError
from runner.rundir.layout import RunDir

TEXTS = ("right", "deleted", "shuffled", "truncated")
SHUFFLES = 5  # whose errors are averaged
SPLITS = ("val", "test")

Texts = list[str | None]  # of the crystals of a corpus


def robustness(
    run: RunDir, cache_root: Path, log: Callable[[str], None] = lambda text: None
) -> dict[str, dict[str, float]]:
    """Kind of text → metrics of val and test, at the best epoch, on the CPU.

    Raises UserError for a run that predicts from the graph alone, or that cannot be opened.
    """
    params = params_of(run)
    if not params.model.uses_text:
        raise UserError(f"{run.run_id} predicts from the graph alone: there is no text to change")
    learner = open_run(run, cache_root, log=log)
    descriptions = learner.corpus.descriptions
    assert descriptions is not None

    def judged(texts: Texts, as_configured: CrystalParams = params) -> dict[str, float]:
        changed = embedded(texts, as_configured, cache_root, learner.corpus.target.device, log)
        return _metrics(CrystalLearner(learner.model, replace(learner.corpus, texts=changed), params.train))

    # with half the tokens: of a text that is cut at max_length, half of the words may still fill it
    text = params.text.model_copy(update={"max_length": params.text.max_length // 2})
    shuffles = [judged(shuffled(learner.corpus, seed)) for seed in range(SHUFFLES)]
    return {
        "right": _metrics(learner),
        "deleted": judged([None] * len(descriptions)),
        "shuffled": {name: float(np.mean([metrics[name] for metrics in shuffles])) for name in shuffles[0]},
        "truncated": judged(halved(learner.corpus), params.model_copy(update={"text": text})),
    }


def _metrics(learner: CrystalLearner) -> dict[str, float]:
    metrics = (learner.metrics(split, *learner.predict(split)) for split in SPLITS)
    return {name: value for of_split in metrics for name, value in of_split.items()}


def shuffled(corpus: Corpus, seed: int) -> Texts:
    """Each crystal with the text of another of its split; crystals without one stay without.

    One cycle through all that have a text, in random order, so that none keeps its own.
    """
    assert corpus.descriptions is not None
    texts = list(corpus.descriptions)
    random = np.random.default_rng(seed)
    for places in corpus.places.values():
        order = random.permutation([place for place in places if corpus.descriptions[place] is not None])
        for place, giver in zip(order, np.roll(order, 1), strict=True):
            texts[place] = corpus.descriptions[giver]
    return texts


def halved(corpus: Corpus) -> Texts:
    """The texts of the splits that are judged, truncated; none of the others, which need not be encoded then."""
    assert corpus.descriptions is not None
    judged = {place for split in SPLITS for place in corpus.places[split]}
    return [truncated(text) if place in judged else None for place, text in enumerate(corpus.descriptions)]


def truncated(text: str | None) -> str | None:
    """The first half of the words."""
    if text is None:
        return None
    words = text.split()
    return " ".join(words[: (len(words) + 1) // 2])


def reads_its_text(results: dict[str, dict[str, float]], metric: str, mode: str) -> bool:
    """Whether right < deleted ≤ shuffled in an error (or the other way round in a score)."""
    sign = 1 if mode == "min" else -1
    right, deleted, other = (sign * results[kind][metric] for kind in ("right", "deleted", "shuffled"))
    return right < deleted <= other


def means(results: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over runs of what `robustness` gives."""
    return {
        kind: {name: float(np.mean([result[kind][name] for result in results])) for name in results[0][kind]}
        for kind in TEXTS
    }
