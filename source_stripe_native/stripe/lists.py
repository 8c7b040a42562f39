"""A stream's own list, with what Stripe's bare list leaves out: the one object that it never has, objects
without a parent, and in test mode the objects of test clocks.
"""

import logging
from dataclasses import replace

from source_stripe_native.errors import PARAMETER_MISSING, PERMISSION_MISSING, StripeError, is_refusal
from source_stripe_native.state.shards import ALL_ACCOUNTS
from source_stripe_native.state.windows import Window, second_of
from source_stripe_native.streams.core import TestClocks
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.expansions import keyed_list_params, keyed_paths
from source_stripe_native.stripe.pages import (
    TOP_WITHOUT_PARENT,
    Page,
    PageToken,
    Source,
    checked,
    is_in_window,
    of_today,
    range_params,
    read_page,
    read_pages,
)


async def read_list(
    source: Source,
    stream: type[BaseStripeObject],
    params: Params,
    bounds: Window | None,
    token: PageToken | None,
    *,
    unlisted: bool,
    expand: Params = (),
) -> Page:
    """A page of a stream's own list, of what was created within `bounds` where they are given. `unlisted`
    says that the one object which the list leaves out comes first; `expand` are the expansions to ask for.
    The first page has the objects of test clocks too, whenever these say that they were created."""
    path = stream.list_path()
    if stream.SINGLE:
        return Page([of_today(source, await source.get(path))], None)
    wanted = [*params, *(range_params(stream, bounds) if bounds else ()), *expand]
    try:
        page = await _read_keyed(source, stream, path, wanted, token)
    except StripeError as error:
        if not any(known.matches(error) for known in stream.LIST_ENDS):
            raise
        source.log.debug("the list goes on no further", {"stream": stream.NAME, "error": error.answer})
        page = Page([], None)
    if bounds and not source.refused.is_filtered(path, stream.CREATED_IN.names()):
        page = _filtered(page, stream, bounds)
    if token is None and unlisted and stream.UNLISTED:
        page = Page([await read_unlisted(source, stream), *page.objects], page.next, is_divisible=False)
    if token is None and stream.BY_TEST_CLOCK and source.http.is_test:
        clocked = await _read_clocked(source, stream, [*params, *expand])
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
    # As many lines at info as there are keys, not accounts.
    level = logging.INFO if source.connected_account_id is None else logging.DEBUG

    async def read_ids(source: Source) -> Json:
        try:
            pages = read_pages(source, TestClocks.list_path(), ())
            ids = [clock["id"] async for page in pages for clock in page.objects]
        except StripeError as error:
            if not (PERMISSION_MISSING.matches(error) or is_refusal(error)):
                raise
            about = {"error": error.answer}
            source.log.log(level, "test clocks cannot be read: their objects are left out", about)
            return {"ids": []}
        if ids:
            source.log.log(level, f"the objects of {len(ids)} test clocks are listed too")
        return {"ids": ids}

    key, objects = (source.connected_account_id, TestClocks.NAME), list[Json]()
    for clock in (await source.shared(source.http.lookups, key, read_ids))["ids"]:
        async for page in read_pages(source, stream.list_path(), [*params, ("test_clock", clock)]):
            objects += page.objects
    return objects


async def read_without_parent(source: Source, params: Params, bounds: Window, token: PageToken) -> Page:
    """A page of the objects without a parent that were created within `bounds`; none where the API version
    has no list of them."""
    stream = source.stream
    try:
        page = await read_page(source, f"/v1/{stream.WITHOUT_PARENT}", params, token)
    except StripeError as error:
        if token != TOP_WITHOUT_PARENT or not PARAMETER_MISSING.matches(error):
            raise
        source.log.debug("no list of objects without a parent", {"error": error.answer})
        page = Page([], None)
    page = _filtered(page, stream, bounds)
    rest = replace(page.next, without_parent=True) if page.next else None
    return Page(page.objects, rest, without_parent=True)


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
