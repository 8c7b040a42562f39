"""The notice reader: reads the newest events of accounts that Stripe has announced something of.

    post ---> Notices ---> newest events, up to now ---> the bindings that they concern

Rule: it reads only what was announced, and moves no cursor. What it does not find is found by the readings
that move the cursor, at their own times."""

import asyncio
import math
from collections.abc import Callable, Mapping
from statistics import median
from typing import Final

from estuary_cdk.capture.task import Task

from source_stripe_native.events.feed import EventFeed
from source_stripe_native.flow.waits import wait_any
from source_stripe_native.notices.notices import Notices
from source_stripe_native.scheduling.account_readers import AccountReaders
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.stripe.pages import Source

LOOK: Final = "look at the deliveries of the event destination in Stripe"

Subscriber = Callable[[str, frozenset[str]], None]
"""Called with an account of which something was announced, and with the types of its events that were not
read before."""


class NoticeReader:
    """The notice reader of one capture, made when it opens. `source_of` makes the source of an account's
    events. From then on the feed's readings are judged by the `notices`."""

    def __init__(
        self,
        notices: Notices,
        feed: EventFeed,
        source_of: Callable[[str], Source],
        pauses: Pauses,
        settings: Settings = DEFAULTS,
    ) -> None:
        self.notices = notices
        self._feed = feed
        self._source_of = source_of
        self._pauses = pauses
        self._settings = settings
        self._subscribers: list[Subscriber] = []
        self.on_lost: Callable[[str | None], None] = lambda _: None
        """Called with an account that is not trusted any more, and with None where none is."""
        self._reported: dict[bool, float] = {}
        """When the loss of trust was reported last, in one account and in all."""
        self._readers = AccountReaders("notices", pauses, settings.account_readers, self._read)
        self._last: dict[str, float] = {}
        """The loop's time of each recent reading."""
        self._noticed: set[str] = set()
        """Accounts with a notice since their last reading began."""
        self._found = asyncio.Event()
        """Set when a reading may have found an event of which a post may still come."""
        notices.on_added, notices.trust.on_lost = self._add, self._lose_trust
        feed.is_early, feed.on_found = True, self._find

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    @property
    def delay(self) -> float | None:
        """The median age in seconds of the last events that were read, when they were read."""
        return median(self._feed.delays) if self._feed.delays else None

    def _find(self, account_id: str, events: Mapping[str, tuple[int, str]]) -> None:
        self.notices.trust.find(account_id, events, asyncio.get_running_loop().time())
        self._found.set()

    def _lose_trust(self, account_id: str | None) -> None:
        """Reports, once an hour at most, that an account, or all where None, is read once per interval
        again."""
        self.on_lost(account_id)
        clock, gap = asyncio.get_running_loop().time, self._settings.pause_report_gap.total_seconds()
        is_all, trust = account_id is None, self.notices.trust
        if clock() - self._reported.get(is_all, -math.inf) < gap:
            return
        self._reported[is_all] = clock()
        missing = ", ".join(trust.missing)
        advice = f"select {missing} in the event destination in Stripe" if missing else LOOK
        whose = "all accounts" if is_all else f"account {account_id}"
        self._source_of(account_id or self._pauses.platform_id).log.warning(
            f"Stripe has not posted an event that was found a minute ago: changes of {whose} arrive once per "
            f"interval until posts come. {advice[0].upper()}{advice[1:]}.",
            {"account": account_id, "missing_types": [*trust.missing]},
        )

    def is_trusted(self, account_id: str) -> bool:
        """Whether posts announce whatever happens in the account."""
        return self.notices.trust.is_trusted(account_id, asyncio.get_running_loop().time())

    async def run(self, task: Task) -> None:
        await self._readers.run(task)
        clock, stopping, trust = asyncio.get_running_loop().time, task.stopping.event, self.notices.trust
        while not stopping.is_set():
            self._found.clear()
            # While all accounts rest, no reading of events calls it in time.
            trust.judge_late(clock())
            await wait_any(stopping, self._found, at_most=trust.judgement_time - clock())

    def _add(self, account_id: str) -> None:
        self._noticed.add(account_id)
        gap_end = self._gap_end(account_id)
        self._readers.notify(account_id, max(asyncio.get_running_loop().time(), gap_end))

    def _gap_end(self, account_id: str) -> float:
        """Until when the account is not read: a little after its last reading."""
        return self._last.get(account_id, -math.inf) + self._settings.notice_gap.total_seconds()

    async def _read(self, account_id: str, _: Task) -> float:
        clock, gap = asyncio.get_running_loop().time, self._settings.notice_gap.total_seconds()
        self._last = {other: at for other, at in self._last.items() if at > clock() - gap}
        self._last[account_id] = clock()
        self._noticed.discard(account_id)
        types = await self._feed.read_newest(self._source_of(account_id))
        wait = self.notices.end(account_id)
        for subscriber in self._subscribers:
            subscriber(account_id, types)
        again_time = self._gap_end(account_id) if account_id in self._noticed else math.inf
        return again_time if wait is None else min(again_time, clock() + wait)
