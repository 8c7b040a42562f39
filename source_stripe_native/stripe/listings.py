"""A stream's listing: its own list; for children the list of their parents and each parent's children; and
for embedded objects, which no endpoint of their own returns, the list of the containers that show them.

A page of a listing is a page of the list that Stripe pages: of objects, of parents, or of containers. A
container (a subscription, an invoice) shows ids unless a request expands them. Where a list inside one is
cut, the rest of that list is read with the same expansion.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from source_stripe_native.state.windows import Window
from source_stripe_native.streams.row import Embedding, segment
from source_stripe_native.stripe.children import read_children_of, read_parents
from source_stripe_native.stripe.documents import complete_list, get_path, named_container, retrieve
from source_stripe_native.stripe.expansions import PARAM, list_params, values_at
from source_stripe_native.stripe.lists import read_list, read_without_parent
from source_stripe_native.stripe.pages import (
    TOP_WITHOUT_PARENT,
    Page,
    PageToken,
    Source,
    is_in_window,
    read_pages,
)
from source_stripe_native.stripe.shared_pages import SharedPages
from source_stripe_native.stripe.wire import Json, Params

ELEMENTS = ".data.*."
"""In a path: every element of a list object."""


async def read_listed(
    source: Source,
    window: Window,
    params: Params,
    token: PageToken | None,
    *,
    whole: bool = False,
    embedding: Embedding | None = None,
    sharing: SharedPages | None = None,
) -> Page:
    """A page of what the stream's documents are made of: its objects, the parents of its objects and after
    these the objects without a parent, or the containers of an `embedding`. `whole` reads the list without
    bounds. Pages of parents are those of `sharing`, if it is given."""
    stream = source.stream
    if embedding is not None:
        row, since = embedding.stream, window.start if embedding.created_with_container else 0
        bounds = Window(since, window.end) if row.LISTS_BY_CREATED else None
        expand = expand_params(embedding, "data.")
        return await read_list(source, row, row.list_params(), bounds, token, unlisted=False, expand=expand)
    if stream.PARENT is not None:
        if token is not None and token.without_parent:
            return await read_without_parent(source, [*params, *list_params(stream)], window, token)
        page = await read_parents(source, window, token, params, sharing)
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
            async for obj in embedded_objects(source, embedding, container, window):
                yield obj
        return
    if source.stream.PARENT is not None and not listed.without_parent:
        own = () if source.stream.VARIANTS_OF_PARENT else params
        async for child in read_children_of(source, listed.objects, window, own):
            yield child
        return
    for obj in listed.objects:
        if not in_window_only or is_in_window(source.stream, obj, window):
            yield obj


def expand_params(embedding: Embedding, prefix: str = "") -> Params:
    """The query parameters by which containers show the objects; `prefix` is `data.` for a list of
    containers."""
    if embedding.expand is not None:
        return [(PARAM, f"{prefix}{path}") for path in embedding.expand]
    return [(PARAM, f"{prefix}{path.replace('.*', '')}") for path in embedding.paths]


async def embedded_objects(
    source: Source, embedding: Embedding, container: Json, window: Window | None = None
) -> AsyncIterator[Json]:
    """The objects that an expanded container shows, each once and with the container's id; those of `window`,
    where it is given and where the container may be older."""
    for path in embedding.paths:
        place, is_list, inside = path.partition(ELEMENTS)
        shown = get_path(container, place) if is_list else None
        if isinstance(shown, dict) and shown.get("has_more") is True:
            deeper = [(PARAM, f"data.{inside.replace('.*', '')}")] if embedding.expand is None else []
            await complete_list(source, shown, container, deeper)
    bounds = None if embedding.created_with_container else window
    seen: set[str] = set()
    for value in (value for path in embedding.paths for value in values_at(container, path)):
        obj = value
        if isinstance(value, str) and embedding.read_at:
            obj = await source.look_up(f"/v1/{embedding.read_at}/{segment(value)}", ())
        if not isinstance(obj, dict) or not isinstance(obj.get("id"), str) or obj["id"] in seen:
            continue
        seen.add(obj["id"])
        if (bounds is None or is_in_window(source.stream, obj, bounds)) and not await _is_listed(source, obj):
            yield obj | {"found_in": {"object": container.get("object"), "id": container["id"]}}


async def _is_listed(source: Source, obj: Json) -> bool:
    """Whether the list of `LISTED_IN` has the object, which is then no object of this stream."""
    stream, home = source.stream, source.stream.LISTED_IN
    if home is None:
        return False
    if obj.get(stream.LISTED_IF) is True:
        return True
    value = obj.get(stream.LISTED_BY)
    if not isinstance(value, str):
        return False

    async def read_ids(source: Source) -> Json:
        path, ids = home.list_path(), list[str]()
        for variant in home.VARIANTS.values():
            params = [*variant.items(), (stream.LISTED_BY, value)]
            ids += [one["id"] async for page in read_pages(source, path, params) for one in page.objects]
        return {"ids": ids}

    key = (source.connected_account_id, home.NAME, stream.LISTED_BY, value)
    return obj["id"] in (await source.shared(source.http.lookups, key, read_ids))["ids"]


async def shown_now(source: Source, obj: Json) -> Json:
    """The object as the container that it names shows it now; `obj` itself where the container shows it no
    more, or where it names none."""
    if named := named_container(source, obj):
        embedding, container_id = named
        container = await retrieve(
            replace(source, stream=embedding.stream), {"id": container_id}, expand_params(embedding)
        )
        if container is not None:
            async for shown in embedded_objects(source, embedding, container):
                if shown["id"] == obj["id"]:
                    return shown
    return obj


async def expanded_container(source: Source, embedding: Embedding, container: Json) -> Json | None:
    """The container with its objects expanded: as it is where it shows no ids, read again where it does; None
    where Stripe no longer has it."""
    shown = (value for path in embedding.paths for value in values_at(container, path))
    if embedding.expand or (embedding.expand is None and any(isinstance(value, str) for value in shown)):
        return await retrieve(replace(source, stream=embedding.stream), container, expand_params(embedding))
    return container
