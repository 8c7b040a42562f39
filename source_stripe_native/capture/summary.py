"""The summary: one line that reports how a capture is, for a person and as fields for programs.

Rule: the number of lines does not depend on how many streams or accounts are captured. The first summary
comes `Settings.first_summary` after the opening, then one comes once a minute while anything is under way or
new, and every ten minutes while all is quiet. Flow shows the last one as the capture's status.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from estuary_cdk.capture.common import ResourceState
from estuary_cdk.capture.task import Task
from estuary_cdk.logger import OBSERVABLE_FIELD

from source_stripe_native.backfill.progress import BackfillStatus, Progress
from source_stripe_native.errors import duration
from source_stripe_native.flow.log_lines import going_on
from source_stripe_native.flow.waits import stops_within
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.notice_reader import NoticeReader
from source_stripe_native.scheduling.pauses import CHANGES, Paused, PausedAccounts, Pauses
from source_stripe_native.state.cursors import AccountNumbers, Cursors
from source_stripe_native.stripe.attempts import Traffic
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Workload

SHOWN: Final = 3
"""Streams that a summary names of those that are backfilling, and of those that are late."""


@dataclass(frozen=True)
class OldestCursor:
    """The cursor that is furthest behind. `account_id` is None where a capture has one account."""

    stream: str
    account_id: str | None
    age: timedelta

    def words(self) -> str:
        whose = f"{self.stream} of {self.account_id}" if self.account_id else self.stream
        return f"oldest cursor {duration(self.age.total_seconds())} old ({whose})"


@dataclass(frozen=True)
class Late:
    """A late binding: how long its oldest change has been `waiting`, and what was `done` since the last
    look."""

    stream: str
    waiting: timedelta
    done: Workload

    def words(self) -> str:
        number = self.done.requests
        done = (
            f"{number:,} requests were answered" if number > 1 else f"{number or 'no'} request was answered"
        )
        if number and self.done.rereads:
            reasons = [f"{times:,} {reason}" for reason, times in self.done.rereads.most_common()]
            done += f", something was read again for {' and '.join(reasons)}"
        return f"{self.stream} is {self.waiting.total_seconds() / 60:.0f} minutes behind ({done})"


@dataclass(frozen=True)
class Posts:
    """Stripe's posts since the start: those that came and those that were refused, the `share` of the events
    that readings found which had been announced, and the median age of the last announced events when they
    were read."""

    received: int
    refused: int
    share: float | None
    delay: float | None

    def words(self) -> str:
        words = f"{self.received:,} posts"
        if self.refused:
            words += f", {self.refused:,} of them refused"
        if self.share is not None:
            words += f"; {self.share:.0%} of the events announced"
        return words if self.delay is None else f"{words}, read {self.delay:.1f} seconds after they happened"

    def fields(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "refused": self.refused,
            "announced_share": None if self.share is None else round(self.share, 4),
            "delay_seconds": None if self.delay is None else round(self.delay, 1),
        }


@dataclass(frozen=True)
class Facts:
    """What a summary says. Of `streams` some are `backfilling`; the changes of all are followed. `accounts`
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
    failing_since: datetime | None = None
    """Since when requests fail that are asked again."""
    posts: Posts | None = None

    @property
    def is_under_way(self) -> bool:
        return bool(self.backfilling or self.late or self.behind or self.failing_since)

    def words(self) -> str:
        parts = [self._streams()]
        if self.oldest is not None:
            parts.append(self.oldest.words())
        parts.append(f"{self.requests:.1f} requests a second of {self.limit:g}")
        if self.refused_for_rate:
            parts[-1] += f", {self.refused_for_rate:,} refused for their rate"
        if self.failing_since is not None:
            parts.append(f"requests have failed since {self.failing_since:%Y-%m-%d %H:%M:%S} UTC")
        if self.behind:
            behind = duration(self.behind.total_seconds())
            parts.append(f"reading {self.accounts:,} accounts, up to {behind} behind")
        if self.posts is not None:
            parts.append(self.posts.words())
        if self.paused.accounts:
            parts.append(self.paused.words())
        if latest := sorted(self.late, key=lambda late: late.waiting, reverse=True):
            parts.append(", ".join(late.words() for late in latest[:SHOWN]))
            if more := len(latest[SHOWN:]):
                parts[-1] += f", and {_streams(more)} more"
        return "; ".join(parts)

    def fields(self) -> dict[str, Any]:
        """The same for programs."""
        oldest = self.oldest and {
            "stream": self.oldest.stream,
            "account": self.oldest.account_id,
            "age_seconds": round(self.oldest.age.total_seconds()),
        }
        return {
            "streams": self.streams,
            "backfilling": {stream: status.fields() for stream, status in self.backfilling.items()},
            "oldest_cursor": oldest,
            "requests": {
                "per_second": round(self.requests, 1),
                "limit": self.limit,
                "refused_for_rate": self.refused_for_rate,
            },
            "failing_since": self.failing_since and f"{self.failing_since:%Y-%m-%dT%H:%M:%SZ}",
            "accounts_behind_seconds": round(self.behind.total_seconds()),
            **({"posts": self.posts.fields()} if self.posts else {}),
            "paused": {"accounts": self.paused.accounts, "streams": dict(self.paused.whats)},
            "late": {
                late.stream: {
                    "behind_seconds": round(late.waiting.total_seconds()),
                    "requests": late.done.requests,
                    "read_again": dict(late.done.rereads),
                }
                for late in self.late
            },
        }

    def _streams(self) -> str:
        if not self.backfilling:
            return f"Following {_streams(self.streams)}"
        begun = [item for item in self.backfilling.items() if item[1].documents or item[1].done]
        slowest = sorted(begun, key=lambda item: _slowness(item[1]), reverse=True)[:SHOWN]
        following = self.streams - len(self.backfilling)
        counts = f"Backfilling {_streams(len(self.backfilling))}, following {following:,}"
        named = "; ".join(f"{stream} {status.words()}" for stream, status in slowest)
        return f"{counts} (slowest: {named})" if named else counts


def _slowness(status: BackfillStatus) -> tuple[float, float]:
    """Streams of which no time is known come after those with the most time left."""
    return (-1.0 if status.seconds_left is None else status.seconds_left, status.documents)


def _streams(number: int) -> str:
    return f"{number:,} stream{'' if number == 1 else 's'}"


@dataclass
class WatchedStream:
    """A binding as the summary sees it. Its `state` is the one that its tasks move on. A stream that is
    captured account by account has several parts of its backfill for each, by `suffixes`. A binding is late
    once changes have waited for `Settings.late_after` beyond the time that its interval and the lag
    explain."""

    name: str
    state: ResourceState
    progress: Progress
    suffixes: Sequence[str] = ("",)
    begins: bool = False
    """Whether all of it was still to be backfilled when the binding was opened."""
    workload: Workload = field(default_factory=Workload)
    """What following its changes takes."""
    waiting: Callable[[], timedelta] = timedelta
    """How long its oldest change has waited beyond that time."""
    _before: Workload = field(default_factory=Workload)
    """The workload at the last look."""

    def look(self, late_after: timedelta) -> Late | None:
        """How late the binding is, and what the time since the last look was spent on; None where it is in
        time."""
        done, self._before = self.workload.since(self._before), deepcopy(self.workload)
        waiting = self.waiting()
        return Late(self.name, waiting, done) if waiting > late_after else None

    def backfill_status(self, paused: PausedAccounts) -> BackfillStatus | None:
        """How far the backfill is, None where it is done or where only accounts that are paused are left
        of it."""
        backfills, inc, waiting = self.state.backfill, self.state.inc, 0
        if paused and self.progress.unfinished and isinstance(backfills, dict) and isinstance(inc, Mapping):
            account_ids = (account_id for account_id in inc if account_id in paused)
            keys = (f"{account_id}{suffix}" for account_id in account_ids for suffix in self.suffixes)
            waiting = sum(backfills.get(key) is not None for key in keys)
        return self.progress.status(waiting)

    def oldest_cursor(self, now: datetime, paused: Collection[PausedAccounts]) -> OldestCursor | None:
        """The oldest cursor of all accounts that are not paused."""
        inc, account_id = self.state.inc, None
        if isinstance(inc, Mapping):
            cursors = Cursors.of(self.state, AccountNumbers())
            account_id = cursors.oldest(paused)
            inc = cursors.get(account_id or "")
        elif any(None in some for some in paused):
            return None
        if not isinstance(inc, ResourceState.Incremental) or not isinstance(inc.cursor, datetime):
            return None
        return OldestCursor(self.name, account_id, max(timedelta(), now - inc.cursor))


def is_untouched(state: ResourceState, subtasks: int) -> bool:
    """Whether no page was read yet of a backfill with so many subtasks. A shard without accounts has no
    subtask, and no backfill."""
    backfills = state.backfill.values() if isinstance(state.backfill, dict) else [state.backfill]
    unfinished = [part for part in backfills if part is not None]
    return 0 < len(unfinished) == subtasks and all(part.next_page is None for part in unfinished)


@dataclass(eq=False)
class Summary:
    """The summary of a capture with the bindings `watched`. `poller` is that of connected accounts. Made when
    the last binding opens, which runs it."""

    http: StripeSession
    watched: Sequence[WatchedStream]
    pauses: Pauses
    poller: AccountPoller | None = None
    notice_reader: NoticeReader | None = None
    _last: Facts | None = None
    _last_time: float = 0.0
    _last_traffic: Traffic = field(default_factory=Traffic)

    async def run(self, task: Task) -> None:
        """Writes summaries until the capture stops."""
        self._last_time, self._last_traffic = _loop_time(), copy(self.http.traffic)
        with going_on(task.log, "the summary"):
            self._report_beginning(task)
        settings = self.http.settings
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
            self._last, self._last_time = facts, _loop_time()
            self._last_traffic = copy(self.http.traffic)

    def _report_beginning(self, task: Task) -> None:
        """Writes one line for all backfills that begin. By its observable field Estuary counts them."""
        if names := [watched.name for watched in self.watched if watched.begins]:
            fields = {OBSERVABLE_FIELD: True, "catalog_task_name": task.catalog_task_name, "bindings": names}
            task.log.info(f"beginning the backfill of {_streams(len(names))}", extra=fields)

    def _look(self) -> Facts:
        """What is known at no cost: all but the oldest cursor."""
        paused_for, traffic, before = self.pauses.paused_for, self.http.traffic, self._last_traffic
        statuses = {
            watched.name: watched.backfill_status(paused_for(watched.name)) for watched in self.watched
        }
        seconds, late_after = max(1e-3, _loop_time() - self._last_time), self.http.settings.late_after
        return Facts(
            streams=len(self.watched),
            backfilling={name: status for name, status in statuses.items() if status is not None},
            requests=(traffic.requests - before.requests) / seconds,
            limit=self.http.requests_per_second,
            refused_for_rate=traffic.refused_for_rate - before.refused_for_rate,
            paused=self.pauses.status(),
            late=[late for watched in self.watched if (late := watched.look(late_after)) is not None],
            accounts=self.poller.accounts if self.poller else 0,
            behind=self.poller.behind() if self.poller else timedelta(),
            failing_since=self.http.failing_since(),
            posts=self._posts(),
        )

    def _posts(self) -> Posts | None:
        if (reader := self.notice_reader) is None:
            return None
        posts, received = reader.notices.posts, reader.notices.posts["received"]
        return Posts(received, posts.total() - received, reader.notices.trust.share, reader.delay)

    def _is_due(self, facts: Facts) -> bool:
        """Whether anything is under way or new, or the last summary is old."""
        last, settings = self._last, self.http.settings
        if last is None or facts.is_under_way or last.is_under_way or facts.paused != last.paused:
            return True
        # A look is a little late each time.
        quiet = timedelta(seconds=_loop_time() - self._last_time) + settings.summary_interval / 2
        return quiet >= settings.quiet_summary_interval

    async def _oldest_cursor(self) -> OldestCursor | None:
        """With many accounts each stream takes a while, and others have their turn in between."""
        now, cursors = self.http.now(), list[OldestCursor]()
        for watched in self.watched:
            paused = [some for what in (watched.name, CHANGES) if (some := self.pauses.paused_for(what))]
            if (oldest := watched.oldest_cursor(now, paused)) is not None:
                cursors.append(oldest)
            await asyncio.sleep(0)
        return max(cursors, key=lambda cursor: cursor.age, default=None)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
