"""What field templates are made of: functions that take the draft and give a field's value."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe.kind import ALPHABET, Draft

Field = Callable[[Draft], Any]

DAY = 24 * 3600
MONTH = 30 * DAY


def now(draft: Draft) -> int:
    return draft.now


def account(draft: Draft) -> str:
    return draft.account


def livemode(draft: Draft) -> bool:
    return draft.livemode


def later(seconds: int) -> Field:
    return lambda draft: draft.now + seconds


def ref(kind: str) -> Field:
    """The id of an object of another kind in the same account."""
    return lambda draft: draft.find(kind)


def whole(kind: str) -> Field:
    """The whole of an object of another kind in the same account."""
    return lambda draft: draft.show(kind, draft.find(kind))


def one_of(*choices: Any) -> Field:
    return lambda draft: draft.rng.choice(choices)


def number(low: int, high: int) -> Field:
    return lambda draft: draft.rng.randint(low, high)


def digits(count: int) -> Field:
    return lambda draft: "".join(draft.rng.choices("0123456789", k=count))


def text(pattern: str) -> Field:
    """`pattern` with each `?` replaced by a random letter or digit."""
    return lambda draft: "".join(draft.rng.choice(ALPHABET) if c == "?" else c for c in pattern)


def words(pattern: str) -> Field:
    """`pattern` formatted with the fields before it: `{name}`."""
    return lambda draft: pattern.format_map(draft.built)


def same(field: str) -> Field:
    """The value of a field before it."""
    return lambda draft: draft.built[field]


def empty_list(url: str) -> dict[str, Any]:
    """A list object without children; `url` is formatted with the object's id."""
    return {"object": "list", "data": [], "has_more": False, "url": words(url)}


def nulls(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


ADDRESS = nulls("city", "country", "line1", "line2", "postal_code", "state")
BILLING = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
MERCHANT = {
    "category": "bakeries",
    "category_code": "5462",
    "city": "Paris",
    "country": "FR",
    "name": "Boulangerie",
    "network_id": digits(12),
    "postal_code": None,
    "state": None,
    "tax_id": None,
    "terminal_id": None,
    "url": None,
}
