"""How /v2/ is asked and answers, where the rest of the local Stripe speaks as /v1/ does.

A list has the address of its next page in the place of `has_more`. Times are text. Fields are included, not
expanded, and null where they are not. An event names its object in the place of carrying it. Pure.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import orjson

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Kind, merge
from sandbox.stripe.table import Key

PATH = "/v2/"
PAGING = frozenset(("expand", "limit", "page"))
Query = Sequence[tuple[str, str]]


def asked(query: Query, *, listed: bool) -> Iterator[tuple[str, str]]:
    """A query as /v1/ would have it. That of a page is in its token."""
    for name, value in query:
        if name == "page":
            yield from ((str(name), str(value)) for name, value in _token(value))
        elif name.startswith("created["):
            yield name, str(_second(value, name))
        elif name.startswith("include["):
            yield "expand[]", f"data.{value}" if listed else value
        else:
            yield name, value


def _token(text: str) -> list[list[str]]:
    try:
        token: list[list[str]] = orjson.loads(urlsafe_b64decode(text.removeprefix("page_")))
        return token
    except ValueError:
        raise StripeError(400, f"Invalid page: {text}", param="page") from None


def _second(text: str, param: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise StripeError(400, f"Invalid timestamp: {text}", param=param) from None


def shown(row: Kind, found: Json) -> Json:
    """An object as /v2/ has it."""
    absent: Json = {}
    for path in row.includes:
        part, (*way, last) = absent, path.split(".")
        for name in way:
            part = part.setdefault(name, {})
        part[last] = None
    created = f"{datetime.fromtimestamp(found['created'], tz=UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    shown: Json = merge(absent, found) | {"created": created}
    return shown


def page(path: str, query: Query, bodies: Sequence[bytes], last: Key | None) -> bytes:
    """A page of a list; `last` is where the next one goes on, None on the last page."""
    address = None
    if last is not None:
        rest = [(name, value) for name, value in query if name != "page"]
        token = urlsafe_b64encode(orjson.dumps([*rest, ("page", ",".join(map(str, last)))])).decode()
        address = f"{path}?page=page_{token}"
    paging = orjson.dumps({"next_page_url": address, "previous_page_url": None})
    return b'{"data":[%b],%b' % (b",".join(bodies), paging[1:])


def key_of(text: str) -> Key:
    """Where a page goes on."""
    created, place = map(int, text.split(","))
    return created, place


def in_its_words(error: StripeError) -> StripeError:
    """An error of /v1/ as /v2/ has it."""
    return errors.not_found() if error.code == "resource_missing" and error.status == 404 else error


def thin(event: Json, path: str) -> Json:
    """An event of /v1/ as a thin one. `path` is that of the list which has its object, which has no id where
    the event is about none."""
    found, related = event["data"]["object"] or {}, None
    if "id" in found:
        url = f"{path.replace('{account}', str(found.get('account')))}/{found['id']}"
        related = {"id": found["id"], "type": found["object"], "url": url}
    kept = {name: event[name] for name in ("id", "created", "livemode", "type")}
    return kept | {"object": "v2.core.event", "context": None, "reason": None, "related_object": related}
