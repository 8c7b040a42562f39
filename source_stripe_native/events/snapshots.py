"""Snapshots: whole lists that are read again from time to time and compared with the last reading, for what
changes without an event and is found by no filter.

Rule: an object that differs from the last reading is captured. One that is missing is a deletion where the
row says so (`SHOWS_DELETIONS`) and Stripe, asked for it alone, no longer has it: a key that has lost a
permission lists less. A snapshot is read in the window in which an interval ends (UTC): which window that is
follows from the cursor alone.

Limits: a list is read every `Settings.snapshot_interval`, lists of children every
`Settings.child_snapshot_interval`. Of each object a digest and its keys are kept. Where objects vanish, they
are in the state too (`list_memory`). Of other streams the first snapshot after a restart captures everything
once more.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Final

import orjson

from source_stripe_native.errors import StripeError, is_refusal
from source_stripe_native.events.list_memory import UNKNOWN, ListMemories
from source_stripe_native.settings import Settings
from source_stripe_native.state.remembered_lists import Listed
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.streams.row import BaseStripeObject, Document
from source_stripe_native.stripe.children import open_child_lists, read_children
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import retrieve, to_document, to_tombstone
from source_stripe_native.stripe.listings import listed_objects, read_listed
from source_stripe_native.stripe.notices import notice
from source_stripe_native.stripe.pages import Source, is_in_window

DIGEST_SIZE: Final = 16


class Snapshot:
    """The reading of a stream's list that may be due in `window`. No object that was created before `since`
    (Unix seconds) is captured unless it was before. A reading that fails changes nothing."""

    def __init__(self, source: Source, memories: ListMemories, window: Window, since: int) -> None:
        self._source = source
        self._memories = memories
        self._window = window
        self._since = since
        self._before: Mapping[str, Listed] | None = None
        """The memory when the reading began; None where none is due."""
        self._changes: dict[str, Listed | None] = {}
        self._captured: dict[str, Listed] = {}
        """What the window captures, by identity, from the list or from elsewhere."""

    async def read(self) -> AsyncIterator[Document]:
        """What differs from the last reading, where one is due."""
        source, stream = self._source, self._source.stream
        if not is_due(stream, self._window, source.settings):
            return
        before, seen = self._memories.of(source), dict[str, Listed]()
        wanted = Window(self._since, floor(source.http.now()) + 1)
        # Objects that an earlier start date has captured are still followed.
        async for found in _whole_list(source, 0 if stream.SHOWS_DELETIONS else self._since):
            identity = stream.identity(found)
            known = before.get(identity)
            if known is None and not is_in_window(stream, found, wanted):
                continue
            seen[identity] = now = Listed(_digest(found), _keys(stream, found))
            # An event may just have shown another version.
            if known is None or known.digest != now.digest or identity in self._captured:
                yield await to_document(source, found, "u")
        missing = {name: each.keys for name, each in before.items() if name not in seen}
        if stream.SHOWS_DELETIONS:
            for name in await _still_there(source, missing):
                del missing[name]
            for keys in missing.values():
                yield to_tombstone(source, dict(keys), "d", self._window.end)
        self._before = before
        self._changes = {**seen, **dict.fromkeys(missing)}

    def note(self, document: Document) -> None:
        """Notes a document that the window captures, by the reading or otherwise."""
        stream = self._source.stream
        if stream.SNAPSHOTS and document["_meta"]["op"] != "d":
            self._captured[stream.identity(document)] = unsettled(stream, document)

    async def remember(self) -> None:
        """Remembers what the window captures. To be called before its checkpoint."""
        # What a backfill has captured during the reading may be another version than the list had.
        await self._memories.remember(self._source, self._captured, self._before)

    async def settle(self) -> None:
        """Takes over what was read. To be called after the window's checkpoint."""
        before = {**(self._before or {}), **self._captured}
        await self._memories.settle(self._source, before, self._changes)


def unsettled(stream: type[BaseStripeObject], found: Json) -> Listed:
    """What is remembered of an object that is about to be captured."""
    return Listed(UNKNOWN, _keys(stream, found))


def interval_of(stream: type[BaseStripeObject], settings: Settings) -> timedelta:
    """How often the stream's lists are read again."""
    return settings.snapshot_interval if stream.PARENT is None else settings.child_snapshot_interval


def is_due(stream: type[BaseStripeObject], window: Window, settings: Settings) -> bool:
    """Whether the stream's lists are to be read again in `window`."""
    if not stream.SNAPSHOTS:
        return False
    seconds = int(interval_of(stream, settings).total_seconds())
    return window.start // seconds != window.end // seconds


def _keys(stream: type[BaseStripeObject], found: Json) -> Json:
    """What a tombstone of the object needs."""
    if not stream.SHOWS_DELETIONS:
        return {}
    names = {"id", "object", stream.PARENT_FIELD, *(each.removeprefix("/") for each in stream.KEY)}
    return {name: found[name] for name in sorted(names - {"account_id"}) if name in found}


async def _whole_list(source: Source, since: int) -> AsyncIterator[Json]:
    """The objects of all variants of the stream's list that were created at `since` or later."""
    window = Window(since, floor(source.http.now()) + 1)
    for suffix, variant in source.stream.VARIANTS.items():
        params, embedding = list(variant.items()), source.stream.EMBEDDINGS.get(suffix)
        token = None
        while True:
            page = await read_listed(source, window, params, token, embedding=embedding)
            async for found in listed_objects(
                source, window, params, page, in_window_only=True, embedding=embedding
            ):
                yield found
            token = page.next
            if token is None:
                break


async def _still_there(source: Source, missing: Mapping[str, Json]) -> set[str]:
    """The objects that are missing in a list though Stripe still has them, or refuses to say. What can only
    be listed is taken to be gone."""
    try:
        if source.stream.PARENT is None:
            return {name for name, keys in missing.items() if await _exists(source, keys)}
        field = source.stream.PARENT_FIELD
        parents = {str(keys[field]) for keys in missing.values() if field in keys}
        return {name for each in parents async for name in _listed_under(source, each)} & missing.keys()
    except StripeError as error:
        if not is_refusal(error):
            raise
        about = {"account": source.account_id, "error": error.answer}
        notice(source, "what a list lacks cannot be read, and is taken to be there", about)
        return set(missing)


async def _exists(source: Source, keys: Json) -> bool:
    return source.stream.object_path(keys) is not None and await retrieve(source, keys, ()) is not None


async def _listed_under(source: Source, parent_id: str) -> AsyncIterator[str]:
    """The identities of a parent's children; none where the parent is gone."""
    window = Window(0, floor(source.http.now()) + 1)
    for children in await open_child_lists(source, {"id": parent_id}, window, (), shown=False) or ():
        async for child in read_children(source, children, window):
            yield source.stream.identity(child)


def _digest(found: Json) -> bytes:
    body = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=DIGEST_SIZE).digest()
