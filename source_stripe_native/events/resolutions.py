"""Resolutions: from a change to the documents that it stands for.

An event's object is the document where the events of its second agree, in the pinned API version, and where
nothing is missing in it. Otherwise the object is read again, since a document has one shape and one last
state: through its list where many are as young (listed_rereads.py), or by its id. Rereads of one window run
side by side, as many as `Settings.rereads_at_once`; documents keep the order of the changes.

Rule: a reread that Stripe refuses for good does not end a capture. The event's own object is then the
document. An object that Stripe no longer has is a deletion. One that Stripe fails to show is postponed.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import unquote

from source_stripe_native.errors import StripeError
from source_stripe_native.events.changes import Change, newest_changes, removed
from source_stripe_native.events.feed import WindowEvents
from source_stripe_native.events.listed_rereads import ListedRereads
from source_stripe_native.events.subjects import Kind, Subject
from source_stripe_native.flow.waits import all_done
from source_stripe_native.state.windows import FOREVER, Window, floor
from source_stripe_native.streams.row import Document
from source_stripe_native.stripe import children
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import (
    get_path,
    is_whole,
    lacks_fields,
    retrieve,
    stamp,
    to_document,
    to_tombstone,
)
from source_stripe_native.stripe.expansions import parent_params
from source_stripe_native.stripe.listings import (
    embedded_objects,
    expand_params,
    expanded_container,
    shown_now,
)
from source_stripe_native.stripe.pages import Page, Source, checked, notice, read_pages, refusals_noticed

_ALL_TIME: Final = Window(0, FOREVER)
READY_FACTOR: Final = 20
"""How many times more documents may wait for their turn than rereads run at once."""

Item = TypeVar("Item")
Documents = AsyncGenerator[Document, None]
Resolved = tuple[Document, Documents | None] | None
"""The first document of a change and the rest; None where there is none."""


async def read_changes(source: Source, events: WindowEvents, not_before: int = 0) -> Documents:
    """The documents of the stream that `events` report: of each changed object its newest version, deleted
    objects with `_meta.op` "d", and the children of each changed parent. A backfill has seen what happened
    before `not_before` (Unix seconds): an object whose last change lies before it is left out."""
    if source.stream.IS_EVENT:
        async for is_new, event in events.newest_first((), source.count):
            if is_new:
                yield await to_document(source, event, "c")
        return
    async for document in _documents(source, _resolutions(source, events, not_before)):
        yield document


async def read_again(source: Source, subjects: Iterable[Subject]) -> Documents:
    """The documents of what these subjects stand for now. What Stripe no longer has or shows is left out."""

    async def resolutions() -> AsyncIterator[Awaitable[Resolved]]:
        for subject in subjects:
            yield _started(_resolved(source, Change(subject, is_related=True), ListedRereads(source, ())))

    async for document in _documents(source, resolutions()):
        yield document


async def _documents(source: Source, items: AsyncIterator[Resolved | Awaitable[Resolved]]) -> Documents:
    async with aclosing(in_order(items, source.settings.rereads_at_once)) as resolutions:
        async for resolved in resolutions:
            if resolved is not None:
                first, rest = resolved
                yield first
                if rest is not None:
                    async for document in rest:
                        yield document


async def in_order(items: AsyncIterator[Item | Awaitable[Item]], at_once: int) -> AsyncGenerator[Item, None]:
    """The results of `items` in their order, of which `at_once` are awaited side by side. The first failure
    in their order ends the others before it is raised; so does closing the generator."""
    waiting: deque[Item | asyncio.Future[Item]] = deque()
    running = 0
    try:
        async for item in items:
            if isinstance(item, Awaitable):
                waiting.append(asyncio.ensure_future(item))
                running += 1
            elif waiting:
                waiting.append(item)
            else:
                yield item
            while running >= at_once or len(waiting) >= READY_FACTOR * at_once:
                first = waiting.popleft()
                running -= isinstance(first, asyncio.Future)
                yield await first if isinstance(first, asyncio.Future) else first
        while waiting:
            first = waiting.popleft()
            yield await first if isinstance(first, asyncio.Future) else first
    finally:
        left = [item for item in waiting if isinstance(item, asyncio.Future)]
        for task in left:
            task.cancel()
        await all_done(left)


async def _resolutions(
    source: Source, events: WindowEvents, not_before: int
) -> AsyncIterator[Resolved | Awaitable[Resolved]]:
    """For each change its document, or what has to be awaited for its documents."""
    async for batch in newest_changes(source, events, not_before):
        objects = [change for change in batch if change.subject.kind is Kind.OBJECT]
        rereads = [change for change in objects if not _is_final(source, change)]
        listed = ListedRereads(source, [c.events[0]["data"]["object"] for c in rereads if c.events])
        final = {change.subject for change in objects} - {change.subject for change in rereads}
        for change in batch:
            document = _of_event(source, change.events[0]) if change.subject in final else None
            yield (document, None) if document else _started(_resolved(source, change, listed))


async def _started(documents: Documents) -> Resolved:
    """Reads the first document, so that the requests for several changes run side by side."""
    first = await anext(documents, None)
    return None if first is None else (first, documents)


async def _resolved(source: Source, change: Change, listed: ListedRereads) -> Documents:
    """The documents of a change of which something has to be read. What cannot be read is postponed, as far
    as it can be read later by the subject's id alone."""
    if why := _why_reread(source, change):
        source.workload.rereads[why] += 1
    match change.subject.kind:
        case Kind.OBJECT:
            documents = _one(_reread(source, change, listed, is_current=not why))
        case Kind.PARENT:
            documents = _children_of(source, change, is_current=not why)
        case Kind.CONTAINER:
            documents = _embedded(source, change, is_current=not why)
        case Kind.REMOVAL:
            documents = _one(_removed(source, change))
        case Kind.LIST:
            documents = _listed(source, change)
        case Kind.ADDRESS:
            documents = _one(_at_address(source, change.subject))
    try:
        async for document in documents:
            yield document
    except Exception as error:
        is_left = change.subject.kind not in (Kind.OBJECT, Kind.PARENT)
        if is_left and isinstance(error, StripeError) and source.is_refused(error):
            about = {"subject": str(change.subject), "error": error.answer}
            notice(source, "Stripe refuses to show a changed object: what it shows is left as it is", about)
        elif not _can_wait(source, change) or not await source.postpones(str(change.subject), error):
            raise


async def _one(reading: Awaitable[Document | None]) -> Documents:
    if (document := await reading) is not None:
        yield document


def _can_wait(source: Source, change: Change) -> bool:
    """Whether a subject can be read later by its id alone: no event of the change is needed for it."""
    kind, types = change.subject.kind, source.stream.EVENT_TYPES
    is_deletion = change.deletion is not None or any(types.get(e["type"]) == "d" for e in change.events)
    has_path = kind is not Kind.OBJECT or source.stream.object_path({"id": change.subject.id}) is not None
    return has_path and kind is not Kind.REMOVAL and not is_deletion


def _of_event(source: Source, event: Json) -> Document | None:
    """The document of an event's object, which is as it is now; a tombstone where it was deleted. None where
    a part of it has to be read."""
    obj, op = event["data"]["object"], source.stream.EVENT_TYPES[event["type"]]
    if op == "d":
        return to_tombstone(source, obj, op, event["created"])
    checked(source, "an event", [obj])
    return stamp(source, obj, op) if is_whole(source, obj) else None


def _is_final(source: Source, change: Change) -> bool:
    """Whether an object's own events suffice: it is as they carry it, or they agree that it was deleted."""
    types = source.stream.EVENT_TYPES
    is_deletion = not change.is_related and all(types[event["type"]] == "d" for event in change.events)
    return is_deletion or not _why_reread(source, change)


def _why_reread(source: Source, change: Change) -> str:
    """Why what the events of one second carry may not be the last state, or not all of it, so that something
    is read again; empty where it is."""
    if change.is_related:
        return "objects of which other objects' events told"
    newest, *others = change.events
    finds_silent_changes = source.stream.SNAPSHOTS or source.stream.RELIST or source.stream.CHANGES_AT
    if finds_silent_changes and change.subject.kind is Kind.OBJECT:
        # What a whole list showed may be newer than the event.
        return "objects that change without events too"
    if newest.get("api_version") != source.http.version:
        return "objects whose events are in another API version"
    types = source.stream.EVENT_TYPES
    if any(event["data"]["object"] != newest["data"]["object"] for event in others) or any(
        types.get(event["type"]) == "d" for event in change.events
    ):
        return "objects whose events of one second disagree"
    if change.subject.kind is Kind.OBJECT and lacks_fields(source, newest["data"]["object"]):
        return "objects whose events lack fields"
    return ""


async def _reread(
    source: Source, change: Change, listed: ListedRereads, *, is_current: bool
) -> Document | None:
    """The object as it is now; a tombstone where Stripe no longer has it; the event's own object where Stripe
    refuses to show it for good, or where it `is_current` but for what is cut in it."""
    types = source.stream.EVENT_TYPES
    newest = next(iter(change.events), None)
    last = change.deletion or newest
    known: Json = newest["data"]["object"] if newest else {"id": change.subject.id}
    op = types[newest["type"]] if newest else "u"
    if is_current:
        return await to_document(source, known, op)
    current: Json | None = None
    with refusals_noticed(
        source,
        "Stripe refuses to show a changed object: its event's object is captured, if there is one",
        {"id": change.subject.id},
    ) as asked:
        if source.stream.EMBEDDINGS and last is not None:
            current = await shown_now(source, last["data"]["object"])
        else:
            current = await listed.get(change.subject.id) or await retrieve(source, known)
    if current is not None:
        is_selected = source.selection.has(current)
        return await to_document(source, current, "u" if op == "d" else op) if is_selected else None
    if asked.is_refused and newest:
        # As it is: the rest of a list inside it would be refused too.
        return to_tombstone(source, known, op, newest["created"])
    if last is None:
        # The object's own deletion event carries what a tombstone needs.
        source.log.debug("a changed object is gone", {"stream": source.stream.NAME, "id": change.subject.id})
        return None
    # If its deletion is not in this window it is in a later one, and this tombstone only early; unless its
    # deletion counts as an update, which then is the last word.
    kept = last["type"].endswith(".deleted") and types[last["type"]]
    return to_tombstone(source, last["data"]["object"], kept or "d", last["created"])


async def _retrieve_parent(source: Source, parent: Json) -> Json | None:
    """The parent as it is now, with what its children are found by. None where Stripe no longer has it."""
    stream = source.stream
    assert stream.PARENT is not None
    return await retrieve(replace(source, stream=stream.PARENT), parent, parent_params(stream))


async def _children_of(source: Source, change: Change, *, is_current: bool) -> Documents:
    """The children of the parent that the change's events carry, or that is read by its id where there are
    none; tombstones for those that the parent showed where Stripe no longer has it."""
    stream, deletion, parent_id = source.stream, change.deletion, change.subject.id
    parent: Json | None = None
    if not change.events:
        about = "Stripe refuses to show a parent: its children are left as they are"
        with refusals_noticed(source, about, {"parent": parent_id}):
            parent = await _retrieve_parent(source, {"id": parent_id})
        if parent is None:
            return
        change.events.append({"type": "", "created": 0, "data": {"object": parent}})
    # Of the versions of one second any may be the last.
    may_have = (e for e in change.events if children.may_have_children(source, e["data"]["object"]))
    event = deletion or next(may_have, change.events[0])
    parent = event["data"]["object"]
    # Where children have events of their own, one may be newer than what the parent's event shows.
    shown = is_current and deletion is None and not stream.EVENT_TYPES
    shown_now = (children.shown_children(source, parent) or {"data": []})["data"]
    if stream.OLDER_ID and (event.get("api_version") or "") < stream.SINCE_VERSION:
        # By the ids that they have today.
        shown_now = [{**obj, "id": obj[stream.OLDER_ID]} for obj in shown_now if stream.OLDER_ID in obj]
    lists: list[children.ChildList] | None
    lists = [children.ChildList(parent_id, "", (), Page(shown_now, None))]
    with refusals_noticed(
        source,
        "Stripe refuses to list the children of a changed object: those of its event are captured",
        {"parent": parent_id},
    ):
        if deletion is None and children.lacks_fields(stream, parent):
            parent = await _retrieve_parent(source, parent) or parent
        lists = await children.open_child_lists(source, parent, _ALL_TIME, stream.list_params(), shown=shown)
    if lists is None:
        for obj in shown_now:
            if stream.PARENT_FIELD:
                obj.setdefault(stream.PARENT_FIELD, parent_id)
            yield to_tombstone(source, obj, "d", event["created"])
    for child_list in lists or ():
        async for child in children.read_children(source, child_list, _ALL_TIME):
            yield await to_document(source, child, "u")


async def _removed(source: Source, change: Change) -> Document:
    """The object that another one no longer shows: a tombstone where Stripe no longer has it. A list that is
    cut shows ten, and the object may have moved on."""
    event = change.events[0]
    obj = removed(event, change.subject.selected_by)[change.subject.id]
    parent_field = source.stream.PARENT_FIELD
    owner = get_path(event, "data.object")
    if parent_field and parent_field not in obj:
        obj = {**obj, parent_field: owner.get(parent_field) or owner.get("id")}
    current = await retrieve(source, obj)
    if current is None:
        return to_tombstone(source, obj, "d", event["created"])
    if parent_field:
        current.setdefault(parent_field, obj[parent_field])
    return await to_document(source, current, "u")


async def _at_address(source: Source, subject: Subject) -> Document | None:
    """The object as it is now, a tombstone where Stripe no longer has it."""
    obj = {"id": unquote(subject.id.rpartition("/")[2]), "object": subject.selected_by}
    if (current := await retrieve(source, obj, path=subject.id)) is not None:
        return await to_document(source, current, "u")
    return to_tombstone(source, obj, "d", floor(source.http.now()))


async def _embedded(source: Source, change: Change, *, is_current: bool) -> Documents:
    """The objects that the container shows which the change's events carry. Of those that events of their own
    reported, what the container shows may be older."""
    embedding, deletion = source.stream.EMBEDDINGS[change.subject.selected_by], change.deletion
    newest = deletion or next(iter(change.events), None)
    known: Json = newest["data"]["object"] if newest else {"id": change.subject.id}
    if is_current:
        container = await expanded_container(source, embedding, known)
    else:
        containers = replace(source, stream=embedding.stream)
        container = await retrieve(containers, known, expand_params(embedding))
        if container is None and deletion is not None:
            # Gone, unlike a subscription that was canceled: its deletion showed it last.
            container = known
    if container is None:
        return
    # A deletion is the last of its second, and what was read again is newer than any event.
    before = newest["created"] + (deletion is not None) if newest and container is known else math.inf
    async for obj in embedded_objects(source, embedding, container):
        if change.reported.get(obj["id"], -1) < before:
            yield await to_document(source, obj, "u")


async def _listed(source: Source, change: Change) -> Documents:
    """The objects of the stream's list that belong to the changed object."""
    stream, subject = source.stream, change.subject
    names_parent = bool(stream.PARENT_FIELD) and subject.selected_by == stream.PARENT_PARAM
    params = [*stream.list_params(), (subject.selected_by, subject.id)]
    async for page in read_pages(source, stream.list_path(), params):
        for obj in page.objects:
            if names_parent:
                obj.setdefault(stream.PARENT_FIELD, subject.id)
            yield await to_document(source, obj, "u")
