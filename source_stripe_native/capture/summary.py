"""The summary: one line that tells how a capture is, for a person and as fields for programs.

Rule: the number of lines does not depend on how many streams or accounts are captured. The first summary
comes `Settings.first_summary` after the opening, then one comes once a minute while anything is under way or
new, and every ten minutes while all is quiet. Flow shows the last one as the capture's status.
"""

import asyncio
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from estuary_cdk.capture.common import ResourceState
from estuary_cdk.capture.task import Task
from estuary_cdk.logger import OBSERVABLE_FIELD

from source_stripe_native.backfill.progress import BackfillStatus, Progress, duration
from source_stripe_native.capture.delays import Delay, Late
from source_stripe_native.flow.log_lines import going_on
from source_stripe_native.flow.waits import stops_within
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.pauses import CHANGES, Paused, PausedAccounts, Pauses
from source_stripe_native.stripe.client import StripeSession

SHOWN: Final = 3
"""Streams that a summary names of those that are backfilling, and of those that are late."""


@dataclass(frozen=True)
class OldestCursor:
    """The cursor that is furthest behind. `account_id` is None where a capture has one account."""

    stream: str
    account_id: str | None
    age: timedelta

    def words(self) -> str:
        whose = self.stream if self.account_id is None else f"{self.stream} of {self.account_id}"
        return f"oldest cursor {duration(self.age.total_seconds())} old ({whose})"

    def fields(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "account": self.account_id,
            "age_seconds": round(self.age.total_seconds()),
        }


@dataclass(frozen=True)
class Facts:
    """What a summary tells. Of `streams` some are `backfilling`; the changes of all are followed. `accounts`
    are those whose events are read, and `behind` is how long one of them has waited for that."""

    streams: int
    backfilling: dict[str, BackfillStatus] = field(default_factory=dict)
    oldest: OldestCursor | None = None
    requests: float = 0.0
    """Requests a second since the last summary."""
    limit: float = 0.0
    """Requests a second that the capture allows itself."""
    refused_for_rate: int = 0
    """Requests that Stripe refused for their rate since the last summary."""
    paused: Paused = field(default_factory=Paused)
    late: Sequence[Late] = ()
    accounts: int = 0
    behind: timedelta = timedelta()

    @property
    def is_under_way(self) -> bool:
        return bool(self.backfilling or self.late or self.behind)

    def words(self) -> str:
        requests = f"{self.requests:.1f} requests a second of {self.limit:g}"
        if self.refused_for_rate:
            requests += f", {self.refused_for_rate:,} refused for their rate"
        parts = [
            self._streams(),
            self.oldest.words() if self.oldest else "",
            requests,
            f"reading {self.accounts:,} accounts, up to {duration(self.behind.total_seconds())} behind"
            if self.behind
            else "",
            self.paused.words(),
            self._late(),
        ]
        return "; ".join(filter(None, parts))

    def fields(self) -> dict[str, Any]:
        return {
            "streams": self.streams,
            "backfilling": {stream: each.fields() for stream, each in self.backfilling.items()},
            "oldest_cursor": self.oldest.fields() if self.oldest else None,
            "requests": {
                "per_second": round(self.requests, 1),
                "limit": self.limit,
                "refused_for_rate": self.refused_for_rate,
            },
            "accounts_behind_seconds": round(self.behind.total_seconds()),
            "paused": self.paused.fields(),
            "late": {each.stream: each.fields() for each in self.late},
        }

    def _streams(self) -> str:
        if not self.backfilling:
            return f"Following {_streams(self.streams)}"
        begun = [each for each in self.backfilling.items() if each[1].documents or each[1].done]
        slowest = sorted(begun, key=_slowness, reverse=True)[:SHOWN]
        told = [f"{stream} {each.words()}" for stream, each in slowest]
        following = self.streams - len(self.backfilling)
        counts = f"Backfilling {_streams(len(self.backfilling))}, following {following:,}"
        return f"{counts} (slowest: {'; '.join(told)})" if told else counts

    def _late(self) -> str:
        latest = sorted(self.late, key=lambda each: each.waiting, reverse=True)
        told = [each.words() for each in latest[:SHOWN]]
        if latest[SHOWN:]:
            told.append(f"and {_streams(len(latest) - SHOWN)} more")
        return ", ".join(told)


def _slowness(backfilling: tuple[str, BackfillStatus]) -> tuple[float, float]:
    """Streams of which no time is known come after those with the most time left."""
    _, status = backfilling
    return (-1.0 if status.seconds_left is None else status.seconds_left, status.documents)


def _streams(number: int) -> str:
    return f"{number:,} stream{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class WatchedStream:
    """A binding as the summary sees it. Its `state` is the one that its tasks move on. A stream that is
    captured account by account has several parts of its backfill for each, by `suffixes`."""

    name: str
    state: ResourceState
    delay: Delay
    suffixes: Sequence[str] = ("",)
    progress: Progress | None = None
    begins: bool = False
    """Whether all of it was still to be backfilled when the binding was opened."""

    def backfill_status(self, paused: PausedAccounts) -> BackfillStatus | None:
        """How far the backfill is, None where it is done or where only accounts that are paused are left
        of it."""
        if self.progress is None or not self.progress.unfinished:
            return None
        backfills = self.state.backfill
        if not isinstance(backfills, dict):
            return self.progress.status()
        if not paused or not isinstance(self.state.inc, dict):
            return self.progress.status()
        account_ids = (account_id for account_id in self.state.inc if account_id in paused)
        waiting = (f"{account_id}{suffix}" for account_id in account_ids for suffix in self.suffixes)
        return self.progress.status(sum(backfills.get(key) is not None for key in waiting))

    def oldest_cursor(self, now: datetime, paused: Collection[PausedAccounts]) -> OldestCursor | None:
        """The oldest cursor of all accounts that are not paused."""
        found: tuple[datetime, str | None] | None = None
        inc = self.state.inc
        cursors = inc.items() if isinstance(inc, dict) else [(None, inc)]
        for account_id, part in cursors:
            if part is None or not isinstance(at := part.cursor, datetime):
                continue
            if (found is None or at < found[0]) and not any(account_id in some for some in paused):
                found = at, account_id
        return OldestCursor(self.name, found[1], max(timedelta(), now - found[0])) if found else None


def is_untouched(state: ResourceState, subtasks: int) -> bool:
    """Whether no page was read yet of a backfill with so many subtasks. A shard without accounts has no
    subtask, and no backfill."""
    backfills = state.backfill.values() if isinstance(state.backfill, dict) else [state.backfill]
    unfinished = [each for each in backfills if each is not None]
    return 0 < len(unfinished) == subtasks and all(each.next_page is None for each in unfinished)


class Summary:
    """The summary of a capture with the bindings `watched`. `poller` is that of connected accounts."""

    def __init__(
        self,
        http: StripeSession,
        watched: Sequence[WatchedStream],
        pauses: Pauses,
        poller: AccountPoller | None = None,
    ) -> None:
        self._http = http
        self._watched = watched
        self._pauses = pauses
        self._poller = poller
        self._told: Facts | None = None
        self._told_time = _loop_time()
        self._told_traffic = copy(http.traffic)

    async def run(self, task: Task) -> None:
        """Writes summaries until the capture stops."""
        with going_on(task.log, "the summary"):
            self._tell_beginning(task)
        settings = self._http.settings
        wait = settings.first_summary
        while not await stops_within(wait, task.stopping.event):
            with going_on(task.log, "the summary"):
                await self._write(task)
            wait = settings.summary_interval

    async def _write(self, task: Task) -> None:
        facts = self._look()
        if self._is_due(facts):
            facts = replace(facts, oldest=await self._oldest_cursor())
            task.log.info(facts.words(), extra={"eventType": "connectorStatus", **facts.fields()})
            self._told, self._told_time = facts, _loop_time()
            self._told_traffic = copy(self._http.traffic)

    def _tell_beginning(self, task: Task) -> None:
        """By its observable field Estuary counts the backfills that begin. One line tells of them all."""
        if names := [each.name for each in self._watched if each.begins]:
            fields = {OBSERVABLE_FIELD: True, "catalog_task_name": task.catalog_task_name, "bindings": names}
            task.log.info(f"beginning the backfill of {_streams(len(names))}", extra=fields)

    def _look(self) -> Facts:
        """What is known at no cost: all but the oldest cursor."""
        statuses = ((each.name, each.backfill_status(self._paused_for(each.name))) for each in self._watched)
        seconds = max(1e-3, _loop_time() - self._told_time)
        traffic, before = self._http.traffic, self._told_traffic
        return Facts(
            streams=len(self._watched),
            backfilling={name: status for name, status in statuses if status is not None},
            requests=(traffic.requests - before.requests) / seconds,
            limit=self._http.requests_per_second,
            refused_for_rate=traffic.refused_for_rate - before.refused_for_rate,
            paused=self._pauses.status(),
            late=[late for each in self._watched if (late := each.delay.look()) is not None],
            accounts=self._poller.accounts if self._poller else 0,
            behind=self._poller.behind() if self._poller else timedelta(),
        )

    def _is_due(self, facts: Facts) -> bool:
        """Whether anything is under way or new, or the last summary is old."""
        told, settings = self._told, self._http.settings
        if told is None or facts.is_under_way or told.is_under_way or facts.paused != told.paused:
            return True
        # A look is a little late each time.
        quiet = timedelta(seconds=_loop_time() - self._told_time) + settings.summary_interval / 2
        return quiet >= settings.quiet_summary_interval

    async def _oldest_cursor(self) -> OldestCursor | None:
        """With many accounts each stream takes a while, and others have their turn in between."""
        now, found = self._http.now(), list[OldestCursor]()
        for each in self._watched:
            paused = [some for what in (each.name, CHANGES) if (some := self._paused_for(what))]
            if (oldest := each.oldest_cursor(now, paused)) is not None:
                found.append(oldest)
            await asyncio.sleep(0)
        return max(found, key=lambda each: each.age, default=None)

    def _paused_for(self, what: str) -> PausedAccounts:
        return self._pauses.paused_for(what)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
