"""Data sets in the layout of MMSA: one pickle of {split: {text, vision, audio, regression_labels, id, …}}."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.sentiment.samples import SPLITS, Floats, Mask, Modality, Samples, Split, mask_of_lengths
from jobs.sentiment.unpickling import read_arrays
from models.sentiment.options import MODALITIES
from runner.errors import UserError

IN_FILE = {"train": "train", "val": "valid", "test": "test"}
LARGEST = 3.0  # |sentiment|


def load(path: Path) -> Samples:
    """Read and check the pickle at `path`.

    text, vision, audio: (n, L, d), L and d one for all splits; regression_labels: (n,) in [−3, 3]; id (or ids): n
    texts. Where a modality is unaligned, `vision_lengths` and `audio_lengths` (n,) say how many of its positions count;
    the text's are row 1 of `text_bert` (n, 3, L) where that is there. Otherwise positions whose features are all zero
    are padding. Features that are no finite numbers (COVAREP writes −inf for silence) become 0 and are counted in the
    notes. Raises UserError that names the split and the field.
    """
    content = read_arrays(path)
    if not isinstance(content, Mapping):
        raise UserError(f"data.dataset: {path} holds a {type(content).__name__}; allowed: a dict of train, valid, test")
    missing = [name for name in IN_FILE.values() if not isinstance(content.get(name), Mapping)]
    if missing:
        found = ", ".join(map(str, list(content)[:8])) or "nothing"
        raise UserError(f"data.dataset: {path} has no {', '.join(missing)}; found {found}")
    notes: list[str] = []
    splits = {name: _Reader(path, name, content[IN_FILE[name]], notes).split() for name in SPLITS}
    _check_widths(path, splits)
    _check_ids(path, splits, notes)
    return Samples(splits, tuple(notes))


def _single(values: NDArray[Any]) -> Floats:
    """float32, which the checks that follow are made on: what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


class _Reader:
    """One split of a file."""

    def __init__(self, path: Path, name: str, content: Mapping[str, Any], notes: list[str]) -> None:
        self.path, self.name, self.content, self.notes = path, IN_FILE[name], content, notes

    def split(self) -> Split:
        labels = self._labels()
        ids = self._ids(len(labels))
        return Split(ids, labels, {name: self._modality(name, len(labels)) for name in MODALITIES})

    def wrong(self, field: str, what: str) -> UserError:
        return UserError(f"data.dataset: {self.path}: {self.name}/{field}: {what}")

    def _array(self, field: str) -> NDArray[Any]:
        if field not in self.content:
            there = ", ".join(map(str, list(self.content)[:12])) or "nothing"
            raise self.wrong(field, f"missing; found {there}")
        try:
            values = np.asarray(self.content[field])
        except ValueError:
            raise self.wrong(field, "its rows have different lengths; pad them to one") from None
        if values.dtype.kind not in "biuf":
            raise self.wrong(field, f"found values of type {values.dtype}; allowed: numbers")
        return values

    def _labels(self) -> Floats:
        labels = _single(self._array("regression_labels"))
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or not len(labels):
            raise self.wrong("regression_labels", f"found shape {labels.shape}; allowed: (n,), at least one")
        bad = np.flatnonzero(~(np.abs(labels) <= LARGEST + 1e-6))  # NaN compares false
        if len(bad):
            seen = f"{labels[bad[0]]:g} at {bad[0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
            raise self.wrong("regression_labels", f"found {seen}; allowed: −3 to 3")
        return labels

    def _ids(self, count: int) -> list[str]:
        field = "ids" if "ids" in self.content and "id" not in self.content else "id"
        if field not in self.content:
            return [f"{self.name}-{number}" for number in range(count)]
        found = self.content[field]
        listed = found.tolist() if isinstance(found, np.ndarray) else found
        if not isinstance(listed, list | tuple):
            raise self.wrong(field, f"found a {type(found).__name__}; allowed: a list of texts")
        if len(listed) != count:
            raise self.wrong(field, f"found {len(listed)}, but regression_labels has {count}")
        return [its.decode(errors="replace") if isinstance(its, bytes) else str(its) for its in listed]

    def _modality(self, name: str, count: int) -> Modality:
        values = self._array(name)
        if values.ndim != 3 or 0 in values.shape[1:]:
            raise self.wrong(name, f"found shape {values.shape}; allowed: (n, length, features)")
        if len(values) != count:
            raise self.wrong(name, f"found {len(values)} utterances, but regression_labels has {count}")
        values = _single(values)
        finite = np.isfinite(values)
        if not finite.all():
            bad = values.size - int(finite.sum())
            self.notes.append(f"{self.name}/{name}: {bad:,} values are not finite and were set to 0")
            values[~finite] = 0.0
        mask = self._mask(name, values)
        values[~mask] = 0.0
        return Modality(values, mask)

    def _mask(self, name: str, values: Floats) -> Mask:
        count, longest = values.shape[:2]
        if f"{name}_lengths" in self.content:
            return mask_of_lengths(self._lengths(f"{name}_lengths", count, longest), longest)
        if name == "text" and "text_bert" in self.content:
            tokens = self._array("text_bert")
            if tokens.shape != (count, 3, longest):
                raise self.wrong("text_bert", f"found shape {tokens.shape}; allowed: {(count, 3, longest)}, as of text")
            mask = tokens[:, 1] > 0
        else:
            mask = (values != 0).any(2)
        mask[~mask.any(1), 0] = True  # nothing was said, seen or heard: one position of zeros
        return mask

    def _lengths(self, field: str, count: int, longest: int) -> NDArray[Any]:
        lengths = self._array(field)
        if lengths.shape != (count,):
            raise self.wrong(field, f"found shape {lengths.shape}; allowed: {(count,)}")
        bad = np.flatnonzero(~((lengths >= 0) & (lengths <= longest)))
        if len(bad):
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise self.wrong(field, f"found {lengths[bad[0]]} at {bad[0]}{more}; allowed: 0 to {longest}")
        return lengths


def _check_widths(path: Path, splits: Mapping[str, Split]) -> None:
    for name in MODALITIES:
        shapes = {IN_FILE[split]: its.modalities[name].values.shape[2] for split, its in splits.items()}
        if len(set(shapes.values())) > 1:
            shown = ", ".join(f"{split} {width}" for split, width in shapes.items())
            raise UserError(f"data.dataset: {path}: {name} has different numbers of features: {shown}")


def _check_ids(path: Path, splits: Mapping[str, Split], notes: list[str]) -> None:
    """Twice in one split is an error; in two splits it is told, because the published files may have it."""
    for split, its in splits.items():
        twice = [name for name, count in Counter(its.ids).items() if count > 1]
        if twice:
            more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
            raise UserError(f"data.dataset: {path}: {IN_FILE[split]}/id: {twice[0]!r}{more} stands more than once")
    known = set(splits["train"].ids)
    leaked = [name for split in ("val", "test") for name in splits[split].ids if name in known]
    if leaked:
        notes.append(f"{len(leaked)} utterances of valid or test are in train too, such as {leaked[0]!r}")
