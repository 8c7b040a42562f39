"""Stripe's test cards: their numbers, tokens and payment methods, and what follows from a payment with them.

Source: Stripe's page "Testing use cases".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json
from sandbox.stripe.rules.act import Act


@dataclass(frozen=True)
class Card:
    """`declines` is the decline code of a payment, `code` the error's. `verified`: the card is declined when
    it is saved, too. `asks`: a payment needs the customer's confirmation. `disputed` is the reason of the
    dispute that a payment leads to, `inquired` makes that an inquiry; `warned` is the type of its early fraud
    warning; `refunds` is the status that its refunds get; what it pays is available `at_once`."""

    number: str
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    declines: str = ""
    code: str = "card_declined"
    verified: bool = True
    asks: bool = False
    disputed: str = ""
    inquired: bool = False
    warned: str = ""
    refunds: str = "succeeded"
    at_once: bool = False

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.number.encode()).hexdigest()[:16]

    @property
    def shown(self) -> Json:
        """What a payment method, a source or a charge shows of it."""
        known: Json = {"brand": self.brand, "country": self.country, "fingerprint": self.fingerprint}
        return known | {"funding": self.funding, "last4": self.number[-4:]}


_VISA: Final = "4242424242424242"
CARDS: Final[Mapping[str, Card]] = {
    "visa": Card(_VISA),
    "visa_debit": Card("4000056655665556", funding="debit"),
    "mastercard": Card("5555555555554444", "mastercard"),
    "mastercard_debit": Card("5200828282828210", "mastercard", funding="debit"),
    "mastercard_prepaid": Card("5105105105105100", "mastercard", funding="prepaid"),
    "amex": Card("378282246310005", "amex"),
    "discover": Card("6011111111111117", "discover"),
    "diners": Card("3056930009020004", "diners"),
    "jcb": Card("3566002020360505", "jcb", "JP"),
    "unionpay": Card("6200000000000005", "unionpay", "CN"),
    "us": Card(_VISA),
    "br": Card("4000000760000002", country="BR"),
    "ca": Card("4000001240000000", country="CA"),
    "mx": Card("4000004840008001", country="MX"),
    "at": Card("4000000400000008", country="AT"),
    "de": Card("4000002760000016", country="DE"),
    "fr": Card("4000002500000003", country="FR"),
    "gb": Card("4000008260000000", country="GB"),
    "jp": Card("4000003920000003", country="JP"),
    "au": Card("4000000360000006", country="AU"),
    "in": Card("4000003560000008", country="IN"),
    "sg": Card("4000007020000003", country="SG"),
    "bypassPending": Card("4000000000000077", at_once=True),
    "bypassPendingInternational": Card("4000003720000278", country="IE", at_once=True),
    "chargeDeclined": Card("4000000000000002", declines="generic_decline"),
    "visa_chargeDeclined": Card("4000000000000002", declines="generic_decline"),
    "chargeDeclinedInsufficientFunds": Card("4000000000009995", declines="insufficient_funds"),
    "visa_chargeDeclinedInsufficientFunds": Card("4000000000009995", declines="insufficient_funds"),
    "visa_chargeDeclinedLostCard": Card("4000000000009987", declines="lost_card"),
    "visa_chargeDeclinedStolenCard": Card("4000000000009979", declines="stolen_card"),
    "visa_chargeDeclinedVelocityLimitExceeded": Card("4000000000006975", declines="card_velocity_exceeded"),
    "chargeDeclinedExpiredCard": Card("4000000000000069", declines="expired_card", code="expired_card"),
    "chargeDeclinedIncorrectCvc": Card("4000000000000127", declines="incorrect_cvc", code="incorrect_cvc"),
    "chargeDeclinedProcessingError": Card(
        "4000000000000119", declines="processing_error", code="processing_error"
    ),
    "chargeDeclinedFraudulent": Card("4100000000000019", declines="fraudulent"),
    "chargeCustomerFail": Card("4000000000000341", declines="generic_decline", verified=False),
    "radarBlock": Card("4100000000000019", declines="fraudulent"),
    "createDispute": Card("4000000000000259", disputed="fraudulent"),
    "createDisputeProductNotReceived": Card("4000000000002685", disputed="product_not_received"),
    "createDisputeInquiry": Card("4000000000001976", disputed="fraudulent", inquired=True),
    "createIssuerFraudRecord": Card("4000000000005423", warned="made_with_stolen_card"),
    "pendingRefund": Card("4000000000007726", refunds="pending"),
    "refundFail": Card("4000000000005126", refunds="failed"),
    "authenticationRequired": Card("4000002760003184", country="DE", asks=True),
    "authenticationRequiredOnSetup": Card("4000002500003155", country="FR", asks=True),
    "threeDSecure2Required": Card("4000000000003220", asks=True),
    "threeDSecureRequired": Card("4000000000003063", asks=True),
}
"""By what follows `pm_card_` and `tok_` in the names of payment methods and tokens."""
BY_NUMBER: Final = {card.number: card for card in CARDS.values()}
_BY_FINGERPRINT: Final = {card.fingerprint: card for card in CARDS.values()}
_BRANDS: Final = {"amex": "American Express", "mastercard": "MasterCard"}
_MESSAGES: Final = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}


def card_of(method: Mapping[str, Any] | None) -> Card:
    """The test card behind a payment method or a card; one that pays for whatever else there is."""
    data = (method or {}).get("card") or method or {}
    return _BY_FINGERPRINT.get(data.get("fingerprint", ""), CARDS["visa"])


def named(name: str) -> Card | None:
    """The card of a test token or a test payment method."""
    for start in ("pm_card_", "tok_"):
        if name.startswith(start):
            return CARDS.get(name.removeprefix(start))
    return None


def declined(card: Card, **more: Any) -> StripeError:
    message = _MESSAGES.get(card.declines, "Your card was declined.")
    return errors.card_declined(card.declines, message, card.code, **more)


def verify(card: Card) -> None:
    """Raises StripeError for a card that cannot be saved."""
    if card.declines and card.verified:
        raise declined(card)


def make_method(act: Act, card: Card, /, **fields: Any) -> Json:
    """A payment method with a card. A new one has no event."""
    shown = card.shown | {"display_brand": card.brand}
    told = {"event": False} if fields.get("customer") is None else {}
    shown |= fields.pop("card", {})
    return act.make("payment_method", **{"customer": None, "card": shown} | told | fields)


def make_source(act: Act, card: Card, customer: str, **fields: Any) -> Json:
    """A card as customers had them before payment methods."""
    verify(card)
    shown = card.shown | {"brand": _BRANDS.get(card.brand, card.brand.title())}
    return act.make("card", customer=customer, **shown, **fields)


def as_method(act: Act, name: str) -> str:
    """The id of a payment method: a new one for the name of a test card's."""
    card = named(name) if name.startswith("pm_card_") else None
    return name if card is None else str(make_method(act, card)["id"])
