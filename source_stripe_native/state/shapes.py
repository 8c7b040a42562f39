"""A binding's state: its shapes, and how an older or other shape becomes the one that is wanted. Pure.

The shape follows from the config and the stream, never from how many accounts there are today:

                        inc                        backfill
    one account         {cursor}                   {cutoff, next_page}           (one variant, suffix "")
                                                   {suffix: {cutoff, ...}}       (several variants, or slices)
    connected accounts  {account_id: {cursor}}     {account_id + suffix: {cutoff, ...}}

Both shapes are read into one form, account by account, and written in the shape wanted. The difference is a
merge patch, so that the change is one checkpoint: all of it or none.

A slice is named after its oldest second, `_from_2024-05-01T00:00:00Z`. The oldest slice is `_from_start`: it
starts at the start date. A slice's `next_page` says how far it has come down to its oldest second.

A backfill is the first of its binding, or a repeat: by schedule, on request, or because events are gone. In a
repeat the collection may hold objects that are deleted meanwhile. Every repeat is marked in the state as the
CDK marks one by schedule, with `is_connector_initiated`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from estuary_cdk.capture.common import ConnectorState as GenericConnectorState
from estuary_cdk.capture.common import ResourceState
from pydantic import BaseModel, ValidationError

from source_stripe_native.state.cursors import Cursors
from source_stripe_native.state.parts import (
    Backfill,
    Incremental,
    Json,
    Shared,
    cursor_time,
    difference,
    merge_diff,
    state_of,
)
from source_stripe_native.state.windows import floor

ConnectorState = GenericConnectorState[ResourceState]
Model = TypeVar("Model", bound=BaseModel)

_COMPOSITE: Final = re.compile(r"(acct_[^_]+)(.*)")
"""A backfill's key with connected accounts: the account's id, and the suffix."""

FROM_START: Final = "_from_start"
"""The suffix of the oldest slice of a backfill, which is all of it at first."""
_FROM: Final = "_from_%Y-%m-%dT%H:%M:%SZ"

EPOCH: Final = datetime.fromtimestamp(0, tz=UTC)
"""The time before which nothing exists at Stripe."""


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


@dataclass
class AccountState:
    """One account's part of a binding's state: its cursor, and its unfinished variants by suffix."""

    inc: Incremental | None = None
    backfill: dict[str, Backfill] = field(default_factory=dict)


def initial_state(
    account_ids: str | Sequence[str], suffixes: Sequence[str] = ("",), cutoff: datetime | None = None
) -> ResourceState:
    """A state in which everything is still to be backfilled: of the one account whose id is given, or of
    each in a list of connected accounts, which share its parts. Backfill and changes meet at `cutoff` (now,
    if it is not given), a whole second as all of Stripe's times are."""
    new = new_account_state(suffixes, cutoff or datetime.now(tz=UTC))
    return _write(dict.fromkeys(_ids(account_ids), new), account_ids)


def new_account_state(suffixes: Sequence[str], cutoff: datetime) -> AccountState:
    """An account's state before anything of it is captured."""
    cutoff = cutoff.replace(microsecond=0)
    return AccountState(
        Incremental(cursor=cutoff), {suffix: Backfill(cutoff=cutoff, next_page=None) for suffix in suffixes}
    )


def reconcile(
    state: ResourceState,
    cutoff: datetime,
    account_ids: str | Sequence[str],
    suffixes: Sequence[str] = ("",),
    owner: str = "",
) -> Json:
    """The merge patch that brings a binding's `state` into the shape wanted, empty where it is that already.
    Backfill and changes of a new account meet at `cutoff`. Accounts that are gone or of another shard are
    dropped, and an account without a cursor follows changes from its backfill's cutoff on. A state without
    account ids is that of `owner`, by default of the first account."""
    owner = owner or _ids(account_ids)[0]
    is_keyed = isinstance(state.inc, Mapping) and not isinstance(state.backfill, Backfill)
    if is_keyed and not isinstance(account_ids, str):
        inc: object = state.inc
        if isinstance(inc, Cursors) and not state.backfill and inc.has_just(account_ids):
            return {}  # Of very many accounts, hardly any differ.
        state, account_ids = _differing(state, account_ids, suffixes, owner)
    known, new = _read(state, account_ids, suffixes, owner), new_account_state(suffixes, cutoff)
    for account_id in _ids(account_ids):
        have = known.setdefault(account_id, new)
        if have.inc is None:
            have.inc = Incremental(cursor=_earliest_cutoff(have.backfill.values()))
    return difference(state, _write(known, account_ids))


def _differing(
    state: ResourceState, account_ids: Sequence[str], suffixes: Sequence[str], owner: str
) -> tuple[ResourceState, Sequence[str]]:
    """Those of `account_ids` of which a state with connected accounts has not what is wanted, and what it has
    of them and of others. There may be very many accounts, and hardly any that differ."""
    incs, backfills = _cursors(state, owner), _backfills(state)
    unknown, known = set(backfills), set(incs)
    if backfills:
        unknown -= {f"{account_id}{suffix}" for account_id in account_ids for suffix in suffixes}
    odd = (known ^ set(account_ids)) | {_split(key, owner)[0] for key in unknown}
    differing = state_of(
        inc={account_id: incs[account_id] for account_id in odd & known},
        backfill={key: at for key, at in backfills.items() if _split(key, owner)[0] in odd} if odd else {},
    )
    return differing, [account_id for account_id in account_ids if account_id in odd]


def known_before(state: ResourceState, account_id: str, suffixes: Sequence[str]) -> int:
    """The time, in Unix seconds, before which changes of an account are known by its first backfill: the
    cutoff while that is unfinished. Zero where it is not, and in a repeat: a deletion before the cutoff may
    become visible late, and no page reports it. An empty `account_id` stands for a state without ids."""
    if not account_id:
        unfinished = list(_backfills(state).values())
    else:
        parts = state.backfill if isinstance(state.backfill, dict) else {}
        unfinished = [at for suffix in suffixes if (at := parts.get(f"{account_id}{suffix}")) is not None]
    inc = state.inc.get(account_id) if isinstance(state.inc, Mapping) else state.inc
    if state.is_connector_initiated or not unfinished or inc is None or not isinstance(inc.cursor, datetime):
        return 0
    cutoff = floor(_earliest_cutoff(unfinished))
    # Changes between the cursor and the cutoff are still to be read, whatever the kind of the backfill.
    return 0 if floor(inc.cursor) < cutoff else cutoff


def with_cursors(
    initial: ResourceState,
    previous: ResourceState | None,
    account_ids: str | Sequence[str],
    oldest: datetime,
    owner: str = "",
) -> ResourceState:
    """The state of a repeat: `initial`, with the cursors of `previous` where they are not before `oldest`, so
    that no deletion in between is missed. `previous` may have either shape: without account ids it is that of
    `owner`, by default of the first account. Without it, `initial` itself."""
    if previous is None:
        return initial
    owner = owner or _ids(account_ids)[0]
    known = _cursors(previous, owner)

    def carried(account_id: str, new: Incremental) -> Incremental:
        have = known.get(account_id)
        if have is None or not isinstance(have.cursor, datetime):
            return new
        return have if oldest <= have.cursor <= cursor_time(new.cursor) else new

    new = _cursors(initial, owner)
    inc: Any = Shared({account_id: carried(account_id, at) for account_id, at in new.items()})
    return state_of(
        inc=inc if isinstance(initial.inc, Mapping) else inc[owner],
        backfill=initial.backfill,
        snapshot=previous.snapshot,
        is_connector_initiated=True,
    )


def previous_state(state: ConnectorState, state_key: str) -> ResourceState | None:
    """The state that a binding goes on from, or starts anew after: its own, or else the newest state of the
    same resource path under another state key. None for a binding that is new.

    The connector itself requests a backfill only where events are gone: no cursor is carried over then, but
    what is remembered of lists."""
    own = state.bindingStateV1.get(state_key)
    if state_key in state.backfillRequests:
        return ResourceState(snapshot=own.snapshot if own is not None else None)
    if own is not None:
        return own
    path, _ = _split_state_key(state_key)
    former = [
        (binding.inc is not None, counter, binding)
        for key, binding in state.bindingStateV1.items()
        for of, counter in [_split_state_key(key)]
        if binding is not None and of == path
    ]
    return max(former, key=lambda candidate: candidate[:2], default=(False, 0, None))[2]


def readable_part(former: object) -> Json:
    """The cursors of a former state, which may be in a shape of long ago, and what it remembers of lists.
    What cannot be read is left out."""
    fields = former if isinstance(former, dict) else {}
    inc, lists = (
        part if isinstance(part := fields.get(name), Mapping) else {} for name in ("inc", "snapshot")
    )
    if not _is_cursor(inc):
        inc = {key: at for key, at in inc.items() if _is_cursor(at)}
    entries = {key: entry for key, entry in lists.items() if _read_as(ResourceState.Snapshot, entry)}
    return {name: part for name, part in (("inc", inc), ("snapshot", entries)) if part}


def in_time(state: ResourceState, now: datetime) -> Json:
    """The merge patch that moves each cursor and cutoff after `now` back to `now`, and each before the epoch
    to the epoch. A cursor ahead of Stripe's clock would stand still, and hold up the account's others."""
    patch: Json = {}
    for name, parts in (("inc", state.inc), ("backfill", state.backfill)):
        time = "cursor" if name == "inc" else "cutoff"
        by_key: Mapping[str, Any] = parts if isinstance(parts, Mapping) else {"": parts}
        moved: Json = {}
        for key in by_key.beyond(floor(now)) if isinstance(by_key, Cursors) else by_key:
            part = by_key[key]
            at = getattr(part, time, None)
            if isinstance(at, datetime) and not EPOCH <= at <= now:
                moved[key] = part.model_copy(update={time: max(EPOCH, min(at, now))})
        if moved:
            patch |= merge_diff({}, {name: moved if isinstance(parts, Mapping) else moved[""]})
    return patch


def accounts_after(state: ResourceState, owner: str, time: datetime) -> list[str]:
    """The accounts with a cursor or a cutoff after `time`. `owner` is the account of a state without ids."""
    times = [(account_id, inc.cursor) for account_id, inc in _cursors(state, owner).items()]
    times += [(_split(key, owner)[0], at.cutoff) for key, at in _backfills(state).items()]
    return list(dict.fromkeys(key for key, at in times if isinstance(at, datetime) and at > time))


def _split_state_key(state_key: str) -> tuple[str, int]:
    """A binding's resource path, and the number of backfills that were requested."""
    path, mark, counter = state_key.rpartition(".v")
    return (path, int(counter)) if mark and counter.isdecimal() else (state_key, 0)


def _is_cursor(inc: object) -> bool:
    read = _read_as(Incremental, inc)
    return read is not None and isinstance(read.cursor, datetime)


def _read_as(kind: type[Model], value: object) -> Model | None:
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None


def _cursors(state: ResourceState, owner: str) -> Mapping[str, Incremental]:
    """The cursors by account, from either shape."""
    parts: Any = {owner: state.inc} if isinstance(state.inc, Incremental) else state.inc or {}
    return parts if isinstance(parts, Cursors) else {key: at for key, at in parts.items() if at is not None}


def _backfills(state: ResourceState) -> Mapping[str, Backfill]:
    """The unfinished backfills by key, from either shape."""
    parts = {"": state.backfill} if isinstance(state.backfill, Backfill) else state.backfill or {}
    return {key: at for key, at in parts.items() if at is not None}


def _ids(account_ids: str | Sequence[str]) -> Sequence[str]:
    return [account_ids] if isinstance(account_ids, str) else account_ids


def _read(
    state: ResourceState, account_ids: str | Sequence[str], suffixes: Sequence[str], owner: str
) -> dict[str, AccountState]:
    """The state account by account, from either shape; accounts it knows nothing of are left out."""
    incs, wanted = _cursors(state, owner), set(_ids(account_ids))
    known = {key: AccountState(inc) for key, inc in incs.items() if key in wanted}
    for key, at in _backfills(state).items():
        account_id, suffix = _split(key, owner)
        if account_id in wanted:
            known.setdefault(account_id, AccountState()).backfill[suffix] = at
    for part in known.values():
        part.backfill = _variants(part.backfill, suffixes)
    return known


def _split(key: str, owner: str) -> tuple[str, str]:
    """A backfill's key as account id and suffix; a bare suffix is the owner's."""
    match = _COMPOSITE.fullmatch(key)
    return (match[1], match[2]) if match else (owner, key)


def _variants(own: dict[str, Backfill], suffixes: Sequence[str]) -> dict[str, Backfill]:
    """An account's unfinished variants. Where the stream no longer has one of them, nobody knows what that
    variant covered: all variants then start again. A backfill that is already running is not divided."""
    unknown = own.keys() - set(suffixes)
    if FROM_START in suffixes:
        unknown = {suffix for suffix in unknown if suffix and not _is_slice(suffix)}
    if not unknown:
        return own
    cutoff = _earliest_cutoff(own.values())
    return {suffix: Backfill(cutoff=cutoff, next_page=None) for suffix in suffixes}


def _is_slice(suffix: str) -> bool:
    with suppress(ValueError):
        slice_start(suffix)
        return True
    return False


def _earliest_cutoff(backfills: Iterable[Backfill]) -> datetime:
    return min(cursor_time(backfill.cutoff) for backfill in backfills)


def _write(accounts: dict[str, AccountState], account_ids: str | Sequence[str]) -> ResourceState:
    """The state of `account_ids`, flat for a single id and keyed by account for a list."""
    if isinstance(account_ids, str):
        only = accounts[account_ids]
        flat = only.backfill.get("") if set(only.backfill) <= {""} else only.backfill
        return state_of(inc=only.inc, backfill=flat)
    backfill = {
        f"{account_id}{suffix}" if suffix else account_id: at
        for account_id in account_ids
        for suffix, at in accounts[account_id].backfill.items()
    }
    inc = Shared({account_id: accounts[account_id].inc for account_id in account_ids})
    return state_of(inc=inc, backfill=Shared(backfill))
