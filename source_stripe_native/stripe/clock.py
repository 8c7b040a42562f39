"""Stripe's clock, as far as the `Date` of its answers shows it.

Rule: a server time counts once two answers in a row agree on it, so that a single wrong `Date` moves nothing.
Of the times that count the latest does: the clock never goes back. Between answers the monotonic clock
carries it on. The machine's own clock is asked only while there was no `Date` at all.

A monotonic clock may stand still while a machine sleeps. The clock is then late until two answers agree on
the later time. Times are Unix seconds, monotonic times are seconds of one monotonic clock. No I/O.
"""

import math
from typing import Final

AGREEMENT: Final = 60.0
"""Seconds by which the times of two answers may differ and still agree."""


class StripeClock:
    """What the answers so far say of the time. Each time is kept as its distance to the monotonic clock."""

    def __init__(self) -> None:
        self._last: float | None = None
        """By the last answer."""
        self._candidate: float | None = None
        """By the last two answers, the earlier one: the clock while no two answers have agreed."""
        self._confirmed = -math.inf
        self.is_doubtful = False
        """Whether the last answer's time does not count, as the answer before it did not agree."""

    def read(self, server_time: float, monotonic_time: float) -> None:
        """Takes the time of an answer, which came at `monotonic_time`."""
        distance = server_time - monotonic_time
        before = distance if self._last is None else self._last
        self._candidate = min(before, distance)
        self.is_doubtful = self._last is None or abs(distance - before) > AGREEMENT
        if not self.is_doubtful:
            self._confirmed = max(self._confirmed, self._candidate)
        self._last = distance

    def time(self, monotonic_time: float) -> float | None:
        """The time at `monotonic_time`, None while there was no answer with a time."""
        if self._confirmed > -math.inf:
            return self._confirmed + monotonic_time
        return None if self._candidate is None else self._candidate + monotonic_time
