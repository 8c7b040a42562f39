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

from source_stripe_native.events.changes import Change, Kind, Subject, newest_changes, removed
from source_stripe_native.events.feed import WindowEvents
from source_stripe_native.events.listed_rereads import ListedRereads
from source_stripe_native.state.shards import ALL_ACCOUNTS
from source_stripe_native.state.windows import FOREVER, Window, floor
from source_stripe_native.streams.row import Document, Embedding
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
from source_stripe_native.stripe.pages import Page, Source, checked, read_pages, refusals_noticed

_ALL_TIME: Final = Window(0, FOREVER)
READY_FACTOR: Final = 20
"""How many times more documents may wait for their turn than rereads run at once."""

Item = TypeVar("Item")
Documents = AsyncIterator[Document]
Resolved = Document | Documents | None


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
            change = Change(subject, is_related=True)
            if subject.kind in (Kind.PARENT, Kind.CONTAINER):
                change.events.append({"type": "", "created": 0, "data": {"object": {"id": subject.id}}})
            yield _resolved(source, change, ListedRereads(source, ()))

    async for document in _documents(source, resolutions()):
        yield document


async def _documents(source: Source, items: AsyncIterator[Resolved | Awaitable[Resolved]]) -> Documents:
    async with aclosing(in_order(items, source.settings.rereads_at_once)) as resolutions:
        async for resolved in resolutions:
            if isinstance(resolved, dict):
                yield resolved
            elif resolved is not None:
                async for document in resolved:
                    yield document


async def _resolved(source: Source, change: Change, listed: ListedRereads) -> Resolved:
    """The documents of a change of which something has to be read; none where that is postponed."""
    documents: Documents | None
    try:
        match change.subject.kind:
            case Kind.OBJECT:
                return await _reread(source, change, listed)
            case Kind.PARENT:
                if not change.events[0]["type"] and not await _read_parent(source, change):
                    return None
                documents = await _children_of(source, change)
            case Kind.CONTAINER:
                documents = await _embedded(source, change)
            case Kind.REMOVAL:
                return await _removed(source, change)
            case Kind.LIST:
                documents = await _listed(source, change)
            case Kind.ADDRESS:
                return await _at_address(source, change.subject)
    except Exception as error:
        if not _can_wait(source, change) or not await source.postpones(str(change.subject), error):
            raise
        return None
    return _to_their_end(source, change.subject, documents) if documents is not None else None


async def _read_parent(source: Source, change: Change) -> bool:
    """Reads the parent of a change that has nothing but its id. Returns False where it cannot be had."""
    about = {"parent": change.subject.id}
    with refusals_noticed(
        source, "Stripe refuses to show a parent: its children are left as they are", about
    ):
        if (parent := await _retrieve_parent(source, {"id": change.subject.id})) is not None:
            change.events[0]["data"]["object"] = parent
            return True
    return False


def _can_wait(source: Source, change: Change) -> bool:
    """Whether a subject can be read later by its id alone: no event of the change is needed for it."""
    types = source.stream.EVENT_TYPES
    if change.subject.kind is Kind.OBJECT and source.stream.object_path({"id": change.subject.id}) is None:
        return False
    is_deletion = change.deletion is not None or any(types.get(e["type"]) == "d" for e in change.events)
    return change.subject.kind is not Kind.REMOVAL and not is_deletion


async def _to_their_end(source: Source, subject: Subject, documents: Documents) -> Documents:
    """`documents`, of which the rest is postponed where it cannot be read."""
    try:
        async for document in documents:
            yield document
    except Exception as error:
        if not await source.postpones(str(subject), error):
            raise


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
        if left:
            await asyncio.wait(left)


async def _resolutions(
    source: Source, events: WindowEvents, not_before: int
) -> AsyncIterator[Resolved | Awaitable[Resolved]]:
    """For each change its document, or what has to be awaited for its documents."""
    changes = newest_changes(source, events, not_before)
    async for batch in _batches(changes, source.settings.changes_at_once):
        objects = [change for change in batch if change.subject.kind is Kind.OBJECT]
        rereads = [change for change in objects if not _is_final(source, change)]
        listed = ListedRereads(source, [c.events[0]["data"]["object"] for c in rereads if c.events])
        final = {change.subject for change in objects} - {change.subject for change in rereads}
        for change in batch:
            document = _of_event(source, change.events[0]) if change.subject in final else None
            yield document or _resolved(source, change, listed)


async def _batches(items: AsyncIterator[Item], size: int) -> AsyncIterator[list[Item]]:
    batch: list[Item] = []
    async for item in items:
        batch.append(item)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


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
    """Why what the events of one second carry may not be the last state, or not all of it; empty where it
    is."""
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


def _is_current(source: Source, change: Change) -> bool:
    """Whether what the events carry can be taken as it is. If not, something is to be read again."""
    if reason := _why_reread(source, change):
        source.workload.rereads[reason] += 1
    return not reason


async def _reread(source: Source, change: Change, listed: ListedRereads) -> Document | None:
    """The object as it is now; a tombstone where Stripe no longer has it; the event's own object where Stripe
    refuses to show it for good."""
    types = source.stream.EVENT_TYPES
    newest = change.events[0] if change.events else None
    last = change.deletion or newest
    known: Json = newest["data"]["object"] if newest else {"id": change.subject.id}
    op = types[newest["type"]] if newest else "u"
    if _is_current(source, change) and newest:  # by now, as Stripe refuses what was to be asked for
        return _of_event(source, newest) or await to_document(source, known, op)
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
        if source.selection is not ALL_ACCOUNTS and not source.selection.has(current):
            return None
        return await to_document(source, current, "u" if op == "d" else op)
    if asked.is_refused and newest and op != "d":
        # As it is: the rest of a list inside it would be refused too.
        return stamp(source, known, op)
    if asked.is_refused and newest:
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


async def _children_of(source: Source, change: Change) -> Documents:
    """The children of the parent that the change's events carry; tombstones for those that the parent showed
    where Stripe no longer has it. The first requests are sent before this returns."""
    stream, deletion = source.stream, change.deletion
    # Of the versions of one second any may be the last.
    may_have = (e for e in change.events if children.may_have_children(source, e["data"]["object"]))
    event = deletion or next(may_have, change.events[0])
    parent = event["data"]["object"]
    # Where children have events of their own, one may be newer than what the parent's event shows.
    shown = _is_current(source, change) and deletion is None and not stream.EVENT_TYPES
    shown_now = (children.shown_children(source, parent) or {"data": []})["data"]
    if stream.OLDER_ID and (event.get("api_version") or "") < stream.SINCE_VERSION:
        # By the ids that they have today.
        shown_now = [{**obj, "id": obj[stream.OLDER_ID]} for obj in shown_now if stream.OLDER_ID in obj]
    lists: list[children.ChildList] | None
    lists = [children.ChildList(change.subject.id, "", (), Page(shown_now, None))]
    with refusals_noticed(
        source,
        "Stripe refuses to list the children of a changed object: those of its event are captured",
        {"parent": change.subject.id},
    ):
        if deletion is None and children.lacks_fields(stream, parent):
            parent = await _retrieve_parent(source, parent) or parent
        lists = await children.open_child_lists(source, parent, _ALL_TIME, stream.list_params(), shown=shown)
    if lists is None:
        return _as_tombstones(source, change.subject.id, shown_now, event["created"])
    return _read_lists(source, lists)


async def _read_lists(source: Source, lists: list[children.ChildList]) -> Documents:
    for child_list in lists:
        async for child in children.read_children(source, child_list, _ALL_TIME):
            yield await to_document(source, child, "u")


async def _as_tombstones(source: Source, parent_id: str, objects: list[Json], created: int) -> Documents:
    for obj in objects:
        if source.stream.PARENT_FIELD:
            obj.setdefault(source.stream.PARENT_FIELD, parent_id)
        yield to_tombstone(source, obj, "d", created)


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
    """The object as it is now, a tombstone where Stripe no longer has it, none where Stripe refuses to show
    it for good."""
    obj = {"id": unquote(subject.id.rpartition("/")[2]), "object": subject.selected_by}
    with refusals_noticed(source, "Stripe refuses to show a changed object", {"path": subject.id}) as asked:
        if (current := await retrieve(source, obj, path=subject.id)) is not None:
            return await to_document(source, current, "u")
    return None if asked.is_refused else to_tombstone(source, obj, "d", floor(source.http.now()))


async def _embedded(source: Source, change: Change) -> Documents | None:
    """The objects that the container shows which the change's events carry."""
    embedding = source.stream.EMBEDDINGS[change.subject.selected_by]
    deletion = change.deletion
    newest = deletion or next(iter(change.events), None)
    known: Json = newest["data"]["object"] if newest else {"id": change.subject.id}
    container: Json | None = None
    with refusals_noticed(
        source,
        "Stripe refuses to show a changed object: the objects that it shows are left as they are",
        {"container": change.subject.id},
    ):
        if _is_current(source, change):
            container = await expanded_container(source, embedding, known)
        else:
            containers = replace(source, stream=embedding.stream)
            container = await retrieve(containers, known, expand_params(embedding))
            if container is None and deletion is not None:
                # Gone, unlike a subscription that was canceled: its deletion showed it last.
                container = known
    if container is None:
        return None
    # A deletion is the last of its second, and what was read again is newer than any event.
    before = newest["created"] + (deletion is not None) if newest and container is known else math.inf
    return _embedded_objects(source, embedding, container, before, change)


async def _embedded_objects(
    source: Source, embedding: Embedding, container: Json, before: float, change: Change
) -> Documents:
    """The objects that the container shows, where events of their own reported them in a second `before` or
    not at all."""
    async for obj in embedded_objects(source, embedding, container):
        if change.reported.get(obj["id"], -1) < before:
            yield await to_document(source, obj, "u")


async def _listed(source: Source, change: Change) -> Documents | None:
    """The objects of the stream's list that belong to the changed object. The first page is read before this
    returns."""
    documents = _of_list(source, change)
    first = await anext(documents, None)
    return None if first is None else _with_first(first, documents)


async def _with_first(first: Document, others: Documents) -> Documents:
    yield first
    async for document in others:
        yield document


async def _of_list(source: Source, change: Change) -> Documents:
    stream = source.stream
    names_parent = bool(stream.PARENT_FIELD) and change.subject.selected_by == stream.PARENT_PARAM
    async for page in _pages_of(source, change):
        for obj in page.objects:
            if names_parent:
                obj.setdefault(stream.PARENT_FIELD, change.subject.id)
            yield await to_document(source, obj, "u")


async def _pages_of(source: Source, change: Change) -> AsyncIterator[Page]:
    selection = change.subject.selected_by, change.subject.id
    params = [*source.stream.list_params(), selection]
    with refusals_noticed(
        source,
        "Stripe refuses to list the objects that belong to a changed object: they are left as they are",
        dict([selection]),
    ):
        async for page in read_pages(source, source.stream.list_path(), params):
            yield page
