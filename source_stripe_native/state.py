"""A binding's state: its shapes, and how an older or other shape becomes the one that is wanted. Pure.

The shape follows from the config and the stream, never from how many accounts there are today:

                        inc                        backfill
    one account         {cursor}                   {cutoff, next_page}           (one variant, suffix "")
                                                   {suffix: {cutoff, ...}}       (several variants, or slices)
    connected accounts  {account_id: {cursor}}     {account_id + suffix: {cutoff, ...}}

Both shapes are read into one form, account by account, and written in the shape wanted. The difference is an
RFC 7396 merge patch, so that the change is one checkpoint: all of it or none.

A slice is named after its oldest second, `_from_2024-05-01T00:00:00Z`. The oldest slice is `_from_start`: it
starts at the start date. A slice's `next_page` says how far it has come down to its oldest second.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from estuary_cdk.capture.common import ConnectorState as GenericConnectorState
from estuary_cdk.capture.common import LogCursor, ResourceState
from estuary_cdk.utils import json_merge_patch
from pydantic import BaseModel

from source_stripe_native.errors import ConnectorError
from source_stripe_native.window import floor

Json = dict[str, Any]
ConnectorState = GenericConnectorState[ResourceState]
Incremental = ResourceState.Incremental
Backfill = ResourceState.Backfill

_COMPOSITE: Final = re.compile(r"(acct_[^_]+)(.*)")
"""A backfill's key with connected accounts: the account's id, and a suffix that is empty or starts with
"_"."""

FROM_START: Final = "_from_start"
"""The suffix of the oldest slice of a backfill, which is all of it at first."""
_FROM: Final = "_from_%Y-%m-%dT%H:%M:%SZ"


class StatePatch(BaseModel):
    """A merge patch of the connector's state in any shape, as `Task.checkpoint` takes it."""

    bindingStateV1: dict[str, Json]


def slice_suffix(since: int) -> str:
    """The suffix of the slice that starts at `since`, in Unix seconds."""
    return datetime.fromtimestamp(since, tz=UTC).strftime(_FROM)


def slice_start(suffix: str) -> int | None:
    """When the slice with this suffix starts, in Unix seconds; None for the oldest slice. Raises ValueError
    for any other suffix."""
    if suffix == FROM_START:
        return None
    return floor(datetime.strptime(suffix, _FROM).replace(tzinfo=UTC))


def cursor_time(cursor: LogCursor) -> datetime:
    """A cursor or cutoff of the state as a time, which all of Stripe's are. Raises ConnectorError for any
    other."""
    if isinstance(cursor, datetime):
        return cursor
    raise ConnectorError(
        f"The state holds a cursor or cutoff that is not a time: {cursor!r}. Backfill the binding again."
    )


@dataclass
class AccountState:
    """One account's part of a binding's state: its cursor, and its unfinished variants by suffix."""

    inc: Incremental | None = None
    backfill: dict[str, Backfill] = field(default_factory=dict)


def initial_state(
    account_ids: str | Sequence[str], suffixes: Sequence[str] = ("",), cutoff: datetime | None = None
) -> ResourceState:
    """A state in which everything is still to be backfilled: of the one account whose id is given, or of each
    in a list of connected accounts. Backfill and changes meet at `cutoff` (now, if it is not given), a whole
    second as all of Stripe's times are."""
    cutoff = (cutoff or datetime.now(tz=UTC)).replace(microsecond=0)
    return _write({each: new_account_state(suffixes, cutoff) for each in _ids(account_ids)}, account_ids)


def new_account_state(suffixes: Sequence[str], cutoff: datetime) -> AccountState:
    """An account's state before anything of it is captured."""
    return AccountState(
        Incremental(cursor=cutoff), {suffix: Backfill(cutoff=cutoff, next_page=None) for suffix in suffixes}
    )


def reconcile(
    state: ResourceState,
    initial: ResourceState,
    account_ids: str | Sequence[str],
    suffixes: Sequence[str] = ("",),
) -> Json:
    """The merge patch that brings a binding's `state` into the shape wanted, empty where it is that already.

    New accounts start as in `initial`, accounts that are gone are dropped, and an account without a cursor
    follows changes from its backfill's cutoff on. Of a list of accounts the first is the key's own: a state
    without account ids is its.
    """
    known, wanted = _read(state, account_ids, suffixes), _read(initial, account_ids, suffixes)
    for account_id, new in wanted.items():
        have = known.get(account_id)
        if have is None:
            known[account_id] = new
        elif have.inc is None:
            have.inc = Incremental(cursor=_earliest_cutoff(have.backfill.values()))
    return merge_diff(_dump(state), _dump(_write(known, account_ids)))


def apply(state: ResourceState, patch: Json) -> None:
    """Merges `patch` into a state in memory, in place."""
    merged = _dump(state)
    json_merge_patch(merged, patch)
    updated = ResourceState.model_validate(merged)
    state.inc, state.backfill = updated.inc, updated.backfill


def merge_diff(old: Json, new: Json) -> Json:
    """The RFC 7396 merge patch that turns `old` into `new`, neither of which holds nulls."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := merge_diff(before, value):
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def known_before(state: ResourceState, account_id: str, suffixes: Sequence[str]) -> int:
    """The time, in Unix seconds, before which changes of an account are known by its backfill: the cutoff
    while that is unfinished. Zero where it is not, and where the cursor lies before the cutoff, as in a
    backfill by schedule: changes since then are still to be read. An empty `account_id` stands for a state
    without ids."""
    found = {"": state.backfill} if isinstance(state.backfill, Backfill) else state.backfill or {}
    keys = [f"{account_id}{suffix}" for suffix in suffixes] if account_id else list(found)
    unfinished = [at for key in keys if (at := found.get(key)) is not None]
    inc = state.inc.get(account_id) if isinstance(state.inc, dict) else state.inc
    if not unfinished or inc is None or not isinstance(inc.cursor, datetime):
        return 0
    cutoff = _earliest_cutoff(unfinished)
    return 0 if inc.cursor < cutoff else floor(cutoff)


def with_cursors(initial: ResourceState, previous: ResourceState | None, oldest: datetime) -> ResourceState:
    """`initial` with the cursors of `previous` where they are not before `oldest`: a state for another
    backfill by schedule that misses no deletion in between."""

    def cursor(account_id: str, new: Incremental) -> Incremental:
        inc = previous.inc if previous else None
        have = inc.get(account_id) if isinstance(inc, dict) else inc
        if have is None or not isinstance(have.cursor, datetime) or have.cursor < oldest:
            return new
        return Incremental(cursor=have.cursor)

    if isinstance(initial.inc, dict):
        inc = {key: cursor(key, new) for key, new in initial.inc.items() if new is not None}
        return ResourceState(inc=dict(inc), backfill=initial.backfill)
    assert initial.inc is not None, "every stream follows changes"
    return ResourceState(inc=cursor("", initial.inc), backfill=initial.backfill)


def _ids(account_ids: str | Sequence[str]) -> Sequence[str]:
    return [account_ids] if isinstance(account_ids, str) else account_ids


def _read(
    state: ResourceState, account_ids: str | Sequence[str], suffixes: Sequence[str]
) -> dict[str, AccountState]:
    """The state account by account, from either shape; accounts it knows nothing of are left out."""
    ids = _ids(account_ids)
    owner = ids[0]
    incs = {owner: state.inc} if isinstance(state.inc, Incremental) else state.inc or {}
    flat = {"": state.backfill} if isinstance(state.backfill, Backfill) else state.backfill or {}
    backfills: dict[str, dict[str, Backfill]] = {}
    for key, at in flat.items():
        if at is not None:
            account_id, suffix = _split(key, owner)
            backfills.setdefault(account_id, {})[suffix] = at
    found = {each: AccountState(incs.get(each), _variants(backfills.get(each, {}), suffixes)) for each in ids}
    return {each: has for each, has in found.items() if has.inc is not None or has.backfill}


def _split(key: str, owner: str) -> tuple[str, str]:
    """A backfill's key as account id and suffix; a bare suffix is the owner's."""
    if match := _COMPOSITE.fullmatch(key):
        return match[1], match[2]
    return owner, key


def _variants(own: dict[str, Backfill], suffixes: Sequence[str]) -> dict[str, Backfill]:
    """An account's unfinished variants. Where the stream no longer has one of them, nobody knows what that
    variant covered: all variants then start again. A backfill that is already running is not divided."""
    sliced = FROM_START in suffixes
    if all(suffix in suffixes or (sliced and (suffix == "" or _is_slice(suffix))) for suffix in own):
        return own
    cutoff = _earliest_cutoff(own.values())
    return {suffix: Backfill(cutoff=cutoff, next_page=None) for suffix in suffixes}


def _is_slice(suffix: str) -> bool:
    try:
        slice_start(suffix)
    except ValueError:
        return False
    return True


def _earliest_cutoff(backfills: Iterable[Backfill]) -> datetime:
    return min(cursor_time(each.cutoff) for each in backfills)


def _write(accounts: dict[str, AccountState], account_ids: str | Sequence[str]) -> ResourceState:
    """The state of `account_ids`, flat for a single id and keyed by account for a list."""
    if isinstance(account_ids, str):
        only = accounts[account_ids]
        flat = only.backfill.get("") if set(only.backfill) <= {""} else only.backfill
        return ResourceState(inc=only.inc, backfill=flat)
    return ResourceState(
        inc={each: accounts[each].inc for each in account_ids},
        backfill={
            f"{each}{suffix}": at for each in account_ids for suffix, at in accounts[each].backfill.items()
        },
    )


def _dump(state: ResourceState) -> Json:
    return state.model_dump(mode="json", include={"inc", "backfill"}, exclude_none=True)
