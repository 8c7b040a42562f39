"""Snapshots: whole lists that are read again from time to time and compared with the last reading, for what
changes without an event and is found by no filter.

Rule: an object that differs from the last reading is captured. One that is missing is a deletion where the
row says so (`VANISHES`). A snapshot is read in the window in which an interval ends (UTC): which window that
is follows from the cursor alone. After a restart the last reading is unknown: the first snapshot captures
everything once more, and finds no deletion.

Limits: a list is read every `Settings.snapshot_interval`, lists of children every
`Settings.child_snapshot_interval`. Of each object a digest and its keys are kept.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import orjson

from source_stripe_native.settings import Settings
from source_stripe_native.streams.row import BaseStripeObject, Document
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import to_document, to_tombstone
from source_stripe_native.stripe.listings import listed_objects, read_listed
from source_stripe_native.stripe.pages import Source
from source_stripe_native.window import Window, floor

DIGEST_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of an object: a digest of all of it, and what a tombstone needs."""

    digest: bytes
    keys: Json


class Snapshots:
    """The last readings, by stream and account."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str | None], dict[str, _Seen]] = {}

    async def read(self, source: Source, window: Window, since: int) -> AsyncIterator[Document]:
        """What differs from the last reading, where one is due in `window`. Objects that were created before
        `since` (Unix seconds) are left out. A reading that fails changes nothing."""
        stream = source.stream
        if not is_due(stream, window, source.settings):
            return
        key = stream.NAME, source.account_id
        last, seen = self._last.get(key, {}), dict[str, _Seen]()
        async for found in _whole_list(source, since):
            identity = stream.identity(found)
            seen[identity] = now = _Seen(_digest(found), _keys(stream, found))
            before = last.get(identity)
            if before is None or before.digest != now.digest:
                yield await to_document(source, found, "u")
        for identity in last.keys() - seen.keys() if stream.VANISHES else ():
            yield to_tombstone(source, dict(last[identity].keys), "d", window.end)
        self._last[key] = seen


def interval_of(stream: type[BaseStripeObject], settings: Settings) -> timedelta:
    """How often the stream's lists are read again."""
    return settings.snapshot_interval if stream.PARENT is None else settings.child_snapshot_interval


def is_due(stream: type[BaseStripeObject], window: Window, settings: Settings) -> bool:
    """Whether the stream's lists are to be read again in `window`."""
    if not stream.SNAPSHOTS:
        return False
    seconds = int(interval_of(stream, settings).total_seconds())
    return window.start // seconds != window.end // seconds


async def _whole_list(source: Source, since: int) -> AsyncIterator[Json]:
    """The objects of all variants of the stream's list that were created at `since` or later."""
    window = Window(since, floor(source.http.now()) + 1)
    for suffix, variant in source.stream.VARIANTS.items():
        params, harvest = list(variant.items()), source.stream.HARVESTS.get(suffix)
        token = None
        while True:
            page = await read_listed(source, window, params, token, harvest=harvest)
            async for found in listed_objects(source, window, params, page, sift=True, harvest=harvest):
                yield found
            token = page.next
            if token is None:
                break


def _digest(found: Json) -> bytes:
    body = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=DIGEST_SIZE).digest()


def _keys(stream: type[BaseStripeObject], found: Json) -> Json:
    names = {"id", "object", stream.PARENT_FIELD, *(each.removeprefix("/") for each in stream.KEY)}
    return {name: found[name] for name in names if name in found}
