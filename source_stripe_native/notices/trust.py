"""Whether notices can be relied on: which events posts had announced, and which they had not. Pure: times are
arguments, in seconds of one monotonic clock.

Rule: trust is earned, and lost at once. While the events that readings find had been announced, an account
without notices is read once per `Settings.trusted_interval`. An event that no post has announced a minute
after it was found sends its account back to the interval for an hour. After three of them in a row, with none
announced between, all accounts go back, until an announced event is found. Nothing of this is in the state:
trust is earned again after each start.

Events from before the start are not judged, since nobody listened for their posts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from source_stripe_native.settings import DEFAULTS, Settings


@dataclass(eq=False)
class Trust:
    """The trust of one capture that listens since `start` (Unix seconds, by Stripe's clock)."""

    start: int
    settings: Settings = DEFAULTS
    on_lost: Callable[[str | None], None] = lambda _: None
    """Called with an account that is to be read once per interval again, and with None where all are."""
    announced: int = 0
    """Events that readings have found, and that had been announced."""
    unannounced: int = 0
    missing: dict[str, None] = field(default_factory=dict)
    """Types of events that were not announced, and that no post has announced since the start."""
    _known_types: set[str] = field(default_factory=set)
    _announced: dict[tuple[str, str], None] = field(default_factory=dict)
    """Events that were announced and not found yet, the oldest first."""
    _found: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    """Events that were found and not announced yet: their types, and until when a post may still come."""
    _distrusted: dict[str, float] = field(default_factory=dict)
    """Until when each account is read once per interval."""
    _is_earned: bool = False
    _in_a_row: int = 0

    @property
    def share(self) -> float | None:
        """The share of the events that readings have found which had been announced."""
        judged = self.announced + self.unannounced
        return self.announced / judged if judged else None

    @property
    def judgement_time(self) -> float:
        """When `judge_late` is to be called next, infinity where no event waits for its post."""
        return next((until_time for _, until_time in self._found.values()), math.inf)

    def announce(self, account_id: str, event_id: str, kind: str, *, is_judged: bool) -> None:
        """A post has announced an event. `is_judged` says that a reading has found it before."""
        self._known_types.add(kind)
        self.missing.pop(kind, None)
        if self._found.pop((account_id, event_id), None) is not None:
            self._count_announced()
            return
        if is_judged:
            return
        self._announced[account_id, event_id] = None
        if len(self._announced) > self.settings.announced_events:
            del self._announced[next(iter(self._announced))]

    def find(self, account_id: str, events: Mapping[str, tuple[int, str]], now: float) -> None:
        """A reading has found new events of an account: when each was created, and its type, by id."""
        for event_id, (created, kind) in events.items():
            key = account_id, event_id
            if key in self._announced:
                del self._announced[key]
                self._count_announced()
            elif created >= self.start:
                self._found[key] = kind, now + self.settings.post_patience.total_seconds()
        self.judge_late(now)

    def judge_late(self, now: float) -> None:
        """Judges the events for which a post can come no longer."""
        late = [*takewhile(lambda found: found[1][1] <= now, self._found.items())]
        for key, (kind, _) in late:
            del self._found[key]
            self._miss(key[0], kind, now)

    def is_trusted(self, account_id: str, now: float) -> bool:
        """Whether an account without notices has nothing to read."""
        return self._is_earned and self._distrusted.get(account_id, -math.inf) <= now

    def _count_announced(self) -> None:
        self.announced += 1
        self._is_earned, self._in_a_row = True, 0

    def _miss(self, account_id: str, kind: str, now: float) -> None:
        self.unannounced += 1
        self._in_a_row += 1
        if kind not in self._known_types:
            self.missing[kind] = None
        self._distrusted[account_id] = now + self.settings.trusted_interval.total_seconds()
        is_all = self._is_earned and self._in_a_row >= self.settings.misses_in_a_row
        if is_all:
            self._is_earned = False
        self.on_lost(None if is_all else account_id)
