"""Event types that an older API version names differently.

An event has the name, and the shape, of the version in force when it was made: the account's default version,
whatever version the connector pins. The rows of the catalogue know today's names.

Source: Stripe's API changelog, and "Transfer Payout Split". What a connector must know of a change is here;
other breaking changes are of an event's object, which is read again wherever its version is another one.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_TO_BANK: Final = frozenset({"bank_account", "card"})
"""The `type` of a transfer that is called a payout today."""


@dataclass(frozen=True)
class Renamed:
    """Before version `until`, an event of type `now` was one of type `was`; where `of` is given, one about an
    object with such a `type`."""

    was: str
    now: str
    until: str
    of: frozenset[str] = frozenset()

    def applies(self, event: Mapping[str, Any]) -> bool:
        found = (event.get("data") or {}).get("object") or {}
        is_about = not self.of or found.get("type") in self.of
        return (event.get("api_version") or "") < self.until and is_about


RENAMED: Final = (
    Renamed(
        "payment_method.card_automatically_updated", "payment_method.automatically_updated", "2020-08-27"
    ),
    *(
        Renamed(f"transfer.{was}", f"payout.{now}", "2017-04-06", _TO_BANK)
        for was, now in (
            ("created", "created"),
            ("updated", "updated"),
            ("paid", "paid"),
            ("failed", "failed"),
            ("reversed", "canceled"),
            ("canceled", "canceled"),
        )
    ),
    # Transfers between accounts had a status too.
    Renamed("transfer.paid", "transfer.updated", "2017-04-06"),
    Renamed("transfer.failed", "transfer.updated", "2017-04-06"),
    *(
        Renamed(f"customer.{kind}.{change}", f"customer.source.{change}", "2015-02-18")
        for kind in ("card", "bank_account")
        for change in ("created", "updated", "deleted")
    ),
    Renamed("transfer.canceled", "transfer.reversed", "2015-02-16"),
)
"""The first that applies to an event counts."""

_BY_NAME: Final[Mapping[str, tuple[Renamed, ...]]] = {
    renamed.was: tuple(other for other in RENAMED if other.was == renamed.was) for renamed in RENAMED
}


def current_type(event: Mapping[str, Any]) -> str:
    """The event's type by today's name."""
    name: str = event["type"]
    return next((each.now for each in _BY_NAME.get(name, ()) if each.applies(event)), name)


def with_older_names(types: Collection[str]) -> Iterator[str]:
    """These event types, and all that older versions call them."""
    yield from dict.fromkeys((*types, *(each.was for each in RENAMED if each.now in types)))
