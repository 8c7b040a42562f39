"""Children: the objects that are listed under a parent, each parent's on its own.

Parents are listed page by page, and a page of parents is what a checkpoint of a child stream stands for. A
parent that shows all of its children in itself costs no request. Only the first page of a child list may find
the parent gone or barred. A later one that does is an error, since a list half read must not look complete,
unless the first page says so too when it is asked for again: then the parent was deleted in between.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from source_stripe_native.documents import complete_list, dig
from source_stripe_native.errors import PARENT_GONE, StripeError
from source_stripe_native.http import Json, Params
from source_stripe_native.listing import Page, PageToken, Source, admits, range_params, read_page
from source_stripe_native.window import Window

CONCURRENT_PARENTS: Final = 10
"""Parents of a page whose children are asked for at once; they are captured in the page's order."""


@dataclass(frozen=True)
class ChildList:
    """A list of children of which the first page is read: those of the object with the id `parent_id`."""

    parent_id: str
    path: str
    params: Params
    first: Page


async def read_parents(source: Source, window: Window, token: PageToken | None) -> Page:
    """A page of the parents that can have children of `window`."""
    stream, parent = source.stream, source.stream.PARENT
    assert parent is not None
    if source.is_one_of_many and not parent.PER_ACCOUNT:
        # Each account is the only parent in its own task.
        return Page([await source.get(f"/v1/{parent.UNLISTED}")], None)
    since = window.start if stream.BORN_WITH_PARENT else 0
    params = list(parent.VARIANTS[""].items())
    if parent.LISTS_BY_CREATED and not parent.UNDATED:
        params += range_params(Window(since, window.end))
    page = await read_page(source, f"/v1/{parent.SEARCH_NAME}", params, token)
    if parent.UNLISTED and token is None:
        return Page([await source.get(f"/v1/{parent.UNLISTED}"), *page.objects], page.next)
    return page


async def read_children_of(
    source: Source, parents: list[Json], window: Window, params: Params
) -> AsyncIterator[Json]:
    """The children of each of `parents` that were created in `window`, as far as they tell when."""
    for first in range(0, len(parents), CONCURRENT_PARENTS):
        some = parents[first : first + CONCURRENT_PARENTS]
        begun = await asyncio.gather(*(begin(source, each, window, params) for each in some))
        for lists in begun:
            for each in lists or ():
                async for child in read(source, each, window):
                    yield child


async def begin(
    source: Source, parent: Json, window: Window, params: Params, *, shown: bool = True
) -> list[ChildList] | None:
    """The lists of one parent's children, or None where Stripe no longer has the parent. `shown` says that
    what the parent shows of its children is how they are now."""
    stream = source.stream
    if any(dig(parent, path) == value for path, value in stream.PARENT_BARS.items()):
        return []
    embedded = shown_children(source, parent)
    if shown and embedded is not None and embedded.get("has_more") is False:
        return [ChildList(str(parent["id"]), "", (), Page(embedded["data"], None))]
    if stream.LISTS_BY_CREATED:
        params = [*params, *range_params(window)]
    lists: list[ChildList] = []
    gone = False
    for holder in await _holders(source, parent):
        path = f"/v1/{stream.SEARCH_NAME.format(parent=holder)}"
        named = [*params, (stream.PARENT_PARAM, holder)] if stream.PARENT_PARAM else params
        try:
            lists.append(ChildList(holder, path, named, await read_page(source, path, named, None)))
        except StripeError as error:
            if not any(known.matches(error) for known in stream.TOLERATED):
                raise
            gone = gone or PARENT_GONE.matches(error)
            source.log.debug("no children to read", {"path": path, "error": str(error)})
    return None if gone and not lists else lists


async def read(source: Source, children: ChildList, window: Window) -> AsyncIterator[Json]:
    """The children in a list that were created in `window`, each naming its parent."""
    pages = _pages(source, children)
    if source.stream.NEWEST_LAST:
        everything = [child async for page in pages for child in page]
        pages = _once(everything[::-1])
    async for page in pages:
        for child in page:
            if admits(source.stream, child, window):
                if source.stream.PARENT_FIELD:
                    child.setdefault(source.stream.PARENT_FIELD, children.parent_id)
                yield child


def shown_children(source: Source, parent: Json) -> Json | None:
    """The list of children inside the parent, None where there is none."""
    embedded = dig(parent, source.stream.EMBEDDED) if source.stream.EMBEDDED else None
    return embedded if isinstance(embedded, dict) else None


async def _holders(source: Source, parent: Json) -> list[str]:
    """The ids under which children are listed: the parent's own, or those of the items inside it."""
    if not source.stream.PARENT_ITEMS:
        return [str(parent["id"])]
    items = dig(parent, source.stream.PARENT_ITEMS)
    if not isinstance(items, dict):
        return []
    if items.get("has_more") is True:
        await complete_list(source, items)
    return [str(each["id"]) for each in items["data"]]


async def _pages(source: Source, children: ChildList) -> AsyncIterator[list[Json]]:
    page = children.first
    yield page.objects
    while page.next is not None:
        try:
            page = await read_page(source, children.path, children.params, page.next)
        except StripeError as error:
            if not PARENT_GONE.matches(error) or await _is_listed(source, children):
                raise
            source.log.info("a parent was deleted while its children were read", {"path": children.path})
            return
        yield page.objects


async def _is_listed(source: Source, children: ChildList) -> bool:
    """Whether the parent is still there to list children of."""
    try:
        await read_page(source, children.path, children.params, None)
    except StripeError as error:
        if PARENT_GONE.matches(error):
            return False
        raise
    return True


async def _once(objects: list[Json]) -> AsyncIterator[list[Json]]:
    yield objects
