"""What the bindings of a capture share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from estuary_cdk.capture.common import ResourceState

from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.capture.summary import WatchedStream
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.events.list_feed import PolledLists
from source_stripe_native.flow.schedules import Schedules
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.state.shapes import initial_state
from source_stripe_native.stripe.postponed import Postponed
from source_stripe_native.stripe.shared_pages import SharedPages


@dataclass(frozen=True)
class CaptureContext:
    """What the bindings of a capture share: one reading of events, what is paused after failures, the poller
    of connected accounts, the ids of objects whose changes supersede a page of a backfill, what was seen in
    polled lists, and pages of parents."""

    feed: EventFeed
    pauses: Pauses
    poller: AccountPoller | None = None
    superseded: SupersededIds = field(default_factory=SupersededIds)
    polled: PolledLists = field(default_factory=PolledLists)
    sharing: SharedPages | None = None
    schedules: Schedules = field(default_factory=Schedules)
    postponed: dict[str, Postponed] = field(default_factory=dict)
    """The objects of each stream that cannot be read for now."""
    initial: dict[tuple[str, ...], ResourceState] = field(default_factory=dict)
    """The initial states of connected accounts, by suffixes."""
    subscribed: dict[str, ResourceState.Incremental] = field(default_factory=dict)
    """With which cursor each account was subscribed last, while bindings open."""
    starts: list[Callable[[], None]] = field(default_factory=list)
    """What starts the bindings that are open."""
    watched: list[WatchedStream] = field(default_factory=list)
    """The bindings that are open, for the summary."""

    def initial_state(
        self, account_ids: str | Sequence[str], suffixes: Sequence[str], cutoff: datetime
    ) -> ResourceState:
        """An initial state. With connected accounts, bindings with the same suffixes share it."""
        if isinstance(account_ids, str):
            return initial_state(account_ids, suffixes, cutoff)
        if (key := tuple(suffixes)) not in self.initial:
            self.initial[key] = initial_state(account_ids, suffixes, cutoff)
        return self.initial[key]
