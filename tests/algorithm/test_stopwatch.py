"""Seconds of a part are counted once, also where an exception ends it."""

import pytest

from ppo.algorithm import stopwatch
from ppo.algorithm.stopwatch import Stopwatch


def test_time_inside_is_taken_out_of_the_part_around_it(monkeypatch):
    now = iter([0.0, 1.0, 4.0, 10.0])  # around, inside, end of inside, end of around
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(now))
    watch = Stopwatch("inside", "around")
    with pytest.raises(KeyError), watch.part("around"):
        with watch.part("inside", out_of="around"):
            pass
        raise KeyError
    assert watch.seconds == {"inside": 3.0, "around": 7.0}
