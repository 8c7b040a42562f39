"""Progress of a stream's backfill, for a person: a status line once a minute, and one at the end.

A backfill consists of subtasks: one for each account and variant. What is left of a subtask is the share of
its time range that is still to be listed. Where a list has no creation times, a subtask counts as whole until
it is done.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import Logger

from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.stripe.pages import Page, PageToken
from source_stripe_native.window import Window


@dataclass
class Progress:
    """Progress of one stream's backfill of `subtasks`, of which some are `untouched`: not started, or not
    resumed yet. `is_dated` says that the list has creation times, which say how much is left. `clock` is in
    seconds."""

    stream: str
    log: Logger
    subtasks: int
    untouched: int
    is_dated: bool
    settings: Settings = DEFAULTS
    clock: Callable[[], float] = time.monotonic
    _documents: int = 0
    _left: dict[str, float] = field(default_factory=dict)
    """What is left of the subtasks that are under way, each as a share of one subtask."""
    _expected: dict[str, float] = field(default_factory=dict)
    """How many documents that may be, where the density is known."""
    _first_page: tuple[float, float] | None = None
    """When the first page was read, and what was left then."""
    _next_line_time: float = 0.0

    def set_left(self, key: str, left: float) -> None:
        """Records what is left of the subtask or slice `key`."""
        if left > 0:
            self._left[key] = left
        else:
            self._left.pop(key, None)
            self._expected.pop(key, None)

    def add_page(self, key: str, left: float, documents: int, expected: float = 0.0) -> None:
        """A page was read, which made so many `documents`. `left` is what is left afterwards, and `expected`
        how many documents that may be."""
        now = self.clock()
        if self._first_page is None:
            self._first_page = now, self.left
            self._next_line_time = now + self.settings.first_progress.total_seconds()
        if key not in self._left:
            if self.untouched:
                self.untouched -= 1
            else:
                self.subtasks += 1  # an account that has connected since
        self._documents += documents
        self._expected[key] = expected
        self.set_left(key, left)
        is_done = not self._left and not self.untouched
        if not is_done and now < self._next_line_time:
            return
        self._next_line_time = now + self.settings.progress_interval.total_seconds()
        self._log_line(now - self._first_page[0], self._first_page[1], is_done)

    @property
    def left(self) -> float:
        """What is left, in subtasks."""
        return self.untouched + sum(self._left.values())

    def _log_line(self, seconds: float, left_at_first: float, is_done: bool) -> None:
        count = self._documents
        facts = [f"{count:,} document{'' if count == 1 else 's'}"]
        if seconds >= 1:
            rate = count / seconds
            facts.append(f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.1f} a second")
        if is_done:
            message = f"Backfilled {self.stream}: {', '.join(facts)}"
        else:
            if self.is_dated or self.subtasks > 1:
                facts.insert(0, f"{max(0.0, 1 - self.left / self.subtasks):.0%} done")
                if (done := left_at_first - self.left) > 0:
                    by_time, by_density = self.left / done, sum(self._expected.values()) / max(1, count)
                    facts.append(f"about {duration(seconds * max(by_time, by_density))} left")
            message = f"Backfilling {self.stream}: {', '.join(facts)}"
        # By this field Flow knows the status of a capture, as in the CDK's own lines.
        self.log.info(message, extra={"eventType": "connectorStatus", "stream": self.stream})


def duration(seconds: float) -> str:
    """A length of time in its largest unit that is at least two: "90 seconds", "12 minutes"."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"


@dataclass(frozen=True)
class ProgressHooks:
    """The page hooks of a subtask that is listed from its newest object to its oldest: they report
    progress."""

    key: str
    progress: Progress

    async def before_page(self, token: PageToken | None) -> PageToken | None:
        return token

    def after_page(self, page: Page, window: Window, documents: int) -> None:
        self.progress.add_page(self.key, _left(page.next, window), documents)


def _left(token: PageToken | None, window: Window) -> float:
    """What is left of a list of `window` that goes on at `token`: a share from 0 to 1, and 0 only at its
    end."""
    if token is None:
        return 0.0
    if token.created is None:
        return 1.0
    return min(1.0, max(1, token.created + 1 - window.start) / max(1, window.seconds))
