"""From the catalogue's rows to the resources that the CDK discovers, validates and opens.

One function makes a resource of any row. A capture of one account uses the CDK's `open_binding`, one of
connected accounts the scheduler in priority_capture.py; both drive the same fetch functions, and the row's
variants become subtasks in either.
"""

import functools
import inspect
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import Any, Final

from estuary_cdk.capture.common import (
    FetchChangesFn,
    FetchPageFn,
    Resource,
    ResourceState,
    open_binding,
)
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import CaptureBinding

from source_stripe_native.access import probe
from source_stripe_native.accounts import Accounts, find_accounts, new_account_ids
from source_stripe_native.api import Course, Pace, fetch_backfill, fetch_incremental
from source_stripe_native.errors import ConnectorError
from source_stripe_native.feed import EventFeed
from source_stripe_native.http import StripeSession
from source_stripe_native.listing import Source
from source_stripe_native.models import (
    DEFAULT_INTERVAL,
    DEFAULT_WINDOW,
    STREAMS,
    BaseStripeObject,
    EndpointConfig,
    Events,
    Prices,
    ResourceConfig,
)
from source_stripe_native.overtaken import Overtaken
from source_stripe_native.priority_capture import PriorityQueueConfig, open_binding_with_priority_queue
from source_stripe_native.progress import Part, Progress
from source_stripe_native.rounds import AccountRounds
from source_stripe_native.slices import SlicedBackfill, useful
from source_stripe_native.state import (
    FROM_START,
    StatePatch,
    apply,
    initial_state,
    known_before,
    reconcile,
    with_cursors,
)
from source_stripe_native.window import RETENTION, floor

Binding = CaptureBinding[ResourceConfig]
StripeResource = Resource[BaseStripeObject, ResourceConfig, ResourceState]

PRICES_BACKFILL_SUFFIXES = list(Prices.VARIANTS)
FLUSH: Final = timedelta(minutes=1)
"""How often cursors that moved over nothing are written, with connected accounts."""
FETCH_PAGE: Final = inspect.Signature(
    [inspect.Parameter(each, inspect.Parameter.POSITIONAL_ONLY) for each in ("log", "page", "cutoff")]
)
"""The signature of a function that fetches pages."""


@dataclass(frozen=True)
class Following:
    """What the bindings of a capture share: one reading of events, the rounds over connected accounts, and
    what changes have overtaken of their backfills."""

    feed: EventFeed
    rounds: AccountRounds | None = None
    overtaken: Overtaken = field(default_factory=Overtaken)


@dataclass(frozen=True)
class _Stream:
    """A row of the catalogue in one capture: what fetches it, and how its binding is opened."""

    row: type[BaseStripeObject]
    http: StripeSession
    start_date: datetime
    accounts: Accounts
    following: Following
    begin_at: datetime
    previous: ResourceState | None = None

    @property
    def is_per_account(self) -> bool:
        return self.accounts.connected_ids is not None and self.row.PER_ACCOUNT

    @property
    def account_ids(self) -> str | list[str]:
        """The accounts of its state: an id where that is flat, a list where it is keyed by account."""
        return self.accounts.all_ids if self.is_per_account else self.accounts.platform_id

    @property
    def suffixes(self) -> list[str]:
        """Those of the state with which a capture begins."""
        is_sliced = self.row.is_sliced() and self.accounts.connected_ids is None
        return [FROM_START] if is_sliced else list(self.row.VARIANTS)

    @property
    def initial(self) -> ResourceState:
        initial = initial_state(self.account_ids, self.suffixes, self.begin_at)
        return with_cursors(initial, self.previous, self.http.now() - RETENTION)

    def fetch_changes(self, account_id: str | None, not_before: int) -> FetchChangesFn[Any]:
        return functools.partial(
            fetch_incremental,
            self.row,
            self.accounts.platform_id,
            account_id,
            self.http,
            window_size=self.following.feed.window_size,
            feed=self.following.feed,
            not_before=not_before,
            overtaken=self.following.overtaken,
            pace=Pace(),
        )

    def fetch_page(
        self, account_id: str | None, start: datetime, parameters: Mapping[str, str], course: Course
    ) -> FetchPageFn[Any]:
        fetch = functools.partial(
            fetch_backfill,
            self.row,
            start,
            self.accounts.platform_id,
            account_id,
            self.http,
            parameters=parameters,
            overtaken=self.following.overtaken,
            course=course,
        )
        # The CDK asks for it with every page, and to work it out takes as long as to write twenty documents.
        fetch.__signature__ = FETCH_PAGE  # type: ignore[attr-defined]  # which functions may have
        return fetch

    def fetch_variant(self, account_id: str | None, suffix: str, progress: Progress) -> FetchPageFn[Any]:
        key = f"{account_id or ''}{suffix}"
        return self.fetch_page(account_id, self.start_date, self.row.VARIANTS[suffix], Part(key, progress))

    def fetch_slice(self, since: int, course: Course) -> FetchPageFn[Any]:
        return self.fetch_page(None, datetime.fromtimestamp(since, UTC), self.row.VARIANTS[""], course)

    async def open(
        self, binding: Binding, binding_index: int, state: ResourceState, task: Task, _: list[Any]
    ) -> None:
        await _reconcile_state(self.account_ids, binding, state, self.initial, task, self.suffixes)
        cursors = state.inc if isinstance(state.inc, dict) else {self.accounts.platform_id: state.inc}
        for account_id, at in cursors.items():
            if at is not None and isinstance(at.cursor, datetime):
                self.following.feed.join(account_id, at.cursor)
        if self.is_per_account:
            self._open_accounts(binding, binding_index, state, task)
        else:
            self._open_one(binding, binding_index, state, task)

    def _open_one(self, binding: Binding, binding_index: int, state: ResourceState, task: Task) -> None:
        fetch_page: FetchPageFn[Any] | dict[str, FetchPageFn[Any]] | None = None
        if isinstance(state.backfill, ResourceState.Backfill):
            fetch_page = self.fetch_variant(None, "", self._progress(task, 1, 1))
        elif state.backfill and FROM_START in self.suffixes:
            self._open_slices(binding, binding_index, state, task)
        elif state.backfill:
            progress = self._progress(task, len(self.suffixes), len(state.backfill))
            fetch_page = {each: self.fetch_variant(None, each, progress) for each in self.suffixes}
        open_binding(
            binding,
            binding_index,
            state,
            task,
            fetch_changes=self.fetch_changes(None, known_before(state, "", self.suffixes)),
            fetch_page=fetch_page,
        )

    def _open_slices(self, binding: Binding, binding_index: int, state: ResourceState, task: Task) -> None:
        # Of several the CDK would end the capture after each, where the next one by schedule is overdue.
        is_whole = bool(binding.resourceConfig.schedule)
        backfill = SlicedBackfill(
            binding,
            binding_index,
            state,
            self.fetch_slice,
            self._progress(task, 1, 0),
            floor(self.start_date),
            lambda: 1 if is_whole else useful(self.http.latency(f"/v1/{self.row.SEARCH_NAME}")),
        )
        task.spawn_child(f"{'.'.join(binding.resourceConfig.path())}.backfill", backfill.run)

    def _open_accounts(self, binding: Binding, binding_index: int, state: ResourceState, task: Task) -> None:
        accounts = self.accounts.all_ids
        unfinished = len(state.backfill) if isinstance(state.backfill, dict) else 0
        progress = self._progress(task, len(accounts) * len(self.suffixes), unfinished)
        open_binding_with_priority_queue(
            binding,
            binding_index,
            state,
            task,
            accounts,
            fetch_changes_factory=lambda account_id: self.fetch_changes(
                account_id, known_before(state, account_id, self.suffixes)
            ),
            fetch_page_factory=lambda account_id, suffix: self.fetch_variant(account_id, suffix, progress),
            config=PriorityQueueConfig(
                now=self.http.now,
                flush=FLUSH,
                hears=functools.partial(_hears, self.row),
                rounds=self.following.rounds,
            ),
            backfill_subtask_suffixes=self.suffixes,
        )

    def _progress(self, task: Task, parts: int, untouched: int) -> Progress:
        return Progress(self.row.NAME, task.log, parts, untouched, is_dated=self.row.is_listed_by_time())


def base_object(
    cls: type[BaseStripeObject],
    http: StripeSession,
    start_date: datetime,
    accounts: Accounts,
    following: Following,
    begin_at: datetime | None = None,
    previous: ResourceState | None = None,
) -> StripeResource:
    """The resource of one row of the catalogue. A new capture's backfill and changes meet at `begin_at`; one
    that has a `previous` state goes on from its cursors when the CDK begins it anew by schedule."""
    stream = _Stream(cls, http, start_date, accounts, following, begin_at or http.now(), previous)
    return Resource(
        name=cls.NAME,
        key=cls.KEY,
        model=cls,
        open=stream.open,
        initial_state=stream.initial,
        initial_config=ResourceConfig(name=cls.NAME, interval=DEFAULT_INTERVAL, schedule=cls.SCHEDULE),
        schema_inference=True,
        disable=cls.DISABLED,
    )


def _types(cls: type[BaseStripeObject]) -> frozenset[str]:
    return frozenset((*cls.EVENT_TYPES, *cls.PARENT_EVENT_TYPES))


def _hears(cls: type[BaseStripeObject], types: frozenset[str]) -> bool:
    """Whether an account in which events of `types` are new has anything for the stream. Where no event would
    tell, it has to be looked for each time."""
    return cls.POLLS or bool(types if cls.IS_EVENT else types & _types(cls))


async def _reconcile_state(
    account_ids: str | Sequence[str],
    binding: Binding,
    state: ResourceState,
    initial: ResourceState,
    task: Task,
    suffixes: Sequence[str],
) -> None:
    """Brings a binding's state into the shape and to the accounts of today, in one checkpoint."""
    patch = reconcile(state, initial, account_ids, suffixes)
    if not patch:
        return
    task.log.info("reconciling the state with the accounts", {"binding": binding.stateKey})
    await task.checkpoint(StatePatch(bindingStateV1={binding.stateKey: patch}))
    apply(state, patch)


def _create_prices_initial_state(account_ids: str | list[str]) -> ResourceState:
    """The state in which every price is still to be backfilled, of one account (an id) or of connected
    ones."""
    return initial_state(account_ids, PRICES_BACKFILL_SUFFIXES)


async def _reconcile_prices_state(
    account_ids: list[str], binding: Binding, state: ResourceState, initial_state: ResourceState, task: Task
) -> None:
    """`_reconcile_state` for the variants of Prices."""
    await _reconcile_state(account_ids, binding, state, initial_state, task, PRICES_BACKFILL_SUFFIXES)


def prices_object(
    http: StripeSession,
    start_date: datetime,
    platform_account_id: str,
    connected_account_ids: list[str],
    all_account_ids: list[str],
) -> StripeResource:
    """The Prices resource, of one account where no connected ones are given."""
    accounts = Accounts(
        platform_account_id,
        [each for each in all_account_ids if each != platform_account_id] if connected_account_ids else None,
    )
    feed = EventFeed(_types(Prices), window_size=DEFAULT_WINDOW)
    return base_object(Prices, http, start_date, accounts, Following(feed))


async def all_resources(
    log: Logger,
    http: StripeSession,
    config: EndpointConfig,
    names: Collection[str] | None = None,
    states: Mapping[str, ResourceState] | None = None,
) -> list[StripeResource]:
    """A resource for every stream that the key can read, of the catalogue or of those `names`. `states` are
    those that a capture resumes from, by name.

    Raises ConnectorError where the key is refused or may not read events, where a stream asked for by name
    cannot be read, and where there is none left.
    """
    accounts = await find_accounts(http, log, connected=config.capture_connected_accounts)
    wanted = [each for each in STREAMS if names is None or each.NAME in names]
    access = await probe(http, log, wanted)
    for name, denial in access.denied.items():
        if names is not None:
            raise ConnectorError(f"{name} cannot be captured: {denial.reason} Or disable the binding.")
        log.log(logging.WARNING if denial.by_key else logging.INFO, f"{name} is left out: {denial.reason}")
    if access.denied and not access.readable:
        reasons = "; ".join(denial.reason for denial in access.denied.values())
        raise ConnectorError(f"None of the streams can be read: {reasons}")
    following = _following(log, http, config, accounts, access.readable)
    begin_at = http.now()
    return [
        base_object(
            each, http, config.start_date, accounts, following, begin_at, (states or {}).get(each.NAME)
        )
        for each in access.readable
    ]


def _following(
    log: Logger,
    http: StripeSession,
    config: EndpointConfig,
    accounts: Accounts,
    streams: Sequence[type[BaseStripeObject]],
) -> Following:
    types: frozenset[str] | None = None
    if any(each.follows_events() for each in streams):
        all_of_them = any(each.IS_EVENT for each in streams)
        types = frozenset() if all_of_them else frozenset[str]().union(*map(_types, streams))
    feed = EventFeed(types, window_size=config.advanced.incremental_window_size)
    if accounts.connected_ids is None:
        return Following(feed)
    known, looked_at = set(accounts.all_ids), floor(http.now())

    async def find_new() -> list[str]:
        nonlocal looked_at
        since, looked_at = looked_at, floor(http.now())
        found = await new_account_ids(http, log, accounts.platform_id, known, since)
        known.update(found)
        return found

    def source_of(account_id: str) -> Source:
        acting = account_id if account_id != accounts.platform_id else None
        return Source(http, log, Events, account_id, acting, is_one_of_many=True)

    return Following(
        feed,
        AccountRounds(feed, source_of, accounts.all_ids, find_new, sum(each.PER_ACCOUNT for each in streams)),
    )
