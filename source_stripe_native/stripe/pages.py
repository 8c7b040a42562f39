"""The one pager: Stripe's lists, page by page.

Rule: lists are newest first and paged by `starting_after`, the id of the last object seen ("Pagination"). A
page token is what a checkpoint keeps between two pages: that id, or, where the object has a creation time,
JSON of both. The time is needed when the object itself is deleted in between: the list then goes on from that
second, all of it again rather than any of it skipped. A token may also be a time alone, to start further
down.

A page that Stripe fails to render is divided: into one object and pages of half the size, and an object into
its expanded fields. A field that Stripe cannot render of one object, and can of the next, is left out of that
document, with one line. The pages then grow back.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson
from pydantic import BaseModel, InstanceOf, StrictBool, ValidationError

from source_stripe_native.errors import PAGE_CURSOR_GONE, ConnectorError, StripeError, UnreachableError
from source_stripe_native.state.windows import FOREVER, Window, second_of
from source_stripe_native.streams.core import Events
from source_stripe_native.streams.row import BaseStripeObject, TimeRange
from source_stripe_native.stripe.attempts import backoff, is_no_answer
from source_stripe_native.stripe.expansions import PARAM
from source_stripe_native.stripe.source import Source as Source
from source_stripe_native.stripe.source import Workload as Workload
from source_stripe_native.stripe.source import notice as notice
from source_stripe_native.stripe.source import refusals_noticed as refusals_noticed
from source_stripe_native.stripe.wire import Json, Params

V2: Final = "/v2/"
"""Where the paths begin whose lists name the address of their next page."""
EVENTS_PATH: Final = Events.list_path()
SHOWN: Final = 3
"""Mistakes of a list that the error about them names."""


class NoPageError(ConnectorError):
    """Stripe's answer is no page of a list, or one that has more and leads nowhere."""


class ListEnvelope(BaseModel):
    """A page of any Stripe list. Unknown fields are welcome: Stripe adds some without notice."""

    # Told to be dicts, not read as such: the documents are what makes a page, and are not to be copied.
    data: list[InstanceOf[dict[str, Any]]]
    has_more: StrictBool
    next_page_url: str | None = None


@dataclass(frozen=True)
class PageToken:
    """Where a list goes on: after the object `after`, which was created at `created` (Unix seconds, None
    where unknown). In /v2/ `after` is an address. Without it: with what was created in that second or
    before."""

    after: str | None
    created: int | None = None
    without_parent: bool = False
    """Whether the list is that of a child stream's objects without a parent."""

    @classmethod
    def after_object(cls, last: Json, field: str = "created") -> "PageToken":
        """`field` has the object's creation time."""
        return cls(last["id"], second_of(last.get(field)))

    @classmethod
    def parse(cls, text: str) -> "PageToken":
        """Reads both forms. Any other text is an id as it is: users choose some ids, and an id may start with
        a brace."""
        with contextlib.suppress(orjson.JSONDecodeError):
            match orjson.loads(text) if text.startswith("{") else None:
                case {"after": str() | None as after, "created": int() | None as created, "orphans": True}:
                    return cls(after, created, without_parent=True)
                case {"after": str(after), "created": int() | None as created}:
                    return cls(after, created)
                case {"after": None, "created": int(created)}:
                    return cls(None, created)
        return cls(text)

    def __str__(self) -> str:
        place = {"after": self.after, "created": self.created}
        if self.without_parent:
            return orjson.dumps(place | {"orphans": True}).decode()
        if self.after is not None and self.created is None and not self.after.startswith("{"):
            return self.after
        return orjson.dumps(place).decode()


TOP_WITHOUT_PARENT: Final = PageToken(None, None, without_parent=True)
"""The top of the list of objects without a parent."""


@dataclass(frozen=True)
class Page:
    """Objects newest first, and the token of the next page, None on the last page."""

    objects: Sequence[Json]
    next: PageToken | None
    without_parent: bool = False
    """Whether these are objects without a parent, and not parents."""
    is_divisible: bool = True
    """Whether the list can be asked to go on after any of the objects. Some pages have more than the list
    has."""
    asked_time: float | None = None
    """The loop time of a shared page's request."""


def range_params(stream: type[BaseStripeObject], window: Window) -> list[tuple[str, str]]:
    """The query parameters for what the stream's own list has that was created in `window`."""
    return stream.CREATED_IN.params(window.start, window.end if window.end < FOREVER else None)


def is_in_window(stream: type[BaseStripeObject], found: Json, window: Window) -> bool:
    """Whether the object was created in `window`; True where the object has no creation time."""
    created = second_of(found.get(stream.CREATED))
    return created is None or window.start <= created < window.end


def read_pages(source: Source, path: str, params: Params, first: Page | None = None) -> AsyncIterator[Page]:
    """Every page of the list at `path`, to its end; `first` is the first page where that has been read."""
    return all_pages(functools.partial(read_page, source, path, params), first)


async def all_pages(
    read: Callable[[PageToken | None], Awaitable[Page]], first: Page | None = None
) -> AsyncIterator[Page]:
    """Every page of a list, to its end, from what reads the page at a token."""
    page = first or await read(None)
    yield page
    while page.next is not None:
        page = await read(page.next)
        yield page


def of_today(source: Source, found: Json) -> Json:
    """The only object of its kind as that of today (UTC)."""
    day = source.http.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {"id": day.date().isoformat(), "created": int(day.timestamp()), **found}


async def read_page(source: Source, path: str, params: Params, token: PageToken | None) -> Page:
    """One page of the list at `path`. Raises StripeError, and ConnectorError for a body that is not a
    list, for an object that cannot be captured, and for a page that has more and no way to go on."""
    if source.stream.PAGED or path in (row.list_path() for row in source.stream.found_through()):
        params = [*params, ("limit", str(source.settings.page_size))]
    if token is None:
        return await _read(source, path, params)
    if token.after is not None:
        is_address = path.startswith(V2)
        after = (
            parse_qsl(urlsplit(token.after).query)
            if is_address
            else [*params, ("starting_after", token.after)]
        )
        try:
            return await _read(source, path, after, token)
        except StripeError as error:
            if is_address or not PAGE_CURSOR_GONE.matches(error):
                raise
        source.log.warning(
            "the object that this list was to go on after is gone: going on from the second it was created "
            "in, or from the top of the list where that is not known",
            {"path": path, "after": token.after, "created": token.created},
        )
    return await _read(source, path, _from_second(source, path, params, token.created))


async def _read(source: Source, path: str, params: Params, token: PageToken | None = None) -> Page:
    """A page. What is none is asked for again: at the start of a capture it would end it."""
    for number in range(1, int(min(source.settings.page_attempts, source.most_attempts))):
        with contextlib.suppress(NoPageError):
            return _page(source, path, await _render(source, path, params), token)
        await asyncio.sleep(backoff(number))
    return _page(source, path, await _render(source, path, params), token)


async def _render(source: Source, path: str, params: Params) -> Json:
    """The list at `path` with `params`, or as much of its top as Stripe renders."""
    full = next((int(value) for name, value in params if name == "limit"), 1)
    sizes, key = source.http.page_sizes, (source.connected_account_id, path)
    size = min(full, sizes.get(key, full))
    next_size = 2 * size
    while True:
        sized = [(name, str(size) if name == "limit" else value) for name, value in params]
        is_divisible = full > 1 and (size > 1 or any(name == PARAM for name, _ in params))
        try:
            body = await source.get(path, sized, is_divisible=is_divisible)
            break
        except (StripeError, UnreachableError) as error:
            # While Stripe answers nobody, a smaller page would fail too.
            if not is_divisible or not is_no_answer(error) or not await source.http.is_answering(source.log):
                raise
            about = {"path": path, "account": source.account_id, "objects": size, "error": error.answer}
            source.log.debug("a page is asked for in smaller parts", about)
            if size == 1:
                body = await _render_object(source, path, sized)
                break
            # Where a single object fails as well, other sizes would be of no use.
            next_size, size = size // 2, 1
    sizes.pop(key, None)
    if next_size < full:
        sizes[key] = next_size
        if len(sizes) > source.settings.page_sizes_kept:
            del sizes[next(iter(sizes))]
    return body


async def _render_object(source: Source, path: str, params: Params) -> Json:
    """The page of one object, its expansions asked for one after another."""
    bare = [pair for pair in params if pair[0] != PARAM]
    body = await source.get(path, bare)
    kept: list[tuple[str, str]] = []
    for expansion in [pair for pair in params if pair[0] == PARAM] if body.get("data") else ():
        try:
            body = await source.get(path, [*bare, *kept, expansion])
            kept.append(expansion)
        except (StripeError, UnreachableError) as error:
            if not is_no_answer(error):
                raise
            object_id = str(body["data"][0].get("id"))
            beyond = [pair for pair in bare if pair[0] != "starting_after"]
            try:
                after = [*beyond, ("starting_after", object_id), expansion]
                others = (await source.get(path, after, is_divisible=True)).get("data")
                # Of the last object of a list, the first one is the other.
                others = others or (await source.get(path, [*beyond, expansion], is_divisible=True)).get(
                    "data"
                )
            except ConnectorError:
                others = None
            if not others:
                # Nothing shows that Stripe renders other objects: nothing is left out.
                raise error from None
            source.log.warning(
                f"{source.stream.NAME}: {object_id} of account {source.account_id} is captured without "
                f"{expansion[1].removeprefix('data.')}, which Stripe fails to render. {error.answer}"
            )
    return body


def checked(source: Source, place: str, objects: list[Json]) -> list[Json]:
    """`objects` as they are, each with a text as its id. Raises ConnectorError, which says that they are from
    `place`."""
    for obj in objects:
        if type(object_id := obj.get("id")) is not str or not object_id:
            raise ConnectorError(
                f"{source.stream.NAME}: an object has no text as its id, but {object_id!r}, in {place} for "
                f"account {source.account_id}. It cannot be captured: report this line, and disable the "
                "binding until that is mended."
            )
    return objects


def _from_second(source: Source, path: str, params: Params, created: int | None) -> Params:
    """`params` for what was created at `created` or before, where the list takes a range."""
    rows = (source.stream, *source.stream.found_through())
    bounds = next((row.CREATED_IN for row in rows if row.list_path() == path), TimeRange())
    # A list that is read without an end has a start alone.
    if created is None or not any(name in (bounds.since, bounds.until) for name, _ in params):
        return params
    return [*(pair for pair in params if pair[0] != bounds.until), (bounds.until, bounds.value(created + 1))]


def _page(source: Source, path: str, body: Json, token: PageToken | None = None) -> Page:
    answer = f"{source.stream.NAME}: Stripe's answer to GET {path} for account {source.account_id}"
    advice = "Start the capture again, and report this line if that does not help."
    if path.startswith(V2) and "next_page_url" in body:
        body = body | {"has_more": body["next_page_url"] is not None}
    try:
        envelope = ListEnvelope.model_validate(body)
    except ValidationError as error:
        wrong = ", ".join(
            ".".join(map(str, each["loc"])) for each in error.errors(include_input=False)[:SHOWN]
        )
        raise NoPageError(f"{answer} is not a list, as {wrong} is missing or wrong. {advice}") from None
    objects = checked(source, f"Stripe's answer to GET {path}", envelope.data)
    if not envelope.has_more:
        return Page(objects, None)
    last: Json = objects[-1] if objects else {}
    after = envelope.next_page_url or last.get("id")
    if after is None or (token is not None and token.after == after):
        raise NoPageError(f"{answer} has more, but no new id at its end to go on after. {advice}")
    field = source.stream.CREATED if path == source.stream.list_path() else "created"
    next_token = PageToken(after, second_of(last.get(field)))
    return Page(objects, next_token, is_divisible=envelope.next_page_url is None)
