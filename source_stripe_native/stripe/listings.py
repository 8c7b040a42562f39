"""A stream's listing: its own list, or for children the list of their parents and each parent's children.

A page of a listing is a page of the list that Stripe pages: of objects, or of parents. Backfills and polled
lists read listings, and both checkpoint page by page.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from source_stripe_native.streams.row import Harvest
from source_stripe_native.stripe.children import read_children_of, read_parents
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.expansions import list_params
from source_stripe_native.stripe.harvests import harvested, read_holders
from source_stripe_native.stripe.lists import read_list, read_orphans
from source_stripe_native.stripe.pages import (
    ORPHANS_TOP,
    Page,
    PageToken,
    Source,
    is_in_window,
)
from source_stripe_native.window import Window


async def read_listed(
    source: Source,
    window: Window,
    params: Params,
    token: PageToken | None,
    *,
    whole: bool = False,
    harvest: Harvest | None = None,
) -> Page:
    """A page of what the stream's documents are made of: its objects, the parents of its objects and after
    these the objects without a parent, or the holders of a `harvest`. `whole` reads the list without
    bounds."""
    stream = source.stream
    if harvest is not None:
        return await read_holders(source, harvest, window, token)
    if stream.PARENT is not None:
        if token is not None and token.orphans:
            return await read_orphans(source, [*params, *list_params(stream)], window, token)
        page = await read_parents(source, window, token, params)
        return replace(page, next=ORPHANS_TOP) if page.next is None and stream.ORPHANS else page
    bounds = window if stream.LISTS_BY_CREATED and not whole else None
    return await read_list(source, stream, params, bounds, token, unlisted=whole, expand=list_params(stream))


async def listed_objects(
    source: Source,
    window: Window,
    params: Params,
    listed: Page,
    *,
    sift: bool = False,
    harvest: Harvest | None = None,
) -> AsyncIterator[Json]:
    """The stream's objects that a page of `read_listed` stands for. `sift` leaves out those that were not
    created in `window`."""
    if harvest is not None:
        for holder in listed.objects:
            async for found in harvested(source, harvest, holder, window):
                yield found
        return
    if source.stream.PARENT is not None and not listed.orphans:
        own = () if source.stream.VARIANTS_OF_PARENT else params
        async for child in read_children_of(source, listed.objects, window, own):
            yield child
        return
    for found in listed.objects:
        if not sift or is_in_window(source.stream, found, window):
            yield found
