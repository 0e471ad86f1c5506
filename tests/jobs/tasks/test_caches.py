"""The cache directory."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from build_log import builds
from jobs import content_cache
from runner.errors import CommandFailed
from runner.rundir.cache_root import cache_root, make_folder, open_to_others


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_CACHE", "~/c")
    assert cache_root() == Path.home() / "c"
    assert cache_root("/scratch/me") == Path("/scratch/me")
    monkeypatch.delenv("RUNNER_CACHE")
    assert cache_root() == Path.home() / ".cache" / "runner"


def test_keys_tell_types_and_shapes_apart() -> None:
    parts = [[1], ["1"], b"1", np.array([1]), np.array([[1]]), np.array([1], dtype=np.int32), None]
    keys = {content_cache.content_key(part) for part in parts}
    assert len(keys) == len(parts)
    assert content_cache.content_key({"a": 1, "b": 2}) == content_cache.content_key({"b": 2, "a": 1})


def test_a_directory_appears_whole_or_not_at_all(tmp_path) -> None:
    def broken(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise RuntimeError("the node died")

    with pytest.raises(RuntimeError, match="the node died"):
        content_cache.publish(tmp_path / "kind" / "a", tmp_path, "things", 3, broken)
    assert list((tmp_path / "kind").iterdir()) == []
    assert builds(tmp_path) == []


def test_what_is_there_is_not_filled_again(tmp_path) -> None:
    place = tmp_path / "kind" / "a"
    for text in ("first", "second"):
        content_cache.publish(
            place, tmp_path, "things", 3, lambda folder, text=text: (folder / "x").write_text(text) and None
        )
    assert (place / "x").read_text() == "first"
    (build,) = builds(tmp_path)
    assert (build["kind"], build["items"], build["path"]) == ("things", 3, "kind/a")


def test_a_builder_that_was_slower_leaves_the_result_of_the_faster(tmp_path) -> None:
    place = tmp_path / "kind" / "a"

    def overtaken(directory: Path) -> None:
        (directory / "x").write_text("slow")
        place.mkdir()
        (place / "x").write_text("fast")

    content_cache.publish(place, tmp_path, "things", 1, overtaken)
    assert (place / "x").read_text() == "fast"
    assert list(place.parent.iterdir()) == [place]


def test_arrays_come_back_memory_mapped_and_read_only(tmp_path) -> None:
    content_cache.save_arrays(tmp_path, {"a": np.arange(6).reshape(2, 3)})
    array = content_cache.load_array(tmp_path, "a")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_shards_are_found_by_key(tmp_path) -> None:
    keys = [f"{number:032x}" for number in range(5)]
    for part in (keys[:2], keys[2:]):
        rows = {"a": np.array([int(key, 16) for key in part])}
        content_cache.publish_shard(
            tmp_path / "s", tmp_path, "things", part, lambda d, rows=rows: content_cache.save_arrays(d, rows)
        )
    found = content_cache.find_in_shards([keys[3], keys[0], "f" * 32], tmp_path / "s")
    assert {key: int(content_cache.load_array(shard, "a")[row]) for key, (shard, row) in found.items()} == {
        keys[3]: 3,
        keys[0]: 0,
    }


def test_an_unwritable_root_says_what_to_do(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailed, match=r"lacks things \(3 to compute\)[\s\S]*or set RUNNER_CACHE"):
        content_cache.publish(tmp_path / "file" / "a", tmp_path / "file", "things", 3, lambda folder: None)


def test_arrays_are_read_from_a_copy_on_the_node_that_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = tmp_path / "cache" / "shard-1"
    shard.mkdir(parents=True)
    content_cache.save_arrays(shard, {"keys": np.arange(3), "pooled": np.ones(3), "tokens": np.zeros(3)})
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "node"))
    monkeypatch.setenv("RUNNER_SCRATCH", "$NODE_DISK")
    assert content_cache.load_array(shard, "pooled").sum() == 3
    (copy,) = (tmp_path / "node" / "runner-cache").iterdir()
    assert copy.name.endswith("-pooled.npy")
    (shard / "pooled.npy").unlink()
    assert content_cache.load_array(shard, "pooled").sum() == 3


@pytest.mark.parametrize("scratch", ["$NO_SUCH_VARIABLE", "/proc/no/such/place"])
def test_arrays_are_read_from_the_cache_where_the_node_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratch: str
) -> None:
    content_cache.save_arrays(tmp_path, {"pooled": np.ones(3)})
    monkeypatch.setenv("RUNNER_SCRATCH", scratch)
    assert content_cache.load_array(tmp_path, "pooled").sum() == 3


def test_array_after_a_prepare_job_computes_nothing_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = content_cache.publish(tmp_path / "made", tmp_path, "graphs", 1, lambda beside: (beside / "a").touch())
    monkeypatch.setenv("RUNNER_CACHE_READ_ONLY", "1")
    assert content_cache.publish(tmp_path / "made", tmp_path, "graphs", 1, lambda beside: None) == made
    with pytest.raises(CommandFailed, match=r"lacks graphs \(3 to compute\) .* read-only after the prepare job"):
        content_cache.publish(tmp_path / "new", tmp_path, "graphs", 3, lambda beside: None)
    assert not (tmp_path / "new").exists()


def test_the_cache_root_is_defined_once() -> None:
    repository = Path(__file__).parents[3]
    sources = (path for name in ("runner", "jobs", "models", "analysis") for path in (repository / name).rglob("*.py"))
    assert _defining(sources) == ["cache_root.py"]


def test_a_second_definition_of_the_cache_root_is_noticed(tmp_path) -> None:
    for number, line in enumerate(
        ['os.environ.get("RUNNER_CACHE")', 'e["RUNNER_CACHE"] or "x"', 'Path("~/.cache/runner")']
    ):
        (tmp_path / f"{number}.py").write_text(line)
    assert _defining(sorted(tmp_path.iterdir())) == ["0.py", "1.py", "2.py"]


def _defining(sources: Iterable[Path]) -> list[str]:
    """Modules that read RUNNER_CACHE or spell its default; the submission hands on what was set, told by name alone."""
    found = []
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            is_get = isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".get", "getenv"))
            reads = is_get or (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load))
            names = {its.value for its in ast.walk(node) if isinstance(its, ast.Constant)} if reads else set()
            spelt = isinstance(node, ast.Constant) and node.value in (".cache", "~/.cache/runner")
            if "RUNNER_CACHE" in names or spelt:
                found.append(path.name)
                break
    return found


@pytest.mark.parametrize(
    ("outer", "inner", "open_at"),
    [
        (0o755, 0o755, None), (0o775, 0o755, "a"), (0o757, 0o755, "a"), (0o755, 0o775, "b"),
        (0o1777, 0o755, "a"), (0o1777, 0o700, None),
    ],
)  # fmt: skip
def test_a_folder_that_others_may_write_to_is_found(tmp_path, outer: int, inner: int, open_at: str | None) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch(0o600)
    (tmp_path / "a").chmod(outer)
    (tmp_path / "a" / "b").chmod(inner)
    place = open_to_others(tmp_path / "a" / "b" / "file")
    assert (place and place.name) == open_at


def test_a_link_is_judged_where_it_lies_and_where_it_leads(tmp_path) -> None:
    for name in ("safe", "open"):
        (tmp_path / name).mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "safe" / "out").symlink_to(tmp_path / "open")
    (tmp_path / "open" / "in").symlink_to(tmp_path / "safe")
    assert open_to_others(tmp_path / "safe" / "out") == open_to_others(tmp_path / "open" / "in") == tmp_path / "open"


def test_folders_of_a_cache_are_writable_for_their_owner_alone(tmp_path) -> None:
    before = os.umask(0)
    try:
        make_folder(tmp_path / "root" / "kernels")
    finally:
        os.umask(before)
    assert open_to_others(tmp_path / "root" / "kernels") is None
