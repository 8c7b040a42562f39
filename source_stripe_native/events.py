"""What has changed: one account's /v1/events over one window, as the newest version of each object.

Events are read newest first, so the first version seen of an object is its newest and the older ones are
skipped. Within one second Stripe gives events no order: where the versions of that second differ, or one of
them is a deletion among others, the object itself is asked for. The same where an event was rendered in
another API version than the pinned one, since a document has one shape.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from source_stripe_native.http import Json, Params
from source_stripe_native.listing import Source, created_params, read_pages
from source_stripe_native.models import EVENTS_PATH, Document
from source_stripe_native.window import Window

MAX_TYPES: Final = 20
"""The most types that one request may name; a stream with more reads all events and picks its own."""


def type_params(types: Sequence[str]) -> Params:
    return [("types[]", each) for each in types] if len(types) <= MAX_TYPES else []


async def read_changes(source: Source, window: Window) -> AsyncIterator[Document]:
    """A document for every object of the stream that changed in `window`, each once and in its newest
    version, deleted ones with `_meta.op` "d"."""
    async for versions in newest_versions(source, window):
        if document := await _resolve(source, versions):
            yield document


async def newest_versions(source: Source, window: Window) -> AsyncIterator[list[Json]]:
    """For each object that changed in `window`, newest change first, its events of the last second in which
    it did."""
    types = source.stream.EVENT_TYPES
    params = [*created_params(window.start, before=window.end), *type_params(list(types))]
    done: set[str] = set()
    second: dict[str, list[Json]] = {}
    second_at: int | None = None
    async for page in read_pages(source, EVENTS_PATH, params):
        for event in page:
            if event["type"] not in types:
                continue
            if event["created"] != second_at:
                for versions in second.values():
                    yield versions
                done.update(second)
                second, second_at = {}, event["created"]
            object_id = event["data"]["object"]["id"]
            if object_id not in done:
                second.setdefault(object_id, []).append(event)
    for versions in second.values():
        yield versions


async def _resolve(source: Source, versions: list[Json]) -> Document | None:
    """The document that `versions`, the events of one object in one second, stand for."""
    newest = versions[0]
    op, found = source.stream.EVENT_TYPES[newest["type"]], newest["data"]["object"]
    deletions = [each for each in versions if source.stream.EVENT_TYPES[each["type"]] == "d"]
    if len(deletions) == len(versions):
        return source.document(found, "d")
    if not deletions and _agree(versions) and newest.get("api_version") == source.http.version:
        return source.document(found, op)
    current = await source.retrieve(found["id"])
    if current is not None:
        return source.document(current, "u" if op == "d" else op)
    # Gone by now. If its deletion is not in this window, it is in a later one: this tombstone is only early.
    return source.document((deletions or versions)[0]["data"]["object"], "d")


def _agree(versions: list[Json]) -> bool:
    return all(each["data"]["object"] == versions[0]["data"]["object"] for each in versions[1:])
