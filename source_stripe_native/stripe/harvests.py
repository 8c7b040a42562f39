"""Harvests: objects that no endpoint of their own returns, taken from the objects that show them.

A holder (a subscription, an invoice) shows ids unless a request expands them. Where a list inside a holder is
cut, the rest of that list is read with the same expansion.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from source_stripe_native.streams.row import Harvest, segment
from source_stripe_native.stripe.documents import complete_list, get_path, named_holder, retrieve
from source_stripe_native.stripe.expansions import PARAM, values_at
from source_stripe_native.stripe.lists import read_list
from source_stripe_native.stripe.pages import Page, PageToken, Source, is_in_window, read_pages
from source_stripe_native.stripe.wire import Json, Params
from source_stripe_native.window import Window

ELEMENTS = ".data.*."
"""In a path: every element of a list object."""


def expand_params(harvest: Harvest, prefix: str = "") -> Params:
    """The query parameters by which holders show the objects; `prefix` is `data.` for a list of holders."""
    if harvest.expand is not None:
        return [(PARAM, f"{prefix}{path}") for path in harvest.expand]
    return [(PARAM, f"{prefix}{path.replace('.*', '')}") for path in harvest.paths]


async def read_holders(source: Source, harvest: Harvest, window: Window, token: PageToken | None) -> Page:
    """A page of the holders that may show objects of `window`."""
    since = window.start if harvest.born_with_holder else 0
    return await read_list(
        source,
        harvest.stream,
        harvest.stream.list_params(),
        Window(since, window.end) if harvest.stream.LISTS_BY_CREATED else None,
        token,
        unlisted=False,
        expand=expand_params(harvest, "data."),
    )


async def harvested(
    source: Source, harvest: Harvest, holder: Json, window: Window | None = None
) -> AsyncIterator[Json]:
    """The objects that an expanded holder shows, each once and with the holder's id; those of `window`, where
    it is given and where the holder may be older."""
    for path in harvest.paths:
        place, is_list, inside = path.partition(ELEMENTS)
        shown = get_path(holder, place) if is_list else None
        if isinstance(shown, dict) and shown.get("has_more") is True:
            deeper = [(PARAM, f"data.{inside.replace('.*', '')}")] if harvest.expand is None else []
            await complete_list(source, shown, holder, deeper)
    seen: set[str] = set()
    for path in harvest.paths:
        for value in values_at(holder, path):
            found = value
            if isinstance(value, str) and harvest.read_at:
                found = await source.look_up(f"/v1/{harvest.read_at}/{segment(value)}", ())
            if not isinstance(found, dict) or not isinstance(found.get("id"), str) or found["id"] in seen:
                continue
            seen.add(found["id"])
            is_due = window is None or harvest.born_with_holder or is_in_window(source.stream, found, window)
            if is_due and not await _is_listed(source, found):
                found = dict(found)
                found["found_in"] = {"object": holder.get("object"), "id": holder["id"]}
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

    async def read_ids() -> Json:
        path, ids = home.list_path(), list[str]()
        for variant in home.VARIANTS.values():
            params = [*variant.items(), (stream.LISTED_BY, value)]
            ids += [each["id"] async for page in read_pages(source, path, params) for each in page.objects]
        return {"ids": ids}

    key = (source.connected_account_id, home.NAME, stream.LISTED_BY, value)
    return found["id"] in (await source.http.lookups.get(key, read_ids))["ids"]


async def shown_now(source: Source, found: Json) -> Json:
    """The object as the holder that it names shows it now; `found` itself where the holder shows it no more,
    or where it names none."""
    if named := named_holder(source, found):
        harvest, holder_id = named
        holder = await retrieve(
            replace(source, stream=harvest.stream), {"id": holder_id}, expand_params(harvest)
        )
        if holder is not None:
            async for each in harvested(source, harvest, holder):
                if each["id"] == found["id"]:
                    return each
    return found


async def expanded_holder(source: Source, harvest: Harvest, holder: Json) -> Json | None:
    """The holder with its objects expanded: as it is where it shows no ids, read again where it does; None
    where Stripe no longer has it."""
    if harvest.expand:
        return await retrieve(replace(source, stream=harvest.stream), holder, expand_params(harvest))
    if harvest.expand is not None or not any(
        isinstance(each, str) for path in harvest.paths for each in values_at(holder, path)
    ):
        return holder
    return await retrieve(replace(source, stream=harvest.stream), holder, expand_params(harvest))
