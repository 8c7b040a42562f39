"""Refreshes: parts of a stream that the config asks to be captured again, each once.

Rule: a refresh is noted in the checkpoint in which it begins, and so is what is left of it. Objects are
postponed, as if they had failed, and so are read again with the next window (stripe/postponed.py). A range is
read as a backfill reads its pages, of one account and variant after another. Everything else of the state
stays as it is. A refresh that is no longer in the config is forgotten, so that the same one can be asked for
again.

    snapshot    {refresh/digest: {...}, refresh/digest/account_id/suffix: {..., last_digest: page token}}

The first entry is the note, and the second what is left of a range. The stream of accounts notes the
selection too, `refresh/selection-digest`: with another one all accounts are listed again.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from logging import Logger
from typing import Any, Final

from estuary_cdk.capture.common import FetchPageFn, ResourceState
from estuary_cdk.capture.task import Task

from source_stripe_native.backfill.page_loop import Binding, run_page_loop
from source_stripe_native.config import Refresh
from source_stripe_native.flow.waits import side_by_side
from source_stripe_native.scheduling.account_readers import AccountReaders
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.state.parts import Json, cursor_time
from source_stripe_native.state.shapes import StatePatch
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.postponed import Postponed

PREFIX: Final = "refresh"
SELECTION: Final = f"{PREFIX}/selection-"
FetchRange = Callable[[str, str, datetime], FetchPageFn[Any]]
"""Makes the function that reads an account's variant from a time on."""


@dataclass
class _Range:
    """What is left of a range in one variant of an account, as a backfill of it up to its last second."""

    key: str
    account_id: str
    suffix: str
    since: datetime
    state: ResourceState.Backfill


@dataclass
class Refreshes:
    """The refreshes of one binding that are `wanted`. Made when it opens, with the state."""

    row: type[BaseStripeObject]
    binding: Binding
    binding_index: int
    wanted: Sequence[Refresh]
    postponed: Postponed
    selection: str = ""
    """The digest of the selection, of which a change has to be noted."""
    is_selection_new: bool = False
    """Whether it may include accounts that the last one did not."""
    ranges: list[_Range] = field(default_factory=list)

    def restore(self, state: ResourceState, account_ids: Sequence[str], now: datetime, log: Logger) -> Json:
        """Takes its entries out of the state, and begins what is new to it for these accounts. Returns the
        merge patch of its entries."""
        entries = state.snapshot if isinstance(state.snapshot, dict) else {}
        left = {key: entries.pop(key) for key in [*entries] if key.startswith(f"{PREFIX}/")}
        patch, selection = Json(), f"{SELECTION}{self.selection}"
        if self.selection and left.pop(selection, None) is None:
            patch[selection] = _entry(now)
        # Without another one before it, nothing is included that was not.
        self.is_selection_new = any(key.startswith(SELECTION) for key in left)
        for note, refresh in {f"{PREFIX}/{refresh.digest}": refresh for refresh in self.wanted}.items():
            own_ids = [account_id for account_id in account_ids if refresh.account in (None, account_id)]
            ranges = itertools.product(() if refresh.ids else own_ids, self.row.VARIANTS)
            keys = {f"{note}/{account_id}/{suffix}": (account_id, suffix) for account_id, suffix in ranges}
            is_new = left.pop(note, None) is None
            if is_new and not own_ids:
                about = {"account": refresh.account}
                log.info(f"{self.row.NAME}: the account of a refresh is not captured here", about)
            elif is_new:
                patch |= {key: _entry(now) for key in (note, *keys)}
                kind = "OBJECT" if self.row.named_by() is self.row else "PARENT"
                for account_id in own_ids if refresh.ids else ():
                    patch |= self.postponed.read_again(account_id, [f"{kind}::{id_}" for id_ in refresh.ids])
            for key, (account_id, suffix) in keys.items():
                entry = left.pop(key, None)
                if is_new or entry is not None:
                    self._add(key, account_id, suffix, refresh, entry.last_digest if entry else "")
        return patch | dict.fromkeys(left)

    def _add(self, key: str, account_id: str, suffix: str, refresh: Refresh, page: str) -> None:
        assert refresh.since is not None, "ids are postponed"
        assert refresh.until is not None, "a range has an end"
        state = ResourceState.Backfill(cutoff=refresh.until - timedelta(seconds=1), next_page=page or None)
        self.ranges.append(_Range(key, account_id, suffix, refresh.since, state))

    async def run(self, fetch: FetchRange, pauses: Pauses, task: Task) -> None:
        """Starts to read the ranges, one account after another. A failure pauses what it concerns, and the
        others go on."""
        task.log.info(f"{self.row.NAME}: ranges are captured again", {"ranges": len(self.ranges)})
        read = functools.partial(self._read, fetch)
        readers = AccountReaders("ranges", pauses, 1, read, stream=self.row.NAME, part="refresh")
        readers.add(dict.fromkeys(part.account_id for part in self.ranges))
        await readers.run(task)

    async def _read(self, fetch: FetchRange, account_id: str, task: Task) -> float:
        failures = list[Exception]()
        for part in [part for part in self.ranges if part.account_id == account_id]:
            fetch_page = fetch(account_id, part.suffix, part.since)
            state_of = functools.partial(self._state_of, part.key)
            reading = run_page_loop(self.binding_index, fetch_page, part.state, state_of, False, task)
            try:
                # In a task of its own, with which its last page ends: others may be paused for an hour.
                (is_complete,) = await side_by_side([reading])
            except Exception as error:  # noqa: BLE001 - it is raised, after the other lists had their turn
                task.reset()
                failures.append(error)
                continue
            if is_complete:
                self.ranges.remove(part)
        if failures:
            raise ExceptionGroup("ranges", failures)
        if not self.ranges:
            task.log.info(f"{self.row.NAME}: all ranges have been captured again")
        return math.inf

    def _state_of(self, key: str, at: ResourceState.Backfill | None) -> StatePatch:
        entry = at and _entry(cursor_time(at.cutoff), str(at.next_page))
        return StatePatch(bindingStateV1={self.binding.stateKey: {"snapshot": {key: entry}}})


def _entry(at: datetime, page: str = "") -> Json:
    return {"updated_at": at.isoformat(), "last_count": 1, "last_digest": page}
