"""What has changed: one account's /v1/events over one window, as the newest version of each object.

Events are read newest first, so the first version seen of an object is its newest and the older ones are
skipped. Within one second Stripe gives events no order: where the versions of that second differ, or one of
them is a deletion among others, the object itself is asked for. The same where an event was rendered in
another API version than the pinned one, since a document has one shape.

An event that carries a parent tells only that its children may have changed. They are listed again, each as
an update: what happened to the parent says nothing of them.
"""

from collections.abc import AsyncIterator, Collection
from typing import Final

from source_stripe_native import children
from source_stripe_native.documents import make, retrieve
from source_stripe_native.http import Json, Params
from source_stripe_native.listing import Source, range_params, read_pages
from source_stripe_native.models import EVENTS_PATH, Document
from source_stripe_native.window import Window

MAX_TYPES: Final = 20
"""The most types that one request may name; a stream with more reads all events and picks its own."""

_ALL_TIME: Final = Window(0, 2**40)


def type_params(types: Collection[str]) -> Params:
    return [("types[]", each) for each in types] if len(types) <= MAX_TYPES else []


async def read_changes(source: Source, window: Window) -> AsyncIterator[Document]:
    """The documents of the stream that events of `window` tell of: of each changed object its newest version,
    deleted ones with `_meta.op` "d", and the children of each changed parent."""
    stream = source.stream
    async for versions in newest_versions(source, window):
        if versions[0]["type"] in stream.EVENT_TYPES:
            yield await _resolve(source, versions)
        else:
            async for document in _children_of(source, versions):
                yield document


async def newest_versions(source: Source, window: Window) -> AsyncIterator[list[Json]]:
    """For each object that changed in `window`, newest change first, its events of the last second in which
    it did."""
    stream = source.stream
    types = [*stream.EVENT_TYPES, *stream.PARENT_EVENT_TYPES]
    done: set[str] = set()
    second: dict[str, list[Json]] = {}
    second_at: int | None = None
    async for page in read_pages(source, EVENTS_PATH, [*range_params(window), *type_params(types)]):
        for event in page:
            found = event["data"]["object"]
            if event["type"] not in types or (
                stream.EVENT_OBJECT
                and event["type"] in stream.EVENT_TYPES
                and found.get("object") != stream.EVENT_OBJECT
            ):
                continue
            if event["created"] != second_at:
                for versions in second.values():
                    yield versions
                done.update(second)
                second, second_at = {}, event["created"]
            if found["id"] not in done:
                second.setdefault(found["id"], []).append(event)
    for versions in second.values():
        yield versions


async def _resolve(source: Source, versions: list[Json]) -> Document:
    """The document that `versions`, the events of one object in one second, stand for."""
    types = source.stream.EVENT_TYPES
    newest = versions[0]
    deletions = [each for each in versions if types[each["type"]] == "d"]
    if len(deletions) == len(versions):
        return await make(source, newest["data"]["object"], "d")
    if not deletions and _is_current(source, versions):
        return await make(source, newest["data"]["object"], types[newest["type"]])
    current = await retrieve(source, newest["data"]["object"])
    if current is not None:
        op = types[newest["type"]]
        return await make(source, current, "u" if op == "d" else op)
    # Gone by now. If its deletion is not in this window it is in a later one, and this tombstone only early;
    # unless its deletion counts as an update, which then is the last word.
    last = next((each for each in versions if each["type"].endswith(".deleted")), newest)
    kept = last["type"].endswith(".deleted") and types[last["type"]]
    return await make(source, last["data"]["object"], kept or "d")


def _is_current(source: Source, versions: list[Json]) -> bool:
    """Whether the events of one second agree on the object, in the pinned API version."""
    newest = versions[0]
    return newest.get("api_version") == source.http.version and all(
        each["data"]["object"] == newest["data"]["object"] for each in versions[1:]
    )


async def _children_of(source: Source, versions: list[Json]) -> AsyncIterator[Document]:
    """The children of the parent that `versions`, its events of one second, carry; tombstones for those it
    showed where Stripe no longer has it."""
    newest, parent = versions[0], versions[0]["data"]["object"]
    params = list(source.stream.VARIANTS.get("", {}).items())
    shown = _is_current(source, versions) and not newest["type"].endswith(".deleted")
    lists = await children.begin(source, parent, _ALL_TIME, params, shown=shown)
    if lists is None:
        embedded = children.shown_children(source, parent) or {"data": []}
        for each in embedded["data"]:
            yield await make(source, each, "d")
        return
    for child_list in lists:
        async for child in children.read(source, child_list, _ALL_TIME):
            yield await make(source, child, "u")
