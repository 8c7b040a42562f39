"""Secrets are redacted: no document has one. Whoever knows such a secret may act with it.

Rule: an object's secrets stand in few places, which follow from its `object`. Only these places are looked
at, so that it costs next to nothing: in the object itself, and in objects that it shows unasked.

Limits: the places are those of the newest facts about Stripe, and of older API versions as far as they are
known. A test compares them with every field of these facts whose name or description is that of a secret.
"""

from collections.abc import Mapping
from typing import Any, Final

SECRET: Final = "secret"
"""The place of a secret: the field is left out."""
LINKS: Final = "links"
"""The place of links for a customer. Each text that has a client secret in it is left out."""

PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    "apps.install": {"auth_code": SECRET},
    "apps.secret": {"payload": SECRET},
    "billing_portal.session": {"url": SECRET},
    "charge": {"source": "source"},
    "confirmation_token": {"payment_method_options": "confirmation options"},
    "customer": {"default_source": "source", "sources": "source"},
    "ephemeral_key": {"secret": SECRET},
    "identity.verification_session": {"url": SECRET},
    "invoice": {"confirmation_secret": SECRET, "last_finalization_error": "error"},
    "issuing.authorization": {"card": "issuing.card"},
    "issuing.card": {"cvc": SECRET, "number": SECRET},
    # Until 2022-11-15 a payment intent showed its charges.
    "payment_intent": {"charges": "charge", "last_payment_error": "error", "next_action": LINKS},
    "setup_attempt": {"setup_error": "error"},
    "setup_intent": {"last_setup_error": "error", "next_action": LINKS},
    "source": {"klarna": "klarna", "redirect": LINKS},
    "source_mandate_notification": {"source": "source"},
    "terminal.configuration": {"reader_security": "reader security", "wifi": "wifi"},
    "terminal.connection_token": {"secret": SECRET},
    "terminal.reader": {"action": "action"},
    "three_d_secure.authentication": {
        "challenge_url": SECRET,
        "fingerprinting_url": SECRET,
        "outcome_details": "outcome",
    },
    "topup": {"source": "source"},
    "treasury.transaction": {"entries": "treasury.transaction_entry", "flow_details": "flow"},
    "treasury.transaction_entry": {"flow_details": "flow"},
    "v2.commerce.product_catalog_import": {"status_details": "import details"},
    "v2.core.event_destination": {"webhook_endpoint": "endpoint"},
    "webhook_endpoint": {"secret": SECRET},
    # Parts of these objects.
    "action": {"api_error": "error"},
    "card options": {"cvc_token": SECRET},
    "confirmation options": {"card": "card options"},
    "endpoint": {"signing_secret": SECRET},
    "error": {"payment_intent": "payment_intent", "setup_intent": "setup_intent", "source": "source"},
    "error file": {"download_url": SECRET},
    "flow": {"issuing_authorization": "issuing.authorization"},
    "import details": {"awaiting_upload": "upload", "succeeded_with_errors": "import errors"},
    "import errors": {"error_file": "error file"},
    "klarna": {"client_token": SECRET},
    "network": {"password": SECRET, "private_key_file_password": SECRET},
    # The messages of the card's issuer have the cryptogram too.
    "outcome": {"ares": SECRET, "cryptogram": SECRET, "rreq": SECRET},
    "reader security": {"admin_menu_passcode": SECRET},
    "upload": {"upload_url": SECRET},
    "wifi": {"enterprise_eap_peap": "network", "enterprise_eap_tls": "network", "personal_psk": "network"},
}
"""The fields that have a secret, and those with objects or parts that have one. The keys are what objects
call themselves, and the names of parts. A `client_secret` is left out of every object."""

NOWHERE: Final[Mapping[str, str]] = {}


def redact(found: dict[str, Any]) -> None:
    """Remove the secrets from an object as Stripe sent it, or from an event's object, in place."""
    kind = found.get("object")
    if kind != "event":
        _redact(found, _places(kind))
        return
    data = found.get("data")
    shown = data.get("object") if isinstance(data, dict) else None
    if isinstance(data, dict) and isinstance(shown, dict):
        # What an object had before has the same places, without saying what it is.
        places = _places(shown.get("object"))
        for each in (shown, data.get("previous_attributes")):
            if isinstance(each, dict):
                _redact(each, places)


def _places(kind: object) -> Mapping[str, str]:
    return PLACES.get(kind, NOWHERE) if isinstance(kind, str) else NOWHERE


def _redact(found: dict[str, Any], places: Mapping[str, str]) -> None:
    found.pop("client_secret", None)
    for name, place in places.items():
        if place == SECRET:
            found.pop(name, None)
        elif (inside := found.get(name)) and place == LINKS:
            _redact_links(inside)
        elif inside:
            for each in _objects(inside):
                _redact(each, PLACES[place])


def _objects(inside: Any) -> list[dict[str, Any]]:
    """The objects at a place: one, those of a list, or those on the page of a list object."""
    if isinstance(inside, dict):
        inside = page if isinstance(page := inside.get("data"), list) else [inside]
    return [each for each in inside if isinstance(each, dict)] if isinstance(inside, list) else []


def _redact_links(inside: Any) -> None:
    if isinstance(inside, dict):
        for name, each in list(inside.items()):
            if isinstance(each, str) and "_secret" in each:
                del inside[name]
            else:
                _redact_links(each)
    elif isinstance(inside, list):
        inside[:] = [each for each in inside if not (isinstance(each, str) and "_secret" in each)]
        for each in inside:
            _redact_links(each)
