"""Tests for lazy properties: once an instance, and no instance waits for another."""

import threading
from concurrent.futures import ThreadPoolExecutor

from maxsup_analysis.lazy import lazy


class Meeting:
    """Its property ends only while that of another instance is computed too."""

    barrier = threading.Barrier(2, timeout=10)

    @lazy
    def place(self) -> int:
        return self.barrier.wait()


class Counted:
    """Counts how often its property is computed."""

    count = 0

    @lazy
    def number(self) -> int:
        """Which time it is."""
        self.count += 1
        return self.count


def test_two_instances_compute_at_the_same_time():
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda meeting: meeting.place, [Meeting(), Meeting()])) == [0, 1]


def test_an_instance_computes_once_and_has_its_own():
    first, second = Counted(), Counted()
    assert [first.number, first.number, second.number] == [1, 1, 1]
    assert Counted.number.__doc__ == "Which time it is."
