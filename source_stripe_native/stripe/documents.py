"""From an object as Stripe sent it to a document: whole, in one shape, stamped with operation and account.

Rule: a list inside an object that Stripe cut (`has_more: true`) and that the row names is completed from the
list's own `url`, in backfills and after changes alike.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from source_stripe_native.errors import OBJECT_GONE, StripeError
from source_stripe_native.streams.redacted import redact
from source_stripe_native.streams.row import Document, Embedding, Op, segment
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.expansions import PARAM, keyed_paths, may_have, missing_owners, object_params
from source_stripe_native.stripe.pages import (
    Source,
    checked,
    notice,
    of_today,
    read_pages,
    refusals_noticed,
)

_SEGMENT: Final = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]+", re.ASCII)
"""A segment of a path that stays below it: no dot segment, which would lead out, and without escapes."""

EMPTY: Final[dict[str, Json]] = {"items": {"data": []}, "list_items": {"data": [], "has_more": False}}
"""Required lists of a document, with nothing in them."""


async def to_document(source: Source, obj: Json, op: Op) -> Document:
    """`obj` made a document, in place. Raises ConnectorError where the object cannot be captured."""
    checked(source, "an event, an answer or a list inside an object", [obj])
    # Nothing more can be read of an object that is gone, and nothing of it is kept.
    if op != "d":
        for cut in cut_lists(source, obj):
            await complete_list(source, cut, obj)
        await _complete_fields(source, obj)
    return stamp(source, obj, op)


def is_whole(source: Source, obj: Json) -> bool:
    """Whether the object is a document as it is: nothing in it is cut or missing."""
    stream = source.stream
    return not (
        cut_lists(source, obj)
        or (stream.EXPANSIONS and (keyed_paths(obj, stream) or any(missing_owners(obj, stream))))
        or _lacks_included(source, obj)
    )


def _lacks_included(source: Source, obj: Json) -> bool:
    """Whether a list has shown the object, which could not be asked for what is to be included."""
    fields = () if source.stream.LISTS_INCLUDED else source.stream.INCLUDES
    return bool(fields) and all(get_path(obj, path) is None for path in fields)


def lacks_fields(source: Source, obj: Json) -> bool:
    """Whether a request may add fields of the row's expansions to an object that an event shows. What Stripe
    refuses to expand is no reason for a request."""
    path = source.stream.object_path(obj)
    wanted = (row.path.partition(".*.")[0] for row in source.stream.EXPANSIONS if may_have(obj, row))
    return path is not None and any(
        source.refused.kept(source.connected_account_id, path, [(PARAM, field)]) for field in wanted
    )


async def _complete_fields(source: Source, obj: Json) -> None:
    """Reads the fields that no list can be asked for, in place."""
    stream = source.stream
    if keys := keyed_paths(obj, stream):
        current = await retrieve(source, obj, [(PARAM, path) for path in keys])
        for top in {path.partition(".")[0] for path in keys}:
            if current is not None and top in current:
                obj[top] = current[top]
    if _lacks_included(source, obj):
        try:
            with refusals_noticed(source, "Stripe refuses to show an object by itself", {"id": obj["id"]}):
                obj.update(await retrieve(source, obj) or {})
        except Exception as error:
            if not await source.postpones(f"OBJECT::{obj['id']}", error):
                raise
    for owner, path, names in missing_owners(obj, stream):
        params = [(PARAM, name) for name in names]
        current = await source.look_up(f"/v1/{path}/{segment(owner['id'])}", params)
        owner.update({name: current[name] for name in names if name in current})


def cut_lists(source: Source, obj: Json) -> list[Json]:
    """The lists inside the object that Stripe cut."""
    lists = (get_path(obj, path) for path in source.stream.NESTED)
    return [inside for inside in lists if isinstance(inside, dict) and inside.get("has_more") is True]


def stamp(source: Source, obj: Json, op: Op) -> Document:
    """`obj`, of which nothing is cut, made a document, in place."""
    stream = source.stream
    redact(obj)
    if stream.CREATED not in ("created", "") and stream.CREATED in obj:
        obj.setdefault("created", obj[stream.CREATED])
    if stream.EMBEDDINGS and (named := named_container(source, obj)):
        obj.setdefault("found_in", {"object": named[0].named_by, "id": named[1]})
    obj["_meta"] = {"op": op}
    obj["account_id"] = source.account_id
    return obj


def named_container(source: Source, obj: Json) -> tuple[Embedding, str] | None:
    """The embedding and the id of the container that the object names, None where it names none."""
    for embedding in source.stream.EMBEDDINGS.values():
        container_id = obj.get(embedding.named_by)
        if isinstance(container_id, str) and container_id:
            return embedding, container_id
    return None


def to_tombstone(source: Source, obj: Json, op: Op, created: int) -> Document:
    """`obj`, an object that is gone, or that only its event shows, made a document, in place. An event may
    carry as little as its id: what the collection's schema requires and the object lacks is filled in, times
    with `created`, the event's."""
    document = stamp(source, obj, op)
    for name, field in source.stream.model_fields.items():
        if field.is_required() and name not in document:
            document[name] = created if field.annotation is int else EMPTY.get(name, "")
    return document


async def retrieve(
    source: Source, obj: Json, params: Params | None = None, path: str | None = None
) -> Json | None:
    """The object as it is now and in the pinned version, with the row's expansions or those of `params`.
    `obj` itself where it lacks a field that its endpoint is made of and no `path` is given, None where Stripe
    no longer has it."""
    path = path or source.stream.object_path(obj)
    if path is None:
        return obj
    try:
        current = await source.get(path, object_params(source.stream) if params is None else params)
    except StripeError as error:
        if OBJECT_GONE.matches(error):
            return None
        raise
    if source.stream.SINGLE:
        return of_today(source, current)
    return None if current.get("deleted") is True else current


def get_path(value: Any, path: str) -> Any:
    """The value at a path with dots, None where there is none."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def list_request(url: str, owner_id: str, api: str = "/v1/") -> tuple[str, Params] | None:
    """The path and the parameters of the `url` of an object, or of a list that belongs to one, None where it
    does not stay below `api`. The url has the object's id, `owner_id`, as it is or escaped: no other segment
    has an escape."""
    escaped = segment(owner_id)
    if url.endswith(f"={owner_id}"):
        url = f"{url.removesuffix(owner_id)}{escaped}"
    elif f"/{escaped}/" not in url:
        # The id may have a slash or a question mark. Behind it are names of Stripe's only.
        before, found, after = url.rpartition(f"/{owner_id}/")
        url = f"{before}/{escaped}/{after}" if found else url
    path, _, query = url.partition("?")
    if not path.startswith(api):
        return None
    names = [escaped if unquote(name) == owner_id else name for name in path.split("/")[2:]]
    if not all(name == escaped or _SEGMENT.fullmatch(name) for name in names):
        return None
    return api + "/".join(names), parse_qsl(query)


async def complete_list(source: Source, cut: Json, owner: Json, expand: Params = ()) -> None:
    """Completes a list object inside `owner`, in place, with the expansions of `expand`. The list stays cut
    where its object is gone, or where it has more than `Settings.max_nested` objects; a log line then says
    so."""
    request = list_request(str(cut.get("url")), str(owner["id"]))
    if request is None:
        source.log.warning("a list inside an object has no usable url and stays cut", {"url": cut.get("url")})
        return
    path, params = request
    whole, is_cut = list[Json](), False
    try:
        async for page in read_pages(source, path, [*params, *expand]):
            whole += page.objects
            is_cut = page.next is not None
            if len(whole) >= source.settings.max_nested:
                break
    except StripeError as error:
        # What an account refuses of itself is no reason to read no other account.
        is_an_accounts = source.stream.ARE_ACCOUNTS and source.is_refused(error)
        if not (is_an_accounts or OBJECT_GONE.matches(error)):
            raise
        about = {"url": path, "error": error.answer}
        notice(source, "a list inside an object stays cut: the object is gone or barred by now", about)
        return
    if is_cut:
        size = {"url": path, "objects": len(whole)}
        source.log.warning("a list inside an object is too long to be completed", size)
    cut["data"], cut["has_more"] = whole, is_cut
