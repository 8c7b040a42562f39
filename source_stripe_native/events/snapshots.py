"""Snapshots: whole lists that are read again from time to time and compared with the last reading, for what
changes without an event and is found by no filter.

Rule: an object that differs from the last reading is captured, and is remembered in the same checkpoint,
page by page. One that is missing is a deletion where the row says so (`SHOWS_DELETIONS`) and Stripe, asked
for it alone, no longer has it: a key that has lost a permission lists less. A snapshot is read in the window
in which an interval ends, at a second of the interval that the account's id decides: which window that is
follows from the cursor alone.

Limits: a list is read every `Settings.snapshot_interval`, lists of children every
`Settings.child_snapshot_interval`. Of each object a digest and its keys are kept (`list_memory`). Where
deletions show, they are in the state too. Of other streams the first snapshot after a restart captures
everything once more.
"""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from itertools import islice
from typing import Final

import orjson

from source_stripe_native.errors import is_passing
from source_stripe_native.events.list_memory import UNKNOWN, ListMemories
from source_stripe_native.events.subjects import Kind, Subject
from source_stripe_native.flow.output import Commit
from source_stripe_native.settings import Settings
from source_stripe_native.state.remembered_lists import Listed
from source_stripe_native.state.shards import key_of
from source_stripe_native.state.windows import FOREVER, Window
from source_stripe_native.streams.row import BaseStripeObject, Document
from source_stripe_native.stripe.children import open_child_lists, read_children
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import retrieve, to_document, to_tombstone
from source_stripe_native.stripe.listings import Listing
from source_stripe_native.stripe.pages import Source, is_in_window, refusals_noticed

DIGEST_SIZE: Final = 16
NO_KEYS: Final[Json] = {}


async def read_snapshot(
    source: Source, memories: ListMemories, window: Window, since: int
) -> AsyncIterator[Document | Commit]:
    """What differs from the last reading of a list, where one is due in `window`, with a commit after each
    page of documents. No object that was created before `since` (Unix seconds) is captured unless it was
    before. A reading that fails finds no deletion."""
    stream, settings = source.stream, source.settings
    if not is_due(stream, source.account_id, window, settings):
        return
    unseen = set(memories.of(source))
    # Objects that an earlier start date has captured are still followed.
    async for objects in _pages(source, Window(0 if stream.SHOWS_DELETIONS else since, FOREVER)):
        captured: dict[str, Listed | None] = {}
        async for obj in objects:
            identity = stream.identity(obj)
            unseen.discard(identity)
            known = memories.of(source).get(identity)
            if known is None and not is_in_window(stream, obj, Window(since, FOREVER)):
                continue
            listed = Listed(_digest(obj), _keys(stream, obj))
            # What a backfill captured meanwhile may be another version.
            if known is None or known.digest != listed.digest:
                captured[identity] = listed
                yield await to_document(source, obj, "u")
            if len(captured) >= settings.step_documents:
                yield Commit(memories.change(source, captured))
                captured = {}
        if captured:
            yield Commit(memories.change(source, captured))
    gone = {identity: memories.of(source)[identity].keys for identity in unseen & memories.of(source).keys()}
    if not stream.SHOWS_DELETIONS:
        memories.change(source, dict.fromkeys(gone))
        return
    rest = iter(gone.keys() - await _still_there(source, gone))
    while batch := [*islice(rest, settings.step_documents)]:
        for identity in batch:
            yield to_tombstone(source, dict(gone[identity]), "d", window.end)
        yield Commit(memories.change(source, dict.fromkeys(batch)))


def unsettled(stream: type[BaseStripeObject], obj: Json) -> Listed:
    """What is remembered of an object that is about to be captured in a version which no list has shown."""
    return Listed(UNKNOWN, _keys(stream, obj))


def interval_of(stream: type[BaseStripeObject], settings: Settings) -> timedelta:
    """How often the stream's lists are read again."""
    return settings.snapshot_interval if stream.PARENT is None else settings.child_snapshot_interval


def is_due(
    stream: type[BaseStripeObject], account_id: str | None, window: Window, settings: Settings
) -> bool:
    """Whether the stream's lists of an account are to be read again in `window`. Accounts are spread over the
    interval."""
    if not stream.SNAPSHOTS:
        return False
    seconds = int(interval_of(stream, settings).total_seconds())
    second = key_of(account_id or "") % seconds
    return (window.start - second) // seconds != (window.end - second) // seconds


def _keys(stream: type[BaseStripeObject], obj: Json) -> Json:
    """What a tombstone of the object needs."""
    if not stream.SHOWS_DELETIONS:
        return NO_KEYS
    names = {"id", "object", stream.PARENT_FIELD, *(key.removeprefix("/") for key in stream.KEY)}
    return {name: obj[name] for name in sorted(names - {"account_id"}) if name in obj}


async def _pages(source: Source, window: Window) -> AsyncIterator[AsyncIterator[Json]]:
    """The objects of all variants of the stream's list that were created in `window`, page by page."""
    for suffix, variant in source.stream.VARIANTS.items():
        params = list({**variant, **source.stream.SNAPSHOT_OF}.items())
        listing = Listing(source, window, params, source.stream.EMBEDDINGS.get(suffix))
        async for page in listing.pages():
            yield listing.objects(page, in_window_only=True)


async def _still_there(source: Source, missing: Mapping[str, Json]) -> set[str]:
    """The objects that are missing in a list though Stripe still has them, or refuses or fails to say. What
    can only be listed is taken to be gone."""
    there, about = set[str](), {"account": source.account_id}
    message = "what a list lacks cannot be read, and is taken to be there"
    for subject, named in _by_subject(source.stream, missing).items():
        # One that Stripe refuses or fails to show hides no other deletion.
        shown = {*named}
        try:
            with refusals_noticed(source, message, about):
                shown = await _shown(source, subject, named)
        except Exception as error:
            if not is_passing(error):
                raise
            # The next reading of the list asks again. Where others are answered, they are not held up.
            if not await source.postpones(str(subject), error):
                return {*missing}
        there |= shown
    return there


def _by_subject(
    stream: type[BaseStripeObject], missing: Mapping[str, Json]
) -> Mapping[Subject, dict[str, Json]]:
    """The missing objects by what Stripe is to be asked for: the object itself, or its parent. What can only
    be listed is left out."""
    by_subject = defaultdict[Subject, dict[str, Json]](dict)
    for name, keys in missing.items():
        if stream.PARENT is None and stream.object_path(keys):
            by_subject[Subject(Kind.OBJECT, keys["id"])][name] = keys
        elif stream.PARENT is not None and stream.PARENT_FIELD in keys:
            by_subject[Subject(Kind.PARENT, str(keys[stream.PARENT_FIELD]))][name] = keys
    return by_subject


async def _shown(source: Source, subject: Subject, named: Mapping[str, Json]) -> set[str]:
    """Those of the `named` objects, which are the subject itself or its children, that Stripe shows."""
    if subject.kind is Kind.PARENT:
        return {name async for name in _listed_under(source, subject.id)} & named.keys()
    return {name for name, keys in named.items() if await retrieve(source, keys, ())}


async def _listed_under(source: Source, parent_id: str) -> AsyncIterator[str]:
    """The identities of a parent's children; none where the parent is gone."""
    window = Window(0, FOREVER)
    for children in await open_child_lists(source, {"id": parent_id}, window, (), shown=False) or ():
        async for child in read_children(source, children, window):
            yield source.stream.identity(child)


def _digest(obj: Json) -> bytes:
    body = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=DIGEST_SIZE).digest()
