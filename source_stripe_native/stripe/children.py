"""Children: the objects that are listed under a parent, each parent's in a list of its own.

A parent that shows all of its children in its own document costs no request.

Rule: only the first page of a child list may find the parent gone or barred. On a later page the same answer
is an error, since a list that is half read must not look complete; unless the first page, asked for again,
says so too: then the parent was deleted in between. Children that cannot be read yet are left out only where
the event of their completion is certain to come.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from source_stripe_native.errors import PARENT_GONE, StripeError
from source_stripe_native.flow.waits import side_by_side
from source_stripe_native.state.windows import DAY, Window, floor
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.documents import complete_list, get_path, retrieve
from source_stripe_native.stripe.expansions import list_params
from source_stripe_native.stripe.pages import (
    Page,
    Source,
    checked,
    is_in_window,
    range_params,
    read_page,
    read_pages,
)


@dataclass(frozen=True)
class ChildList:
    """A list of children of which the first page is read: the children of the object `parent_id`."""

    parent_id: str
    path: str
    params: Params
    first: Page
    named: Mapping[str, str] = field(default_factory=dict)
    """Further fields that name what the list is of, for documents that lack them."""


async def read_children_of(
    source: Source, parents: Sequence[Json], window: Window, params: Params
) -> AsyncIterator[Json]:
    """The children of each of `parents` that were created in `window`, or have no creation time."""
    at_once = source.settings.concurrent_parents
    for first in range(0, len(parents), at_once):
        some = parents[first : first + at_once]
        opened = await side_by_side(_open_or_postpone(source, parent, window, params) for parent in some)
        for child_list in (child_list for lists in opened for child_list in lists or ()):
            async for child in read_children(source, child_list, window):
                yield child


async def _open_or_postpone(
    source: Source, parent: Json, window: Window, params: Params
) -> list[ChildList] | None:
    """`open_child_lists`; none where those of this parent cannot be read for now."""
    try:
        return await open_child_lists(source, parent, window, params)
    except Exception as error:
        if await source.postpones(f"PARENT::{parent['id']}", error):
            return None
        raise


async def open_child_lists(
    source: Source, parent: Json, window: Window, params: Params, *, shown: bool = True
) -> list[ChildList] | None:
    """The lists of one parent's children, or None where Stripe no longer has the parent. `shown` says that
    the children which the parent shows are as they are now."""
    stream = source.stream
    if not may_have_children(source, parent):
        return []
    embedded = shown_children(source, parent)
    if shown and embedded is not None and embedded.get("has_more") is False:
        return [ChildList(str(parent["id"]), "", (), Page(embedded["data"], None))]
    params = [*params, *list_params(stream)]
    if stream.LISTS_BY_CREATED:
        params += range_params(stream, window)
    if stream.RANGED:
        days = whole_days(window, source.http.now())
        if not days.seconds:
            return []
        params += [("start_time", str(days.start)), ("end_time", str(days.end))]
    values = ((name, parent[place]) for name, place in stream.PARENT_QUERY.items())
    fields = {name: str(value["id"] if isinstance(value, dict) else value) for name, value in values}
    lists, gone = list[ChildList](), False
    for parent_id in await _parent_ids(source, parent):
        path = stream.list_path(parent_id)
        named = [*params, *fields.items()]
        named += [(stream.PARENT_PARAM, parent_id)] if stream.PARENT_PARAM else []
        try:
            first = await _first_page(source, parent, path, named)
            lists.append(ChildList(parent_id, path, named, first, fields))
        except StripeError as error:
            if not any(known.matches(error) for known in stream.TOLERATED):
                raise
            gone = gone or PARENT_GONE.matches(error)
            source.log.debug("no children to read", {"path": path, "error": error.answer})
    return None if gone and not lists else lists


async def _first_page(source: Source, parent: Json, path: str, params: Params) -> Page:
    """The first page of a parent's list; none of it where Stripe cannot show it yet and the parent, read
    after that refusal, agrees. So its completion comes after what has been read of the events."""
    not_yet, parent_row = source.stream.NOT_YET, source.stream.PARENT
    try:
        return await read_page(source, path, params, None)
    except StripeError as error:
        if not_yet is None or not not_yet.error.matches(error):
            raise
        assert parent_row is not None
        current = await retrieve(replace(source, stream=parent_row), parent, ())
        if current is None or get_path(current, not_yet.field) != not_yet.ready:
            source.log.debug("children cannot be read yet", {"path": path, "error": error.answer})
            return Page([], None)
        # The parent says otherwise: it is only a matter of time.
        error.should_retry = True
        raise


def may_have_children(source: Source, parent: Json) -> bool:
    """Whether children of the parent, as it is shown, can be read."""
    stream = source.stream
    is_childless = bool(stream.CHILDLESS) and parent.get(stream.CHILDLESS, parent) is None
    is_childless = is_childless or not all(parent.get(name) for name in stream.PARENT_QUERY.values())
    is_barred = any(get_path(parent, path) == value for path, value in stream.PARENT_BARS.items())
    return not is_childless and not is_barred


def lacks_fields(stream: type[BaseStripeObject], parent: Json) -> bool:
    """Whether a parent, as an older version shows it, has no such field as its children are found by."""
    items = stream.PARENT_ITEMS.partition(".")[0]
    followed = [*stream.PARENT_QUERY.values(), *([items] if items and not stream.EMBEDDED_EXPANDED else [])]
    return any(name not in parent for name in followed)


async def read_children(source: Source, children: ChildList, window: Window) -> AsyncIterator[Json]:
    """The children in a list that were created in `window`, each naming its parent."""
    async for child in _children(source, children):
        if is_in_window(source.stream, child, window):
            if source.stream.PARENT_FIELD:
                child.setdefault(source.stream.PARENT_FIELD, children.parent_id)
            yield {**children.named, **child} if children.named else child


def whole_days(window: Window, now: datetime) -> Window:
    """The days (UTC) of which a part lies in `window`, without a day that has not ended."""
    end = min(-(-window.end // DAY), floor(now) // DAY) * DAY
    return Window(min(window.start // DAY * DAY, end), end)


def shown_children(source: Source, parent: Json) -> Json | None:
    """The list of children inside the parent, None where there is none."""
    stream = source.stream
    embedded = get_path(parent, stream.EMBEDDED) if stream.EMBEDDED else None
    if not isinstance(embedded, dict) or not isinstance(embedded.get("data"), list):
        return None
    if not stream.EMBEDDED_OBJECT:
        return embedded
    own = [child for child in embedded["data"] if child.get("object") == stream.EMBEDDED_OBJECT]
    return embedded | {"data": own}


async def _parent_ids(source: Source, parent: Json) -> list[str]:
    """The ids under which children are listed: the parent's own, or those of the items inside it."""
    if not source.stream.PARENT_ITEMS:
        return [str(parent["id"])]
    items = get_path(parent, source.stream.PARENT_ITEMS)
    if not isinstance(items, dict):
        return []
    if items.get("has_more") is True:
        await complete_list(source, items, parent)
    inside = f"{source.stream.PARENT_ITEMS!r} of {parent['id']}"
    wanted = source.stream.EMBEDDED_OBJECT
    ids = [
        get_path(item, source.stream.PARENT_ITEM_ID)
        for item in checked(source, inside, items["data"])
        if not wanted or item.get("object") == wanted
    ]
    return list(dict.fromkeys(id_ for id_ in ids if isinstance(id_, str) and id_))


async def _children(source: Source, children: ChildList) -> AsyncIterator[Json]:
    """The children in a list, newest first."""
    newest_last: list[Json] = []
    try:
        async for page in read_pages(source, children.path, children.params, children.first):
            if source.stream.NEWEST_LAST:
                newest_last += page.objects
                continue
            for child in page.objects:
                yield child
    except StripeError as error:
        if not PARENT_GONE.matches(error):
            raise
        try:
            await read_page(source, children.path, children.params, None)
        except StripeError as first:
            if not PARENT_GONE.matches(first):
                raise
            source.log.debug("a parent was deleted while its children were read", {"path": children.path})
        else:
            raise
    for child in reversed(newest_last):
        yield child
