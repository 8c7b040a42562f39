"""From the catalogue's rows to the resources that the CDK discovers, validates and opens.

One function makes a resource of any row. Its binding is opened by capture/open_stream.py.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from logging import Logger
from typing import Any

from estuary_cdk.capture.common import Resource, ResourceState
from estuary_cdk.capture.task import Task

from source_stripe_native.api import source_of
from source_stripe_native.backfill.page_loop import Binding
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.capture.open_stream import open_stream, reconcile_state
from source_stripe_native.capture.stream_binding import CaptureContext, StreamBinding
from source_stripe_native.config import DEFAULT_INTERVAL, DEFAULT_WINDOW, EndpointConfig, ResourceConfig
from source_stripe_native.errors import ConnectorError, Scope, is_passing, scope_of
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.events.list_feed import PolledLists
from source_stripe_native.flow.schedules import Schedules
from source_stripe_native.notices.notices import Notices
from source_stripe_native.notices.trust import Trust
from source_stripe_native.scheduling.account_poller import AccountPoller, new_accounts_unit
from source_stripe_native.scheduling.notice_reader import NoticeReader
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.settings import Settings
from source_stripe_native.state.parts import cursor_time
from source_stripe_native.state.shapes import initial_state, with_cursors
from source_stripe_native.state.shards import WHOLE, Shard
from source_stripe_native.state.windows import RETENTION, floor
from source_stripe_native.streams import STREAMS
from source_stripe_native.streams.core import Events
from source_stripe_native.streams.products import Prices
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.account_directory import (
    CapturedAccounts,
    connected_account_ids,
    find_accounts,
    selection_of,
)
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Source
from source_stripe_native.stripe.permissions import (
    Permissions,
    all_reasons,
    by_cause,
    no_changes,
    probe,
    refusal,
)
from source_stripe_native.stripe.shared_pages import SharedPages

StripeResource = Resource[BaseStripeObject, ResourceConfig, ResourceState]

PRICES_BACKFILL_SUFFIXES = list(Prices.VARIANTS)


class RepeatableResource(StripeResource):
    """A stream's resource, whose initial state goes on from an earlier state's cursors. It has parts for
    each account and is hardly ever needed, so that it is made when the CDK asks for it."""

    @property
    def initial_state(self) -> ResourceState:
        return self._make()

    @initial_state.setter
    def initial_state(self, make: Any) -> None:
        self._make: Callable[[], ResourceState] = make


def base_object(
    cls: type[BaseStripeObject],
    context: CaptureContext,
    previous: ResourceState | None = None,
    *,
    is_unproven: bool = False,
) -> StripeResource:
    """The resource of one row of the catalogue, proposed as disabled where it `is_unproven` that any account
    has it. A capture with a `previous` state keeps its cursors when it starts again, by schedule or on
    request."""
    stream, http = StreamBinding(cls, context), context.http
    # Twice the margin, so that a cursor that is carried over leaves time to read on from it.
    oldest = http.now() - RETENTION + 2 * http.settings.retention_margin
    return RepeatableResource(
        name=cls.NAME,
        key=cls.KEY,
        model=cls,
        open=functools.partial(open_stream, cls, context),
        initial_state=lambda: with_cursors(  # type: ignore[arg-type]  # taken by the setter
            context.initial_state(stream.account_ids, stream.suffixes),
            previous,
            stream.account_ids,
            oldest,
            stream.own_id,
        ),
        initial_config=ResourceConfig(name=cls.NAME, interval=DEFAULT_INTERVAL, schedule=cls.SCHEDULE),
        schema_inference=True,
        disable=cls.DISABLED or is_unproven,
    )


# The four names for Prices below are for callers from outside: the connector itself uses `base_object`.


def _create_prices_initial_state(account_ids: str | list[str]) -> ResourceState:
    """The state in which every price is still to be backfilled, of one account (an id) or of connected
    ones."""
    return initial_state(account_ids, PRICES_BACKFILL_SUFFIXES)


async def _reconcile_prices_state(
    account_ids: list[str], binding: Binding, state: ResourceState, initial_state: ResourceState, task: Task
) -> None:
    """`reconcile_state` for the variants of Prices. New accounts start where those of `initial_state` do."""
    assert isinstance(initial_state.inc, Mapping), "connected accounts have a cursor each"
    cutoff = max(cursor_time(inc.cursor) for inc in initial_state.inc.values() if inc is not None)
    await reconcile_state(account_ids, binding, state, cutoff, task, PRICES_BACKFILL_SUFFIXES)


def prices_object(
    http: StripeSession,
    start_date: datetime,
    platform_account_id: str,
    connected_account_ids: list[str],
    all_account_ids: list[str],
) -> StripeResource:
    """The Prices resource, of one account where no connected ones are given."""
    accounts = CapturedAccounts(
        platform_account_id,
        [key for key in all_account_ids if key != platform_account_id] if connected_account_ids else None,
    )
    feed = EventFeed(Prices.all_event_types(), window_size=DEFAULT_WINDOW, settings=http.settings)
    # With the capture's logger, since a resource has none before it is opened.
    pauses = Pauses(http, logging.getLogger("flow"), platform_account_id)
    return base_object(Prices, CaptureContext(http, accounts, start_date, http.now(), feed, pauses))


@dataclass
class Opening:
    """What a capture is opened with. `states` are those that it resumes from or starts anew after, by name.
    The accounts of the `shard` are captured. `notices` are set where the capture gets Stripe's posts."""

    states: Mapping[str, ResourceState]
    shard: Shard = WHOLE
    schedules: Schedules = field(default_factory=Schedules)
    notices: Notices | None = None


async def all_resources(
    log: Logger,
    http: StripeSession,
    config: EndpointConfig,
    names: Collection[str] | None = None,
    opening: Opening | None = None,
    listed: bool = True,
) -> list[StripeResource]:
    """A resource for every stream that the key can read, of the catalogue or of those `names`. Nothing where
    the only account belongs to another shard than that of the `opening`. Discover and validate open nothing,
    and need no connected accounts `listed`. Raises ConnectorError where the key is refused or may not read
    events, where a stream asked for by name cannot be read, and where there is none left."""
    given, connected = opening or Opening({}), config.capture_connected_accounts
    accounts = await find_accounts(http, log, selection_of(config, given.shard), connected=connected)
    unlisted: ConnectorError | None = None
    if connected and listed:
        accounts, unlisted = await _with_connected(http, log, accounts, given.states.values())
    if not accounts.all_ids and not connected:
        log.info(f"account {accounts.platform_id} is captured by another shard: this one has nothing to do")
        return []
    if not given.shard.is_whole:
        log.info("this shard captures a part of the accounts", {"accounts": len(accounts.all_ids)})
    streams = [row for row in STREAMS if names is None or row.NAME in names]
    # A capture that opens asks for events alone: whatever else it may not read is paused, binding by binding.
    try:
        permissions = await probe(http, log, streams if opening is None else [], connected=connected)
    except ConnectorError as error:
        if opening is None or not is_passing(error):
            raise
        # So are events that fail for now.
        permissions = Permissions(streams, {})
    if permissions.no_changes is not None:
        raise ConnectorError(no_changes(permissions.no_changes, permissions.denied))
    if opening is None:
        streams = permissions.readable
        report_denied(log, permissions, is_asked_by_name=names is not None)
    context = await _capture_context(log, http, config, accounts, streams, unlisted, given)
    return [
        base_object(row, context, given.states.get(row.NAME), is_unproven=row.NAME in permissions.unproven)
        for row in streams
    ]


async def _with_connected(
    http: StripeSession, log: Logger, accounts: CapturedAccounts, states: Iterable[ResourceState]
) -> tuple[CapturedAccounts, ConnectorError | None]:
    """`accounts` with the connected ones. Where these cannot be listed for now, it is with those that the
    states know, and with the reason: the others are found later."""
    selection, error = accounts.selection, None
    try:
        ids = await connected_account_ids(http, log, accounts.platform_id, selection)
    except ConnectorError as failure:
        known = dict.fromkeys(itertools.chain.from_iterable(_account_ids(states)))
        known.pop(accounts.platform_id, None)
        if scope_of(failure) > Scope.BINDING or not (known or is_passing(failure)):
            raise
        error, ids = failure, [key for key in known if selection.may_have(key)]
    return replace(accounts, connected_ids=ids), error


def report_denied(log: Logger, permissions: Permissions, *, is_asked_by_name: bool) -> None:
    """Reports the streams that are left out. Raises ConnectorError where one was asked for by name, and where
    none is left."""
    if permissions.denied and is_asked_by_name:
        raise ConnectorError(refusal(permissions.denied))
    if permissions.denied and not permissions.readable:
        raise ConnectorError(f"None of the streams can be read: {all_reasons(permissions.denied)}")
    for number, reasons, level in by_cause(permissions.denied):
        log.log(level, f"{number} left out: {reasons}")
    for number, reasons, _ in by_cause(permissions.unproven):
        log.info(f"{number} read of connected accounts only, and proposed as disabled: {reasons}")


async def _capture_context(
    log: Logger,
    http: StripeSession,
    config: EndpointConfig,
    accounts: CapturedAccounts,
    streams: Sequence[type[BaseStripeObject]],
    unlisted: ConnectorError | None,
    opening: Opening,
) -> CaptureContext:
    """`unlisted` is why the connected accounts could not be listed."""
    types, settings, own_id = _event_types(streams), http.settings, accounts.platform_id
    connected, known = accounts.connected_ids is not None, set(accounts.all_ids)
    feed = EventFeed(types, window_size=config.advanced.incremental_window_size, settings=settings)
    superseded, pauses = SupersededIds(), Pauses(http, log, own_id)

    def events_of(account_id: str) -> Source:
        source = source_of(Events, own_id, account_id if connected else None, http, log)
        # A reading that fails at its first request loses nothing, and its account's next turn is soon.
        return replace(source, most_attempts=1) if source.connected_account_id else source

    reader = poller = None
    if config.advanced.signing_secrets:
        trust = Trust(floor(http.now()), settings)
        opening.notices = Notices(own_id, not http.is_test, types, known.__contains__, feed, trust)
        reader = NoticeReader(opening.notices, feed, events_of, pauses, settings)
    new_ids: Sequence[str] = ()
    if connected:
        if any(row.ARE_ACCOUNTS for row in streams):
            known_ids = max(_account_ids(opening.states.values()), key=len, default=())
            new_ids = [new_id for new_id in accounts.all_ids if known_ids and new_id not in known_ids]
        if unlisted is not None:
            await pauses.pause(new_accounts_unit(pauses), unlisted)
        last_look = 0 if unlisted else floor(http.now())

        async def find_new() -> list[str]:
            nonlocal last_look
            now = floor(http.now())
            new = await connected_account_ids(http, log, own_id, accounts.selection, known, last_look)
            last_look = now
            known.update(new)
            return new

        poller = AccountPoller(feed, events_of, accounts.all_ids, find_new, pauses, settings)
        if reader is not None:
            poller.rely_on(reader)
    return CaptureContext(
        http,
        accounts,
        config.start_date,
        http.now(),
        feed,
        pauses,
        poller,
        reader,
        superseded,
        PolledLists(_shared_lists(streams, settings)),
        _shared_parents(streams, opening, superseded, settings),
        opening.schedules,
        refresh=config.advanced.refresh,
        new_ids=new_ids,
    )


def _account_ids(states: Iterable[ResourceState]) -> list[Collection[str]]:
    """The accounts of each state that is keyed by account."""
    return [state.inc for state in states if isinstance(state.inc, Mapping)]


def _event_types(streams: Sequence[type[BaseStripeObject]]) -> frozenset[str] | None:
    """The types of the events to read: all where it is empty, no events where None."""
    if any(row.IS_EVENT for row in streams):
        return frozenset()
    return frozenset[str]().union(*(row.all_event_types() for row in streams)) or None


def _shared_parents(
    streams: Iterable[type[BaseStripeObject]], opening: Opening, superseded: SupersededIds, settings: Settings
) -> SharedPages:
    """The lists of parents, for the child streams that have something to backfill."""
    shared = SharedPages(settings.shared_page_retention, settings.shared_page_bytes, superseded.recording)
    for row in streams:
        state = opening.states.get(row.NAME)
        if row.PARENT is not None and (state is None or state.backfill):
            shared.register(row)
    return shared


def _shared_lists(streams: Iterable[type[BaseStripeObject]], settings: Settings) -> SharedPages:
    """The polled lists that are made documents of two streams: of the objects, and of their children."""
    shared = SharedPages(settings.shared_list_retention, settings.shared_list_bytes)
    polled = {stream.NAME: stream for stream in streams if stream.POLLS}
    for stream in polled.values():
        if stream.PARENT is not None and stream.PARENT.NAME in polled:
            shared.register(stream)
            shared.register(polled[stream.PARENT.NAME])
    return shared
