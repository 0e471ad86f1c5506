"""Data sets in the layout of MMSA, as .npz: arrays called `split/field`, such as `train/text` and `valid/id`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.tasks.sentiment import archive
from jobs.tasks.sentiment.archive import Header
from jobs.tasks.sentiment.samples import SPLITS, Floats, Mask, Modality, Samples, Split, mask_of_lengths
from models.sentiment.options import MODALITIES
from runner.errors import UserError
from runner.files import replacing

IN_FILE = {"train": "train", "val": "valid", "test": "test"}
SMALL_FIELDS = ("regression_labels", "id", "ids", "vision_lengths", "audio_lengths")
FIELDS = (*MODALITIES, *SMALL_FIELDS, "text_bert")  # what is read; the files of MMSA hold more
LARGEST = 3.0  # |sentiment|
_KEY = "data.dataset"


def load(path: Path) -> Samples:
    """Read and check the .npz at `path`.

    text, vision, audio: (n, L, d), L and d one for all splits; regression_labels: (n,) in [−3, 3]; id (or ids): n
    texts. Where a modality is unaligned, `vision_lengths` and `audio_lengths` (n,) say how many of its positions count;
    the text's are row 1 of `text_bert` (n, 3, L) where that is there. Otherwise positions whose features are all zero
    are padding. Features that are no finite numbers (COVAREP writes −inf for silence) become 0 and are counted in the
    notes. Raises UserError that names the split and the field.
    """
    readers, notes = _readers(path, FIELDS)
    return Samples({name: reader.split() for name, reader in readers.items()}, tuple(notes))


def check(path: Path) -> None:
    """Raise the UserError that `load` would, as far as it shows without reading the features."""
    _readers(path, SMALL_FIELDS)


def save(path: Path, content: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Write {train, valid, test: {field: array}}."""
    arrays: dict[str, Any] = {
        f"{split}/{field}": array for split, fields in content.items() for field, array in fields.items()
    }
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)


def _readers(path: Path, fields: tuple[str, ...]) -> tuple[dict[str, _Reader], list[str]]:
    """A checked reader of each split, which has read `fields`; and notes, to which it adds."""
    _refuse_pickle(path)
    headers = archive.headers(path, _KEY)
    if missing := [name for name in IN_FILE.values() if not any(key.startswith(f"{name}/") for key in headers)]:
        listed = ", ".join(list(headers)[:8]) or "nothing"
        wanted = f"arrays called {missing[0]}/text, {missing[0]}/vision, …"
        raise UserError(f"{_KEY}: {path} has no {', '.join(missing)}; found {listed}; allowed: {wanted}")
    arrays = archive.read(path, _KEY, {f"{split}/{field}" for split in IN_FILE.values() for field in fields})
    notes: list[str] = []
    readers = {name: _Reader(path, name, headers, arrays, notes) for name in SPLITS}
    _check_widths(path, readers)
    _check_ids(path, {name: reader.ids for name, reader in readers.items()}, notes)
    return readers, notes


def _refuse_pickle(path: Path) -> None:
    """UserError, with the command of the converter, for the pickle that MMSA publishes."""
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(2)
    if head[:1] == b"\x80" or (path.suffix.lower() in (".pkl", ".pickle") and head != b"PK"):
        target = path.with_suffix(".npz")
        raise UserError(
            f"{_KEY}: {path} is a pickle, which is a program: whoever opens it runs what its author wrote. It was not "
            "opened. The converter writes an .npz from it and EXECUTES it once: only if you trust where it is from",
            next_command=f"python -m jobs.tasks.sentiment.convert {shlex.quote(str(path))} {shlex.quote(str(target))}",
        )


def _single(values: NDArray[Any]) -> Floats:
    """float32, which the checks that follow are made on: what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _outside(values: NDArray[Any], allowed: NDArray[np.bool_]) -> str:
    """The first value that is not allowed, its place, and how many more there are; empty where there is none."""
    wrong = np.flatnonzero(~allowed)
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"{values[wrong[0]]:g} at {wrong[0]}{more}" if len(wrong) else ""


class _Reader:
    """One split of a file. Labels, ids and lengths are read at once, features by `split`; their shapes are checked."""

    def __init__(
        self,
        path: Path,
        name: str,
        headers: Mapping[str, Header],
        arrays: Mapping[str, NDArray[Any]],
        notes: list[str],
    ) -> None:
        self.path, self.name, self.notes = path, IN_FILE[name], notes
        own = f"{self.name}/"
        self.headers = {key.removeprefix(own): header for key, header in headers.items() if key.startswith(own)}
        self.arrays = {key.removeprefix(own): array for key, array in arrays.items() if key.startswith(own)}
        self.labels = self._labels()
        self.ids = self._ids(len(self.labels))
        self.shapes = {name: self._shape(name, len(self.labels)) for name in MODALITIES}
        self.lengths = {name: self._lengths(f"{name}_lengths", *self.shapes[name][:2]) for name in MODALITIES}

    def split(self) -> Split:
        return Split(self.ids, self.labels, {name: self._modality(name) for name in MODALITIES})

    def wrong(self, field: str, what: str) -> UserError:
        return UserError(f"{_KEY}: {self.path}: {self.name}/{field}: {what}")

    def _header(self, field: str) -> Header:
        """Of numbers."""
        if field not in self.headers:
            raise self.wrong(field, f"missing; found {', '.join(list(self.headers)[:12]) or 'nothing'}")
        header = self.headers[field]
        if header.dtype.kind not in "biuf":
            raise self.wrong(field, f"found values of type {header.dtype}; allowed: numbers")
        return header

    def _array(self, field: str) -> NDArray[Any]:
        self._header(field)
        return self.arrays[field]

    def _labels(self) -> Floats:
        labels = _single(self._array("regression_labels"))
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or not len(labels):
            raise self.wrong("regression_labels", f"found shape {labels.shape}; allowed: (n,), at least one")
        if outside := _outside(labels, np.abs(labels) <= LARGEST + 1e-6):  # NaN compares false
            raise self.wrong("regression_labels", f"found {outside}; allowed: −3 to 3")
        values = np.unique(labels)
        if self.name == "train" and len(values) <= 2 < len(labels):
            shown = " and ".join(f"{value:g}" for value in values)
            self.notes.append(
                f"{self.name}/regression_labels: no other values than {shown}: these are classes, not degrees of "
                "sentiment, and correlation and MAE say little about them"
            )
        return labels

    def _ids(self, count: int) -> list[str]:
        field = "ids" if "ids" in self.arrays and "id" not in self.arrays else "id"
        if field not in self.arrays:
            return [f"{self.name}-{number}" for number in range(count)]
        ids = self.arrays[field]
        if ids.ndim != 1:
            raise self.wrong(field, f"found shape {ids.shape}; allowed: (n,) texts")
        if len(ids) != count:
            raise self.wrong(field, f"found {len(ids)}, but regression_labels has {count}")
        return [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in ids.tolist()]

    def _shape(self, name: str, count: int) -> tuple[int, ...]:
        shape = self._header(name).shape
        if len(shape) != 3 or 0 in shape[1:]:
            raise self.wrong(name, f"found shape {shape}; allowed: (n, length, features)")
        if shape[0] != count:
            raise self.wrong(name, f"found {shape[0]} utterances, but regression_labels has {count}")
        return shape

    def _modality(self, name: str) -> Modality:
        values = _single(self._array(name))
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
        if (lengths := self.lengths[name]) is not None:
            return mask_of_lengths(lengths, longest)
        if name == "text" and "text_bert" in self.arrays:
            tokens = self._array("text_bert")
            if tokens.shape != (count, 3, longest):
                raise self.wrong("text_bert", f"found shape {tokens.shape}; allowed: {(count, 3, longest)}, as of text")
            mask = tokens[:, 1] > 0
        else:
            mask = (values != 0).any(2)
        mask[~mask.any(1), 0] = True  # nothing was said, seen or heard: one position of zeros
        return mask

    def _lengths(self, field: str, count: int, longest: int) -> NDArray[Any] | None:
        if field not in self.arrays:
            return None
        lengths = self._array(field)
        if lengths.shape != (count,):
            raise self.wrong(field, f"found shape {lengths.shape}; allowed: {(count,)}")
        if outside := _outside(lengths, (lengths >= 0) & (lengths <= longest)):
            raise self.wrong(field, f"found {outside}; allowed: 0 to {longest}")
        return lengths


def _check_widths(path: Path, readers: Mapping[str, _Reader]) -> None:
    for name in MODALITIES:
        widths = {IN_FILE[split]: reader.shapes[name][2] for split, reader in readers.items()}
        if len(set(widths.values())) > 1:
            shown = ", ".join(f"{split} {width}" for split, width in widths.items())
            raise UserError(f"{_KEY}: {path}: {name} has different numbers of features: {shown}")


def _check_ids(path: Path, ids: Mapping[str, list[str]], notes: list[str]) -> None:
    """Twice in one split is an error; in two splits it is a note, because the published files may have it."""
    for split, names in ids.items():
        if odd := [name for name in names if not name.strip() or not name.isprintable()]:
            raise UserError(f"{_KEY}: {path}: {IN_FILE[split]}/id: {odd[0]!r} is empty or has control characters")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
            raise UserError(f"{_KEY}: {path}: {IN_FILE[split]}/id: {twice[0]!r}{more} stands more than once")
    known = set(ids["train"])
    if leaked := [name for split in ("val", "test") for name in ids[split] if name in known]:
        notes.append(f"{len(leaked)} utterances of valid or test are in train too, such as {leaked[0]!r}")
