"""From an object as Stripe sent it to a document: whole, in one shape, stamped with operation and account.

Rule: a list inside an object that Stripe cut (`has_more: true`) and that the row names is completed from the
list's own `url`, in backfills and after changes alike.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from source_stripe_native.errors import OBJECT_GONE, StripeError, is_refusal
from source_stripe_native.streams.row import Document, Op
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.pages import Source, read_pages

_PATH: Final = re.compile(r"/v1(/(?!\.\.?(/|$))[A-Za-z0-9_.-]+)+")
"""A path below /v1/ that stays there: without dot segments, which would lead out, and without escapes."""

EMPTY: Final[dict[str, Json]] = {"items": {"data": []}, "list_items": {"data": [], "has_more": False}}
"""Required lists of a document, with nothing in them."""

_FIELD: Final = re.compile(r"{(\w+)}")


async def to_document(source: Source, found: Json, op: Op) -> Document:
    """`found` made a document, in place."""
    # Nothing more can be read of an object that is gone, and nothing of it is kept.
    if op != "d":
        for cut in cut_lists(source, found):
            await complete_list(source, cut)
    return stamp(source, found, op)


def cut_lists(source: Source, found: Json) -> list[Json]:
    """The lists inside the object that Stripe cut."""
    cut = []
    for path in source.stream.NESTED:
        inside = get_path(found, path) if "." in path else found.get(path)
        if isinstance(inside, dict) and inside.get("has_more") is True:
            cut.append(inside)
    return cut


def stamp(source: Source, found: Json, op: Op) -> Document:
    """`found`, of which nothing is cut, made a document, in place."""
    stream = source.stream
    if stream.CREATED not in ("created", "") and stream.CREATED in found:
        found.setdefault("created", found[stream.CREATED])
    found["_meta"] = {"op": op}
    found["account_id"] = source.account_id
    return found


def to_tombstone(source: Source, found: Json, op: Op, created: int) -> Document:
    """`found`, an object that is gone, made a document, in place. An event may carry as little as its id:
    what the collection's schema requires and the object lacks is filled in, times with `created`, the
    event's."""
    for name, field in source.stream.model_fields.items():
        if field.is_required() and name not in found:
            found[name] = created if field.annotation is int else EMPTY.get(name, "")
    return stamp(source, found, op)


async def retrieve(source: Source, found: Json) -> Json | None:
    """The object as it is now and in the pinned version: `found` itself where it lacks a field that its
    endpoint is made of, None where Stripe no longer has it."""
    template = f"/v1/{source.stream.RETRIEVE.replace('{SEARCH_NAME}', source.stream.SEARCH_NAME)}"
    fields = {name: quote(str(found.get(name) or ""), safe="") for name in _FIELD.findall(template)}
    if not all(fields.values()):
        return found
    try:
        current = await source.get(template.format_map(fields))
    except StripeError as error:
        if OBJECT_GONE.matches(error):
            return None
        raise
    return None if current.get("deleted") is True else current


def get_path(found: Any, path: str) -> Any:
    """The value at a path with dots, None where there is none."""
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


async def complete_list(source: Source, cut: Json) -> None:
    """Completes a list object in place. The list stays cut where its object is gone, or where it has more
    than `Settings.max_nested` objects; a log line then says so."""
    path, _, query = str(cut.get("url")).partition("?")
    if not _PATH.fullmatch(path):
        source.log.warning("a list inside an object has no usable url and stays cut", {"url": cut.get("url")})
        return
    whole: list[Json] = []
    is_cut = False
    try:
        async for page in read_pages(source, path, parse_qsl(query)):
            whole += page.objects
            is_cut = page.next is not None
            if len(whole) >= source.settings.max_nested:
                break
    except StripeError as error:
        # What an account refuses of itself is no reason to read no other account.
        is_an_accounts = not source.stream.PER_ACCOUNT and is_refusal(error)
        if not (is_an_accounts or OBJECT_GONE.matches(error)):
            raise
        about = {"url": path, "error": str(error)}
        source.log.info("a list inside an object stays cut: the object is gone or barred by now", about)
        return
    if is_cut:
        size = {"url": path, "objects": len(whole)}
        source.log.warning("a list inside an object is too long to be completed", size)
    cut["data"], cut["has_more"] = whole, is_cut
