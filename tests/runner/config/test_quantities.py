"""Times and memory as people and Slurm write them."""

from __future__ import annotations

from typing import Any

import pytest

from runner.config.quantities import counted, human_seconds, mebibytes, seconds, unnamed_units


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (30, 1800), ("30", 1800), (1.5, 90), ("45s", 45), ("90m", 5400), ("1.5h", 5400), ("2d", 172800),
        ("30:15", 1815), ("90:00", 5400), ("1:30:00", 5400), ("01:30:00", 5400), ("1-0", 86400),
        ("1-12:30", 131400), ("1-00:00:00", 86400), (" 5 m ", 300),
    ],
)  # fmt: skip
def test_times_are_read_as_slurm_reads_them(written: str | float, expected: int) -> None:
    assert seconds(written) == expected


@pytest.mark.parametrize("written", ["", "abc", "5 minutes", "-5", "1:2:3:4", "1-2-3", "5m\n#SBATCH", "nan", "٣", True])
def test_what_is_no_time_is_refused_with_the_forms(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time; write minutes \(30\), 90m, 1\.5h, 2d, MM:SS, HH:MM:SS, D-HH"):
        seconds(written)


@pytest.mark.parametrize("written", ["0", "0:00", "0.1s", "99999d", "9" * 400])
def test_times_of_nothing_and_of_ages_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not a time between a second and ten years"):
        seconds(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (16384, 16384),
        ("16G", 16384),
        ("16g", 16384),
        ("1.5GB", 1536),
        ("16 GiB", 16384),
        ("512M", 512),
        ("1T", 1048576),
        ("2048K", 2),
    ],
)
def test_memory_is_read_in_mebibytes(written: str | int, expected: int) -> None:
    assert mebibytes(written) == expected


@pytest.mark.parametrize("written", ["", "16Q", "-1G", "0", "1K", "sixteen", "9" * 400, "1e3G"])
def test_what_is_no_memory_is_refused_with_the_forms(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount of memory; write a number with K, M, G or T \(16G\)"):
        mebibytes(written)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.4, "0s"), (59, "59s"), (200, "3m20s"), (7500, "2h05m"), (273600, "3d04h")]
)
def test_durations_are_short(value: float, shown: str) -> None:
    assert human_seconds(value) == shown


def test_one_is_not_many() -> None:
    assert [counted(number, "run") for number in (0, 1, 2, 1200)] == ["0 runs", "1 run", "2 runs", "1,200 runs"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"time": "1:30", "memory": 16}, ["time 1:30 → 1 min 30 s", "memory 16 → 16 MiB"]),
        ({"time": 90, "memory": "16384"}, ["time 90 → 1 h 30 min", "memory 16384 → 16,384 MiB"]),
        ({"time": "30m", "memory": "16G"}, []),
        ({"time": "1:30:00", "memory": None}, []),
    ],
)
def test_number_without_a_unit_is_said_with_one(written: dict[str, Any], expected: list[str]) -> None:
    assert unnamed_units(written) == expected
