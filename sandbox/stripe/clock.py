"""The world's clock, so that a month can pass in a test without waiting.

It runs with real time, or stands still at a given second; both can be moved forward, never back.
"""

import time


class Clock:
    """Unix seconds. `frozen_at` stops the clock there: then only `advance` moves it."""

    def __init__(self, frozen_at: int | None = None) -> None:
        self._frozen_at = frozen_at
        self._offset = 0.0

    def time(self) -> float:
        return (time.time() if self._frozen_at is None else self._frozen_at) + self._offset

    def now(self) -> int:
        """The current whole second, which is all that Stripe's timestamps tell."""
        return int(self.time())

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError(f"the clock cannot go back: advance({seconds})")
        self._offset += seconds
