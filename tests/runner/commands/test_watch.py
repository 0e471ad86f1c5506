"""How often one who waits looks."""

from __future__ import annotations

from itertools import islice

from runner.commands.watch import LONGEST_S, pauses


def test_pauses_grow_with_the_time_waited_and_no_longer_than_slurm_allows() -> None:
    """One look in 30 s at most (docs/reliability.md), and short runs are seen to end at once."""
    now = 100.0

    def clock() -> float:
        return now

    found = []
    for pause in islice(pauses(1.0, clock), 80):
        found.append(pause)
        now += pause
    assert found[0] == 1.0
    assert found == sorted(found)
    assert found[-1] == LONGEST_S == 30.0
    assert sum(found[:20]) < 30, "a run of half a minute is seen to end within three seconds"


def test_a_watch_without_end_looks_twice_a_minute() -> None:
    assert list(islice(pauses(LONGEST_S), 3)) == [30.0] * 3
