"""Bodies of a 200 that a reader does not expect, each made of the true body.

Some are not JSON at all, some are JSON that strict readers refuse, some have the form of a list and lack what
a list has. They are made of bytes, as no JSON library would write them.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

_TEXTS: Final = ("name", "description", "nickname", "email", "filename", "value", "type", "object")
"""Where an object may have free text, the freest first."""
_MARK: Final = b"the-odd-text"


def _first(body: bytes) -> tuple[Any, Any]:
    """The whole answer and the object in it that is made odd: a list's first, or the whole."""
    whole = orjson.loads(body)
    found = whole
    if isinstance(whole.get("data"), list):
        found = whole["data"][0] if whole["data"] else None
    return whole, found


def _text(odd: bytes) -> Callable[[bytes], bytes]:
    """A body in which one string of the first object is `odd`, as it stands between the quotes."""

    def make(body: bytes) -> bytes:
        whole, found = _first(body)
        if found is None:
            return body
        inner = found["data"]["object"] if found.get("object") == "event" else found
        field = next(name for name in _TEXTS if isinstance(inner.get(name), str))
        inner[field] = _MARK.decode()
        return orjson.dumps(whole).replace(_MARK, odd)

    return make


def _empty(body: bytes) -> bytes:
    whole = orjson.loads(body)
    if "has_more" not in whole:  # no list, or one of /v2/, of which a page may be empty and go on
        return body
    return orjson.dumps(whole | {"data": [], "has_more": True})


def _without_id(body: bytes) -> bytes:
    whole, found = _first(body)
    if found is not None:
        found.pop("id", None)
    return orjson.dumps(whole)


def _html(_body: bytes) -> bytes:
    return b"<!doctype html><html><body>Please sign in to the network</body></html>"


def _event(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """A body whose first event has another `data.object`."""

    def make(body: bytes) -> bytes:
        whole, found = _first(body)
        if found is not None and found.get("object") == "event":
            found["data"]["object"] = change(found["data"]["object"])
        return orjson.dumps(whole)

    return make


ODD: Final[dict[str, Callable[[bytes], bytes]]] = {
    "surrogate": _text(b"Zo\\ud83d"),
    "bytes": _text(b"Zo\xff\xfe"),
    "empty": _empty,
    "no id": _without_id,
    "html": _html,
    "event of null": _event(lambda _found: None),
    "event without id": _event(lambda found: {key: value for key, value in found.items() if key != "id"}),
}
"""By name: half of a surrogate pair as an escape; bytes that are no UTF-8; a page without objects that has
more; a first object without its id; a page of a proxy; a first event whose object is null, or has no id."""
