"""Changes: from one account's events of one window to documents, the newest version of each object.

Events are read newest first: the first version seen of an object is its newest, and the older ones are
skipped. Within one second Stripe gives events no order. Where the versions of that second differ, or where
one of them is a deletion among others, the object itself is read again. The same holds where an event was
rendered in another API version than the pinned one, since a document has one shape.

An event that carries a parent says only that the children may have changed. They are listed again, each as an
update: what happened to the parent says nothing about a child.
"""

from collections.abc import AsyncIterator
from typing import Final

from source_stripe_native.events.feed import WindowEvents
from source_stripe_native.streams.row import Document
from source_stripe_native.stripe import children
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import retrieve, to_document
from source_stripe_native.stripe.pages import Source
from source_stripe_native.window import Window

_ALL_TIME: Final = Window(0, 2**40)


async def read_changes(source: Source, events: WindowEvents, not_before: int = 0) -> AsyncIterator[Document]:
    """The documents of the stream that `events` tell of: of each changed object its newest version, deleted
    ones with `_meta.op` "d", and the children of each changed parent. A backfill has seen what happened
    before `not_before` (Unix seconds): an object whose last change lies before it is left out."""
    stream = source.stream
    if stream.IS_EVENT:
        async for new, event in events.newest_first(()):
            if new:
                yield await to_document(source, event, "c")
        return
    async for versions in newest_versions(source, events, not_before):
        if versions[0]["type"] in stream.EVENT_TYPES:
            yield await _resolve(source, versions)
        else:
            async for document in _children_of(source, versions):
                yield document


async def newest_versions(
    source: Source, events: WindowEvents, not_before: int = 0
) -> AsyncIterator[list[Json]]:
    """For each object that changed, newest change first: its events of the last second in which it changed.
    Objects whose last change was known before are left out."""
    stream = source.stream
    types = stream.all_event_types()
    done: set[str] = set()
    second: dict[str, list[Json]] = {}
    news: set[str] = set()
    current_second: int | None = None
    async for new, event in events.newest_first(types):
        found = event["data"]["object"]
        if (
            stream.EVENT_OBJECT
            and event["type"] in stream.EVENT_TYPES
            and found.get("object") != stream.EVENT_OBJECT
        ):
            continue
        if event["created"] != current_second:
            for object_id in news:
                yield second[object_id]
            done.update(second)
            second, news, current_second = {}, set(), event["created"]
        if found["id"] not in done:
            second.setdefault(found["id"], []).append(event)
            if new and event["created"] >= not_before:
                news.add(found["id"])
    for object_id in news:
        yield second[object_id]


async def _resolve(source: Source, versions: list[Json]) -> Document:
    """The document that `versions`, the events of one object in one second, stand for."""
    types = source.stream.EVENT_TYPES
    newest = versions[0]
    deletions = [each for each in versions if types[each["type"]] == "d"]
    if len(deletions) == len(versions):
        return await to_document(source, newest["data"]["object"], "d")
    if not deletions and _is_current(source, versions):
        return await to_document(source, newest["data"]["object"], types[newest["type"]])
    current = await retrieve(source, newest["data"]["object"])
    if current is not None:
        op = types[newest["type"]]
        return await to_document(source, current, "u" if op == "d" else op)
    # Gone by now. If its deletion is not in this window it is in a later one, and this tombstone only early;
    # unless its deletion counts as an update, which then is the last word.
    last = next((each for each in versions if each["type"].endswith(".deleted")), newest)
    kept = last["type"].endswith(".deleted") and types[last["type"]]
    return await to_document(source, last["data"]["object"], kept or "d")


def _is_current(source: Source, versions: list[Json]) -> bool:
    """Whether the events of one second agree on the object, in the pinned API version."""
    newest = versions[0]
    return newest.get("api_version") == source.http.version and all(
        each["data"]["object"] == newest["data"]["object"] for each in versions[1:]
    )


async def _children_of(source: Source, versions: list[Json]) -> AsyncIterator[Document]:
    """The children of the parent that `versions`, its events of one second, carry; tombstones for those it
    showed where Stripe no longer has it."""
    deletion = next((each for each in versions if each["type"].endswith(".deleted")), None)
    parent = (deletion or versions[0])["data"]["object"]
    # Where children have events of their own, one may be newer than what the parent's event shows.
    shown = _is_current(source, versions) and deletion is None and not source.stream.EVENT_TYPES
    params = source.stream.list_params()
    lists = await children.open_child_lists(source, parent, _ALL_TIME, params, shown=shown)
    if lists is None:
        embedded = children.shown_children(source, parent) or {"data": []}
        for each in embedded["data"]:
            yield await to_document(source, each, "d")
        return
    for child_list in lists:
        async for child in children.read_children(source, child_list, _ALL_TIME):
            yield await to_document(source, child, "u")
