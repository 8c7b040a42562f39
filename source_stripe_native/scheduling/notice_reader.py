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
from source_stripe_native.scheduling.pauses import CHANGES, Pauses, Unit
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
        self.lost: Callable[[str | None], None] = lambda _: None
        """Called with an account that is not trusted any more, and with None where none is."""
        self._reported: dict[bool, float] = {}
        """When the loss of trust was reported last, in one account and in all."""
        self._later: dict[str, asyncio.TimerHandle] = {}
        """What has each account read again that is to wait, at the earliest time that was asked for."""
        self._last: dict[str, float] = {}
        """The loop's time of each recent reading, the oldest first."""
        notices.trust.lost = self._lose_trust
        feed.is_early, feed.on_found = True, self._find

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    @property
    def delay(self) -> float | None:
        """The median age in seconds of the last events that were read, when they were read."""
        return median(self._feed.delays) if self._feed.delays else None

    def _find(self, account_id: str, events: Mapping[str, tuple[int, str]]) -> None:
        self.notices.trust.find(account_id, events, asyncio.get_running_loop().time())

    def _lose_trust(self, account_id: str | None) -> None:
        self._report_lost(account_id)
        self.lost(account_id)

    def _report_lost(self, account_id: str | None) -> None:
        """Reports, once an hour at most, that an account, or all where None, is read once per interval
        again."""
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
        for number in range(self._settings.account_readers):
            task.spawn_child(f"notices.{number}", self._read_accounts)

    async def _read_accounts(self, task: Task) -> None:
        stopping, notices = task.stopping.event, self.notices
        while not stopping.is_set():
            if (account_id := notices.take()) is None:
                await wait_any(stopping, notices.added)
            elif (wait := self._wait(account_id)) > 0:
                self._push_later(account_id, wait)
            else:
                await self._read(account_id)

    def _wait(self, account_id: str) -> float:
        """The seconds for which the account is not read: while it is paused, and a little after its last
        reading."""
        now, gap = asyncio.get_running_loop().time(), self._settings.notice_gap.total_seconds()
        while self._last and next(iter(self._last.values())) + gap <= now:
            del self._last[next(iter(self._last))]
        rest = self._last[account_id] + gap if account_id in self._last else now
        return max(rest, self._pauses.until_time(Unit(CHANGES, account_id))) - now

    async def _read(self, account_id: str) -> None:
        unit = Unit(CHANGES, account_id)
        self._last.pop(account_id, None)
        self._last[account_id] = asyncio.get_running_loop().time()
        try:
            types = await self._feed.read_newest(self._source_of(account_id))
        except Exception as error:  # noqa: BLE001 - what ends the capture is raised again
            self._push_later(account_id, await self._pauses.pause(unit, error))
            return
        self._pauses.end(unit)
        if (wait := self.notices.end(account_id)) is not None:
            self._push_later(account_id, wait)
        for subscriber in self._subscribers:
            subscriber(account_id, types)

    def _push_later(self, account_id: str, wait: float) -> None:
        loop, waiting = asyncio.get_running_loop(), self._later.get(account_id)
        if waiting is not None:
            if waiting.when() <= loop.time() + wait:
                return
            waiting.cancel()
        self._later[account_id] = loop.call_later(wait, self._push, account_id)

    def _push(self, account_id: str) -> None:
        del self._later[account_id]
        self.notices.push(account_id)
