"""What a stream's binding reads in one capture, and what it shares with other bindings.

A capture of one account uses the CDK's `open_binding`, a capture of connected accounts the scheduler
(open_stream.py). Both drive the same fetch functions, and a row's variants become subtasks in either.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from estuary_cdk.capture.common import FetchPageFn, ResourceState

from source_stripe_native.api import Changes, source_of
from source_stripe_native.backfill.page_loop import PageHooks
from source_stripe_native.backfill.progress import Progress, ProgressHooks, oldest_second
from source_stripe_native.backfill.steps import Backfill
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.capture.summary import WatchedStream
from source_stripe_native.config import Refresh
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.events.list_feed import PolledLists
from source_stripe_native.flow.schedules import Schedules
from source_stripe_native.scheduling.account_changes import AccountChanges
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.notice_reader import NoticeReader
from source_stripe_native.scheduling.pauses import Pauses, Unit, UnitFailures
from source_stripe_native.state.cursors import AccountNumbers
from source_stripe_native.state.shapes import EPOCH, FROM_START, initial_state
from source_stripe_native.state.shards import ALL_ACCOUNTS
from source_stripe_native.state.windows import floor
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.account_directory import CapturedAccounts
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Source, Workload
from source_stripe_native.stripe.postponed import Postponed
from source_stripe_native.stripe.rate_limit import Priority
from source_stripe_native.stripe.shared_pages import SharedPages


@dataclass(frozen=True)
class CaptureContext:
    """What the bindings of a capture share: the accounts, where a new capture's backfill and changes meet
    (`cutoff`), one reading of events, what is paused after failures, the poller of connected accounts, the
    reader of notices, the ids of objects whose changes supersede a page of a backfill, what was seen in
    polled lists, and pages of parents. Made before any of them opens."""

    http: StripeSession
    accounts: CapturedAccounts
    start_date: datetime
    cutoff: datetime
    feed: EventFeed
    pauses: Pauses
    poller: AccountPoller | None = None
    notice_reader: NoticeReader | None = None
    superseded: SupersededIds = field(default_factory=SupersededIds)
    polled: PolledLists = field(default_factory=PolledLists)
    sharing: SharedPages | None = None
    schedules: Schedules = field(default_factory=Schedules)
    postponed: dict[str, Postponed] = field(default_factory=dict)
    """The objects of each stream that cannot be read for now."""
    refresh: Sequence[Refresh] = ()
    """What is to be captured again, of all streams."""
    new_ids: Sequence[str] = ()
    """The accounts that have connected since the state was written."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the task in which the capture opens writes a checkpoint."""
    initial: dict[tuple[str, ...], ResourceState] = field(default_factory=dict)
    """The initial states of connected accounts, by suffixes."""
    numbers: AccountNumbers = field(default_factory=AccountNumbers)
    """The connected accounts, as the cursors of new bindings number them."""
    starts: list[Callable[[], None]] = field(default_factory=list)
    """What starts the bindings that are open."""
    watched: list[WatchedStream] = field(default_factory=list)
    """The bindings that are open, for the summary."""

    def initial_state(self, account_ids: str | Sequence[str], suffixes: Sequence[str]) -> ResourceState:
        """The state in which everything is still to be captured. With connected accounts, bindings with the
        same suffixes share it."""
        if isinstance(account_ids, str):
            return initial_state(account_ids, suffixes, self.cutoff)
        if (key := tuple(suffixes)) not in self.initial:
            self.initial[key] = initial_state(account_ids, suffixes, self.cutoff)
        return self.initial[key]


@dataclass(frozen=True)
class StreamBinding:
    """A row of the catalogue in one capture, and its fetch functions. Made with the row's resource."""

    row: type[BaseStripeObject]
    context: CaptureContext

    @functools.cached_property
    def workload(self) -> Workload:
        """What following the changes takes."""
        return Workload()

    @property
    def accounts(self) -> CapturedAccounts:
        return self.context.accounts

    @property
    def own_id(self) -> str:
        return self.accounts.platform_id

    @property
    def start(self) -> int:
        """The second from which on objects are captured."""
        return floor(max(self.context.start_date, EPOCH))

    @property
    def is_per_account(self) -> bool:
        """Whether each account has a state of its own in the binding."""
        return self.accounts.connected_ids is not None and self.row.PER_ACCOUNT

    @property
    def account_ids(self) -> str | list[str]:
        """The accounts of the state: an id where it is flat, a list where it is keyed by account."""
        return self.accounts.all_ids if self.is_per_account else self.own_id

    @property
    def suffixes(self) -> list[str]:
        """The suffixes of a new state."""
        is_sliced = self.row.is_sliced() and self.accounts.connected_ids is None
        return [FROM_START] if is_sliced else list(self.row.VARIANTS)

    @property
    def follows_accounts(self) -> bool:
        """Whether the documents are the connected accounts, with one state for all of them."""
        return self.accounts.connected_ids is not None and self.row.ARE_ACCOUNTS

    def is_relevant(self, types: frozenset[str]) -> bool:
        """Whether new events of `types` may concern the stream."""
        return bool(types if self.row.IS_EVENT else types & self.row.all_event_types())

    def source(self, account_id: str | None, workload: Workload | None = None) -> Source:
        # The capture's logger has to be the CDK's: none may be made before the CDK has set its class.
        log = logging.getLogger("flow")
        return replace(
            source_of(self.row, self.own_id, account_id, self.context.http, log),
            workload=workload or Workload(),
            selection=self.accounts.selection if self.follows_accounts else ALL_ACCOUNTS,
            postponed=self.context.postponed.get(self.row.NAME),
        )

    def changes(
        self, account_id: str | None, not_before: int, account_changes: AccountChanges | None = None
    ) -> Changes:
        return Changes(
            self.source(account_id, self.workload),
            self.context.feed,
            not_before,
            self.context.superseded,
            # Not of this function: with connected accounts each turn of an account has a new one.
            self.context.polled,
            self.start,
            account_changes,
            commits=True,
        )

    def backfill(
        self, account_id: str | None, start: int, suffix: str, hooks: PageHooks | None = None
    ) -> Backfill:
        """The backfill of a variant of an account. Without `hooks` a range of time is captured again."""
        return Backfill(
            self.source(account_id),
            start,
            list(self.row.VARIANTS[suffix].items()),
            self.row.EMBEDDINGS.get(suffix),
            self.context.superseded,
            hooks,
            self.context.polled.memories,
            sharing=self.context.sharing if hooks is not None else None,
        )

    def fetch_variant(self, account_id: str | None, suffix: str, progress: Progress) -> FetchPageFn[Any]:
        find_oldest = None
        if self.row.is_listed_by_time() and suffix not in self.row.EMBEDDINGS:
            source = replace(self.source(account_id), priority=Priority.BACKFILL)
            find_oldest = functools.partial(oldest_second, source, list(self.row.VARIANTS[suffix].items()))
        hooks = ProgressHooks(f"{account_id or ''}{suffix}", progress, find_oldest)
        return self.backfill(account_id, self.start, suffix, hooks).fetch

    def fetch_range(self, account_id: str, suffix: str, since: datetime) -> FetchPageFn[Any]:
        """The function that reads a variant of an account again, from a time on (`refreshes.FetchRange`)."""
        return self.backfill(account_id if self.is_per_account else None, floor(since), suffix).fetch

    def is_trusted(self, account_id: str) -> bool:
        """Whether posts announce whatever happens in the account that the binding captures. None of them
        announces what API v2 has."""
        reader = self.context.notice_reader
        return self.row.API != "v2" and reader is not None and reader.is_trusted(account_id)

    def failures(self, part: str) -> UnitFailures:
        """Where a loop of a single account reports its failures."""
        return UnitFailures(self.context.pauses, Unit(self.row.NAME, self.own_id, part))
