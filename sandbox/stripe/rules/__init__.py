"""What a POST or a DELETE does. A path that has no rule does what `defaults` says.

A rule is a function of a module here. It is found by its name: the verb, then the kind of the object that is
written. `create`, `update` and `delete` are verbs, too; others are what follows an id in the path.
"""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.stripe.rules import (
    billing,
    checkout,
    customers,
    endpoints,
    invoices,
    payments,
    products,
    selling,
)
from sandbox.stripe.rules.act import Act, Rule, Write
from sandbox.stripe.rules.defaults import DEFAULTS, verb

__all__ = ["DEFAULTS", "UNDOCUMENTED", "Act", "Rule", "Write", "rule_of", "verb"]

_ROOMS: Final = (billing, checkout, customers, endpoints, invoices, payments, products, selling)


def rule_of(verb: str, kind: str) -> Rule | None:
    name = f"{verb}_{kind.replace('.', '_')}"
    found: Rule | None = next((vars(each)[name] for each in _ROOMS if name in vars(each)), None)
    return found


UNDOCUMENTED: Final[Mapping[str, Any]] = {
    "GET /v1/payment_pages/{checkout.session}": {},
    "POST /v1/issuing/cards/{issuing.card}/test/authorizations": {
        "authorization_method": "string",
        "held_amount": "integer",
        "held_currency": "string",
    },
    "POST /v1/payment_pages/{checkout.session}/confirm": {
        "expected_amount": "integer",
        "payment_method!": "string",
    },
}
"""The forms of paths that Stripe's document lacks and its command line uses. A name in braces is a kind."""
