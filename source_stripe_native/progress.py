"""How far a stream's backfill is, for a person: a status line once a minute, and one at the end.

What is to be backfilled are parts: one for each account and variant. What is left of a part is the share of
its time range that is still to be listed. Where a list tells no times, a part is left whole until it is done.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from logging import Logger
from typing import Final

from source_stripe_native.listing import Page, PageToken
from source_stripe_native.window import Window

FIRST: Final = timedelta(seconds=10)
"""When the first line is written, counted from the first page."""
EVERY: Final = timedelta(minutes=1)
"""How often a line is written from then on, at most."""


@dataclass
class Progress:
    """Of one stream's backfill of so many `parts`, of which some are `untouched`, not begun or gone on with.
    `is_dated` says that they tell how much is left of them. `clock` is in seconds."""

    stream: str
    log: Logger
    parts: int
    untouched: int
    is_dated: bool
    clock: Callable[[], float] = time.monotonic
    _documents: int = 0
    _left: dict[str, float] = field(default_factory=dict)
    """What is left of those that are begun, as a share of one part."""
    _expected: dict[str, float] = field(default_factory=dict)
    """How many documents that may be, where their density tells."""
    _began: tuple[float, float] | None = None
    """When the first page was read, and what was left then."""
    _say_at: float = 0.0

    def leave(self, key: str, left: float) -> None:
        """So much is left of what `key` stands for: a part, or a piece of one."""
        if left > 0:
            self._left[key] = left
        else:
            self._left.pop(key, None)
            self._expected.pop(key, None)

    def read(self, key: str, left: float, documents: int, expected: float = 0.0) -> None:
        """A page was read, which made so many documents and leaves so much, of so many documents as far as
        they can be expected."""
        now = self.clock()
        if self._began is None:
            self._began, self._say_at = (now, self.left), now + FIRST.total_seconds()
        if key not in self._left:
            if self.untouched:
                self.untouched -= 1
            else:
                self.parts += 1  # an account that has connected since
        self._documents += documents
        self._expected[key] = expected
        self.leave(key, left)
        is_done = not self._left and not self.untouched
        if not is_done and now < self._say_at:
            return
        self._say_at = now + EVERY.total_seconds()
        self._say(now - self._began[0], self._began[1], is_done)

    @property
    def left(self) -> float:
        """In parts."""
        return self.untouched + sum(self._left.values())

    def _say(self, seconds: float, began_with: float, is_done: bool) -> None:
        count = self._documents
        told = [f"{count:,} document{'' if count == 1 else 's'}"]
        if seconds >= 1:
            rate = count / seconds
            told.append(f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.1f} a second")
        if is_done:
            message = f"Backfilled {self.stream}: {', '.join(told)}"
        else:
            if self.is_dated or self.parts > 1:
                told.insert(0, f"{max(0.0, 1 - self.left / self.parts):.0%} done")
                if (done := began_with - self.left) > 0:
                    by_time, by_density = self.left / done, sum(self._expected.values()) / max(1, count)
                    told.append(f"about {span(seconds * max(by_time, by_density))} left")
            message = f"Backfilling {self.stream}: {', '.join(told)}"
        # By this field Flow knows the status of a capture, as in the CDK's own lines.
        self.log.info(message, extra={"eventType": "connectorStatus", "stream": self.stream})


def span(seconds: float) -> str:
    """A length of time in its largest unit that is at least two: "90 seconds", "12 minutes"."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"


@dataclass(frozen=True)
class Part:
    """A part of a backfill that is listed from its newest object to its oldest; it tells of its pages."""

    key: str
    progress: Progress

    async def start(self, token: PageToken | None) -> PageToken | None:
        return token

    def read(self, page: Page, window: Window, documents: int) -> None:
        self.progress.read(self.key, _left(page.next, window), documents)


def _left(goes_on: PageToken | None, window: Window) -> float:
    """What is left of a list of `window` that goes on there, from 0 to 1, and 0 only at its end."""
    if goes_on is None:
        return 0.0
    if goes_on.created is None:
        return 1.0
    return min(1.0, max(1, goes_on.created + 1 - window.start) / max(1, window.end - window.start))
