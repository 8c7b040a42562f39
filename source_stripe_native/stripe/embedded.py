"""Embedded objects: objects that no endpoint of their own returns, taken from the objects that show them.

A container (a subscription, an invoice) shows ids unless a request expands them. Where a list inside a
container is cut, the rest of that list is read with the same expansion.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from source_stripe_native.state.windows import Window
from source_stripe_native.streams.row import Embedding, segment
from source_stripe_native.stripe.documents import complete_list, get_path, named_container, retrieve
from source_stripe_native.stripe.expansions import PARAM, values_at
from source_stripe_native.stripe.lists import read_list
from source_stripe_native.stripe.pages import Page, PageToken, Source, is_in_window, read_pages
from source_stripe_native.stripe.wire import Json, Params

ELEMENTS = ".data.*."
"""In a path: every element of a list object."""


def expand_params(embedding: Embedding, prefix: str = "") -> Params:
    """The query parameters by which containers show the objects; `prefix` is `data.` for a list of
    containers."""
    if embedding.expand is not None:
        return [(PARAM, f"{prefix}{path}") for path in embedding.expand]
    return [(PARAM, f"{prefix}{path.replace('.*', '')}") for path in embedding.paths]


async def read_containers(
    source: Source, embedding: Embedding, window: Window, token: PageToken | None
) -> Page:
    """A page of the containers that may show objects of `window`."""
    since = window.start if embedding.created_with_container else 0
    return await read_list(
        source,
        embedding.stream,
        embedding.stream.list_params(),
        Window(since, window.end) if embedding.stream.LISTS_BY_CREATED else None,
        token,
        unlisted=False,
        expand=expand_params(embedding, "data."),
    )


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
    seen: set[str] = set()
    for path in embedding.paths:
        for value in values_at(container, path):
            found = value
            if isinstance(value, str) and embedding.read_at:
                found = await source.look_up(f"/v1/{embedding.read_at}/{segment(value)}", ())
            if not isinstance(found, dict) or not isinstance(found.get("id"), str) or found["id"] in seen:
                continue
            seen.add(found["id"])
            is_due = (
                window is None
                or embedding.created_with_container
                or is_in_window(source.stream, found, window)
            )
            if is_due and not await _is_listed(source, found):
                found = dict(found)
                found["found_in"] = {"object": container.get("object"), "id": container["id"]}
                yield found


async def _is_listed(source: Source, found: Json) -> bool:
    """Whether the list of `LISTED_IN` has the object, which is then no object of this stream."""
    stream, home = source.stream, source.stream.LISTED_IN
    if home is None:
        return False
    if found.get(stream.LISTED_IF) is True:
        return True
    value = found.get(stream.LISTED_BY)
    if not isinstance(value, str):
        return False

    async def read_ids(source: Source) -> Json:
        path, ids = home.list_path(), list[str]()
        for variant in home.VARIANTS.values():
            params = [*variant.items(), (stream.LISTED_BY, value)]
            ids += [obj["id"] async for page in read_pages(source, path, params) for obj in page.objects]
        return {"ids": ids}

    key = (source.connected_account_id, home.NAME, stream.LISTED_BY, value)
    return found["id"] in (await source.shared(source.http.lookups, key, read_ids))["ids"]


async def shown_now(source: Source, found: Json) -> Json:
    """The object as the container that it names shows it now; `found` itself where the container shows it no
    more, or where it names none."""
    if named := named_container(source, found):
        embedding, container_id = named
        container = await retrieve(
            replace(source, stream=embedding.stream), {"id": container_id}, expand_params(embedding)
        )
        if container is not None:
            async for each in embedded_objects(source, embedding, container):
                if each["id"] == found["id"]:
                    return each
    return found


async def expanded_container(source: Source, embedding: Embedding, container: Json) -> Json | None:
    """The container with its objects expanded: as it is where it shows no ids, read again where it does; None
    where Stripe no longer has it."""
    if embedding.expand:
        return await retrieve(replace(source, stream=embedding.stream), container, expand_params(embedding))
    if embedding.expand is not None or not any(
        isinstance(each, str) for path in embedding.paths for each in values_at(container, path)
    ):
        return container
    return await retrieve(replace(source, stream=embedding.stream), container, expand_params(embedding))
