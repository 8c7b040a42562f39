"""From an object as Stripe sent it to a document: whole, in one shape, and stamped.

Lists inside an object come cut, with `has_more`; those that the row names are completed from their own `url`.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from source_stripe_native.errors import OBJECT_GONE, StripeError
from source_stripe_native.http import Json
from source_stripe_native.listing import Source, read_pages
from source_stripe_native.models import Document, Op

MAX_NESTED: Final = 10_000
"""Objects of one list inside a document that are fetched at most."""

_PATH: Final = re.compile(r"/v1/[A-Za-z0-9_./-]+")


async def make(source: Source, found: Json, op: Op) -> Document:
    """`found` made a document, in place."""
    stream = source.stream
    for path in stream.NESTED:
        await _complete(source, found, path)
    if stream.CREATED not in ("created", "") and stream.CREATED in found:
        found.setdefault("created", found[stream.CREATED])
    found["_meta"] = {"op": op}
    found["account_id"] = source.account_id
    return found


async def retrieve(source: Source, found: Json) -> Json | None:
    """The object as it is now and in the pinned version: `found` itself where it lacks a field that its
    endpoint is made of, None where Stripe no longer has it."""
    stream = source.stream
    fields = {key: quote(str(each), safe="") for key, each in found.items() if each}
    fields["SEARCH_NAME"] = stream.SEARCH_NAME
    try:
        path = f"/v1/{stream.RETRIEVE.format_map(fields)}"
    except KeyError:
        return found
    try:
        current = await source.get(path, endpoint=f"/v1/{stream.RETRIEVE}")
    except StripeError as error:
        if OBJECT_GONE.matches(error):
            return None
        raise
    return None if current.get("deleted") is True else current


def dig(found: Any, path: str) -> Any:
    """The value at a path with dots, None where there is none."""
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


async def complete_list(source: Source, cut: Json) -> bool:
    """Completes a list object in place. False where it stays cut, since what it belongs to is gone or it has
    no end in sight; a log line then says so."""
    url = urlsplit(str(cut.get("url", "")))
    if url.scheme or url.netloc or not _PATH.fullmatch(url.path):
        source.log.warning("a list inside an object has no usable url and stays cut", {"url": cut.get("url")})
        return False
    whole: list[Json] = []
    try:
        async for page in read_pages(source, url.path, parse_qsl(url.query)):
            whole += page
            if len(whole) >= MAX_NESTED:
                source.log.warning(
                    "a list inside an object is too long to be completed",
                    {"url": url.path, "objects": len(whole)},
                )
                break
    except StripeError as error:
        if not OBJECT_GONE.matches(error):
            raise
        source.log.info("a list inside an object stays cut: the object is gone by now", {"url": url.path})
        return False
    cut["data"], cut["has_more"] = whole, len(whole) >= MAX_NESTED
    return not cut["has_more"]


async def _complete(source: Source, found: Json, path: str) -> None:
    cut = dig(found, path)
    if isinstance(cut, dict) and cut.get("has_more") is True:
        await complete_list(source, cut)
