"""Limits of the scheduler, and what the scheduler and the account poller expect of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from estuary_cdk.capture.task import Task

from source_stripe_native.scheduling.pauses import PausedAccounts, Pauses
from source_stripe_native.scheduling.poll_times import PollTimes
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.stripe.postponed import Postponed

Clock = Callable[[], datetime]

MIN_INTERVAL: Final = timedelta(seconds=1)
"""An interval of zero must not keep the processor busy: Stripe's clock has whole seconds."""


class Subscriber(Protocol):
    """One binding's scheduler, as the account poller sees it."""

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        """All events of `window` have been read, and the new events among them are of these types."""

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        """There are new accounts, of which nothing is captured yet."""


class Poller(Protocol):
    """The account poller, as a binding's scheduler sees it."""

    @property
    def paused(self) -> PausedAccounts:
        """The accounts whose events are not read for the time being."""

    def subscribe(self, subscriber: Subscriber, interval: timedelta, task: Task) -> None:
        """From now on `subscriber` is notified of each account once per `interval`, as far as there is
        time."""

    def high_watermark(self, account_id: str) -> int | None:
        """Before which the account's events have been read, in Unix seconds."""


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True)
class PriorityQueueConfig:
    """Limits of one binding's scheduler. `now` is the clock of cursors and cutoffs."""

    max_subtasks: int = 64
    """Subtasks that run at once, incremental ones and variants together."""
    time_slice: timedelta = timedelta(minutes=1)
    """How long a work item runs before it yields to others that wait."""
    max_wait: timedelta = timedelta(minutes=10)
    """How long backfilling accounts go before an account that only has changes to follow."""
    flush: timedelta = timedelta(minutes=1)
    """How often the cursors of accounts that had nothing new are written, in one checkpoint."""
    flush_at_most: int = 900
    """Cursors that are written at once at most, unless the capture stops. The others wait for the next
    time."""
    reads_lists_in: Callable[[str, Window], bool] = lambda *_: False
    """Whether lists of an account are read again in this window, whatever its events tell."""
    is_relevant: Callable[[frozenset[str]], bool] = bool
    """Whether new events of these types concern the binding."""
    polls: PollTimes | None = None
    """When the binding's lists are polled that no event tells of; None where it has none. Their cursors wait
    meanwhile."""
    poller: Poller | None = None
    """Tells of events and of new accounts. Without a poller each account is read once per interval."""
    postponed: Postponed | None = None
    """The objects that are read later, for which an account has turns of its own."""
    pauses: Pauses | None = None
    """What is paused after a failure. Without it a failure ends the capture."""
    watch: Callable[[Callable[[], timedelta]], None] | None = None
    """Called once with a function: the longest time that an account has waited for its turn, or been
    behind while it lasts."""
    now: Clock = _utc_now

    def high_watermark(self, account_id: str) -> int | None:
        """Before which the poller has read the account's events, None without a poller."""
        return self.poller.high_watermark(account_id) if self.poller else None

    def is_behind(self, cursor: object, high_watermark: int | None, interval: timedelta) -> bool:
        """Whether there is more to read after `cursor`: what the poller had read or, without a poller, an
        `interval` and more."""
        if not isinstance(cursor, datetime):
            return True
        if high_watermark is not None:
            return floor(cursor) < high_watermark
        return self.now() - cursor > interval
