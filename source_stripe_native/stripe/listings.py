"""A stream's listing: its own list, or for children the list of their parents and each parent's children.

A page of a listing is a page of the list that Stripe pages: of objects, or of parents. Backfills and polled
lists read listings, and both checkpoint page by page.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from source_stripe_native.state.windows import Window
from source_stripe_native.streams.row import Embedding
from source_stripe_native.stripe.children import read_children_of, read_parents
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.embedded import embedded_objects, read_containers
from source_stripe_native.stripe.expansions import list_params
from source_stripe_native.stripe.lists import read_list, read_without_parent
from source_stripe_native.stripe.pages import TOP_WITHOUT_PARENT, Page, PageToken, Source, is_in_window


async def read_listed(
    source: Source,
    window: Window,
    params: Params,
    token: PageToken | None,
    *,
    whole: bool = False,
    embedding: Embedding | None = None,
) -> Page:
    """A page of what the stream's documents are made of: its objects, the parents of its objects and after
    these the objects without a parent, or the containers of a `embedding`. `whole` reads the list without
    bounds."""
    stream = source.stream
    if embedding is not None:
        return await read_containers(source, embedding, window, token)
    if stream.PARENT is not None:
        if token is not None and token.without_parent:
            return await read_without_parent(source, [*params, *list_params(stream)], window, token)
        page = await read_parents(source, window, token, params)
        return replace(page, next=TOP_WITHOUT_PARENT) if page.next is None and stream.WITHOUT_PARENT else page
    bounds = window if stream.LISTS_BY_CREATED and not whole else None
    return await read_list(source, stream, params, bounds, token, unlisted=whole, expand=list_params(stream))


async def listed_objects(
    source: Source,
    window: Window,
    params: Params,
    listed: Page,
    *,
    in_window_only: bool = False,
    embedding: Embedding | None = None,
) -> AsyncIterator[Json]:
    """The stream's objects that a page of `read_listed` stands for. `in_window_only` leaves out those that
    were not created in `window`."""
    if embedding is not None:
        for container in listed.objects:
            async for found in embedded_objects(source, embedding, container, window):
                yield found
        return
    if source.stream.PARENT is not None and not listed.without_parent:
        own = () if source.stream.VARIANTS_OF_PARENT else params
        async for child in read_children_of(source, listed.objects, window, own):
            yield child
        return
    for found in listed.objects:
        if not in_window_only or is_in_window(source.stream, found, window):
            yield found
