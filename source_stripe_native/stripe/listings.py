"""A stream's listing: its own list; for children the list of their parents and each parent's children; and
for embedded objects, which no endpoint of their own returns, the list of the containers that show them.

A page of a listing is a page of the list that Stripe pages: of objects, of parents, or of containers. A list
has what Stripe's bare list leaves out: the one object that it never has, objects without a parent, and in
test mode the objects of test clocks. A container (a subscription, an invoice) shows ids unless a request
expands them. Where a list inside one is cut, the rest of that list is read with the same expansion.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from source_stripe_native.errors import PARAMETER_MISSING, PERMISSION_MISSING, StripeError, is_refusal
from source_stripe_native.state.shards import ALL_ACCOUNTS
from source_stripe_native.state.windows import Window, second_of
from source_stripe_native.streams.core import TestClocks
from source_stripe_native.streams.row import BaseStripeObject, Embedding, segment
from source_stripe_native.stripe.children import read_children_of
from source_stripe_native.stripe.documents import complete_list, get_path, named_container, retrieve
from source_stripe_native.stripe.expansions import (
    PARAM,
    embedded_params,
    keyed_list_params,
    keyed_paths,
    list_params,
    values_at,
)
from source_stripe_native.stripe.pages import (
    TOP_WITHOUT_PARENT,
    Page,
    PageToken,
    Source,
    all_pages,
    checked,
    is_in_window,
    notice,
    of_today,
    range_params,
    read_page,
    read_pages,
)
from source_stripe_native.stripe.shared_pages import SharedPages
from source_stripe_native.stripe.wire import Json, Params

ELEMENTS = ".data.*."
"""In a path: every element of a list object."""


@dataclass(frozen=True)
class Listing:
    """What the documents of a stream are made of that were created in `window`: its objects; the parents of
    its objects, and after these the objects without a parent; or the containers of an `embedding`.

    `params` select a variant of the objects, or of the parents where the row says so. A listing that
    `is_whole` is read without bounds. Pages of parents are those of `sharing`, if it is given."""

    source: Source
    window: Window
    params: Params
    embedding: Embedding | None = None
    is_whole: bool = False
    sharing: SharedPages | None = None

    def pages(self) -> AsyncIterator[Page]:
        """Every page, to the end."""
        return all_pages(self.page)

    async def page(self, token: PageToken | None) -> Page:
        """The page at a token, the first one without it."""
        source, stream, window, embedding = self.source, self.source.stream, self.window, self.embedding
        if embedding is not None:
            row, since = embedding.stream, window.start if embedding.created_with_container else 0
            bounds = Window(since, window.end) if row.LISTS_BY_CREATED else None
            params = [*row.list_params(), *expand_params(embedding, "data.")]
            return await read_list(source, row, params, bounds, token)
        if stream.PARENT is not None:
            if token is not None and token.without_parent:
                return await self._without_parent(token)
            page = await self._parents(token, stream.PARENT)
            is_last = page.next is None and stream.WITHOUT_PARENT
            return replace(page, next=TOP_WITHOUT_PARENT) if is_last else page
        params = [*self.params, *list_params(stream)]
        if self.is_whole:
            return await read_list(source, stream, params, None, token, unlisted=True)
        return await read_list(source, stream, params, window if stream.LISTS_BY_CREATED else None, token)

    async def objects(self, page: Page, *, in_window_only: bool = False) -> AsyncIterator[Json]:
        """The objects that a page stands for. `in_window_only` leaves out those that were not created in the
        window."""
        source, window, stream = self.source, self.window, self.source.stream
        if self.embedding is not None:
            for container in page.objects:
                async for obj in embedded_objects(source, self.embedding, container, window):
                    yield obj
        elif stream.PARENT is not None and not page.without_parent:
            own = () if stream.VARIANTS_OF_PARENT else self.params
            async for child in read_children_of(source, page.objects, window, own):
                yield child
        else:
            for obj in page.objects:
                if not in_window_only or is_in_window(stream, obj, window):
                    yield obj

    async def _parents(self, token: PageToken | None, parent: type[BaseStripeObject]) -> Page:
        """A page of the parents that can have children of the window, which streams may share."""
        source, stream, sharing = self.source, self.source.stream, self.sharing
        if source.is_one_of_many and parent.ARE_ACCOUNTS:
            # Each account is the only parent in its own task. The platform reads a connected account by its
            # id: the account's own view of itself lacks what the platform may do.
            if source.connected_account_id is None:
                return Page([await read_unlisted(source, parent)], None)
            platform = replace(source, connected_account_id=None)
            path = f"{parent.list_path()}/{segment(source.connected_account_id)}"
            return Page([await platform.get(path)], None)
        since = self.window.start if stream.CREATED_WITH_PARENT else 0
        bounds = Window(since, self.window.end) if parent.LISTS_BY_CREATED and not parent.UNDATED else None
        expand = sharing.expansions(stream) if sharing else embedded_params(stream)
        selection = self.params if stream.VARIANTS_OF_PARENT else parent.list_params()

        async def read(source: Source) -> Page:
            return await read_list(source, parent, [*selection, *expand], bounds, token, unlisted=True)

        if sharing is None:
            return await read(source)
        key = (source.account_id, parent.NAME, tuple(selection), bounds, token)
        return await sharing.read(source, key, read)

    async def _without_parent(self, token: PageToken) -> Page:
        """A page of the objects without a parent; none where the API version has no list of them."""
        source, stream = self.source, self.source.stream
        params = [*self.params, *list_params(stream)]
        try:
            page = await read_page(source, f"/v1/{stream.WITHOUT_PARENT}", params, token)
        except StripeError as error:
            if token != TOP_WITHOUT_PARENT or not PARAMETER_MISSING.matches(error):
                raise
            source.log.debug("no list of objects without a parent", {"error": error.answer})
            page = Page([], None)
        page = _filtered(page, stream, self.window)
        rest = replace(page.next, without_parent=True) if page.next else None
        return Page(page.objects, rest, without_parent=True)


async def read_list(
    source: Source,
    stream: type[BaseStripeObject],
    params: Params,
    bounds: Window | None,
    token: PageToken | None,
    *,
    unlisted: bool = False,
) -> Page:
    """A page of a stream's own list, of what was created within `bounds` where they are given. `unlisted`
    says that the one object which the list leaves out comes first. The first page has the objects of test
    clocks too, whenever these say that they were created."""
    path = stream.list_path()
    if stream.SINGLE:
        return Page([of_today(source, await source.get(path))], None)
    bounded = [*params, *(range_params(stream, bounds) if bounds else ())]
    try:
        page = await _read_keyed(source, stream, path, bounded, token)
    except StripeError as error:
        if not any(known.matches(error) for known in stream.LIST_ENDS):
            raise
        source.log.debug("the list goes on no further", {"stream": stream.NAME, "error": error.answer})
        page = Page([], None)
    if bounds and not source.refused.filters_by_time(stream):
        page = _filtered(page, stream, bounds)
    if token is None and unlisted and stream.UNLISTED:
        page = Page([await read_unlisted(source, stream), *page.objects], page.next, is_divisible=False)
    if token is None and stream.BY_TEST_CLOCK and source.http.is_test:
        clocked = await _read_clocked(source, stream, params)
        page = Page([*page.objects, *clocked], page.next, is_divisible=page.is_divisible and not clocked)
    if source.selection is ALL_ACCOUNTS:
        return page
    return replace(page, objects=[obj for obj in page.objects if source.selection.has(obj)])


async def _read_keyed(
    source: Source, stream: type[BaseStripeObject], path: str, params: Params, token: PageToken | None
) -> Page:
    """A page of a list with the fields of the row's maps, of which each key has to be asked for. A page with
    keys that no page before it had is read again with these."""
    if stream is not source.stream:
        return await read_page(source, path, params, token)
    known = source.http.map_keys.setdefault(path, {})
    page = await read_page(source, path, [*params, *keyed_list_params(known)], token)
    new = {key for obj in page.objects for key in keyed_paths(obj, stream)} - known.keys()
    if not new or len(known) >= source.settings.map_keys:
        return page
    known.update(dict.fromkeys(sorted(new)[: source.settings.map_keys - len(known)]))
    return await read_page(source, path, [*params, *keyed_list_params(known)], token)


async def _read_clocked(source: Source, stream: type[BaseStripeObject], params: Params) -> list[Json]:
    """The objects of all test clocks, which the stream's bare list leaves out; none where the account's
    clocks cannot be read. A clock has a few."""

    objects = list[Json]()
    try:
        clocks = await _listed_ids(source, TestClocks)
    except StripeError as error:
        if not (PERMISSION_MISSING.matches(error) or is_refusal(error)):
            raise
        notice(source, "test clocks cannot be read: their objects are left out", {"error": error.answer})
        return objects
    for clock in clocks:
        async for page in read_pages(source, stream.list_path(), [*params, ("test_clock", clock)]):
            objects += page.objects
    return objects


async def _listed_ids(source: Source, stream: type[BaseStripeObject], *params: tuple[str, str]) -> list[str]:
    """The ids in the lists of another stream, which are read once and remembered for a while."""

    async def read(source: Source) -> Json:
        path, ids = stream.list_path(), list[str]()
        for variant in stream.VARIANTS.values():
            async for page in read_pages(source, path, [*variant.items(), *params]):
                ids += [obj["id"] for obj in page.objects]
        return {"ids": ids}

    key = (source.connected_account_id, stream.NAME, *params)
    ids: list[str] = (await source.shared(source.http.lookups, key, read))["ids"]
    return ids


async def read_unlisted(source: Source, stream: type[BaseStripeObject]) -> Json:
    """The one object that the list of `stream` leaves out."""
    path = f"/v1/{stream.UNLISTED}"
    return checked(source, f"Stripe's answer to GET {path}", [await source.get(path)])[0]


def _filtered(page: Page, stream: type[BaseStripeObject], bounds: Window) -> Page:
    """What a page of an unfiltered list, newest first, has of `bounds`. The list ends where it gets older."""
    times = [second_of(obj.get(stream.CREATED)) for obj in page.objects]
    is_past = any(created is not None and created < bounds.start for created in times)
    objects = [obj for obj in page.objects if is_in_window(stream, obj, bounds)]
    return Page(objects, None if is_past else page.next)


def expand_params(embedding: Embedding, prefix: str = "") -> Params:
    """The query parameters by which containers show the objects; `prefix` is `data.` for a list of
    containers."""
    paths = embedding.paths if embedding.expand is None else embedding.expand
    return [(PARAM, f"{prefix}{path.replace('.*', '')}") for path in paths]


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
    return isinstance(value, str) and obj["id"] in await _listed_ids(source, home, (stream.LISTED_BY, value))


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
