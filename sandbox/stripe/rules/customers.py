"""Customers: what they pay with, their discounts and tax ids."""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.stripe import errors
from sandbox.stripe.filters import Json
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.rules import cards
from sandbox.stripe.rules.act import Act, Write
from sandbox.stripe.rules.payments import card_expiry

_SHOWN: Final = (
    *("account_holder_name", "account_holder_type", "account_type", "country", "currency", "exp_month"),
    *("exp_year", "name", "routing_number"),
)
"""What an external account shows of its description."""


def create_customer(write: Write) -> Json:
    """Raises StripeError for a card that cannot be saved, before there is a customer."""
    act, given = write.act, write.given
    for name in ("source", "payment_method"):
        _check(act, given.get(name))
    made = act.under(given.get("test_clock")).make("customer", **write.fields)
    _join(act, made["id"], given)
    for each in given.get("tax_id_data") or ():
        act.make("tax_id", customer=made["id"], **each)
    return act.get("customer", made["id"])


def update_customer(write: Write) -> Json:
    write.act.change("customer", write.id, **write.fields)
    _join(write.act, write.id, write.given)
    return write.old


def _check(act: Act, id: str | None) -> None:
    if id and (card := cards.named(id)):
        cards.verify(card)
    elif id and id.startswith("pm_"):
        cards.verify(cards.card_of(act.get("payment_method", id)))


def _join(act: Act, id: str, given: Mapping[str, Any]) -> None:
    """What a customer pays with from now on."""
    if source := given.get("source"):
        made = _add(act, id, {"source": source})
        act.change("customer", id, default_source=made["id"])
    settings = given.get("invoice_settings") or {}
    for method in (given.get("payment_method"), settings.get("default_payment_method")):
        if method and act.get("payment_method", method)["customer"] is None:
            act.change("payment_method", method, customer=id)


def create_card(write: Write) -> Json:
    customer = write.parent or ""
    made = _add(write.act, customer, write.given)
    if write.act.get("customer", customer)["default_source"] is None:
        write.act.change("customer", customer, default_source=made["id"])
    return made


def _add(act: Act, customer: str, given: Mapping[str, Any]) -> Json:
    described = given.get("source") or given.get("card") or given.get("bank_account") or ""
    metadata: Json = {"metadata": given["metadata"]} if given.get("metadata") else {}
    if isinstance(described, dict):
        if "account_number" in described:
            fields = {
                name: each for name, each in described.items() if name not in ("account_number", "object")
            }
            return act.make(
                "bank_account", customer=customer, last4=described["account_number"][-4:], **fields
            )
        card = cards.BY_NUMBER.get(described.get("number") or "", cards.CARDS["visa"])
        return cards.make_source(act, card, customer, **card_expiry(described), **metadata)
    if described.startswith("btok_"):
        return act.make(
            "bank_account", customer=customer, status="verified" if "verified" in described else "new"
        )
    if found := cards.named(described):
        return cards.make_source(act, found, customer, **metadata)
    if token := act.world.kept.get(f"token {described}"):
        return _add(act, customer, {"source": token, **metadata})
    if described in act.world.table("source", act.home).by_id:
        return act.change("source", described, customer=customer)
    raise errors.missing("token", described, "source", status=400)


create_bank_account = create_card


def create_token(write: Write) -> Json:
    """A card or a bank account that a customer or an account may be given."""
    act, given, type = write.act, write.given, "bank_account" if write.given.get("bank_account") else "card"
    described, id = given.get(type) or {}, f"tok_{act.world.rng.getrandbits(96):024x}"
    act.world.kept[f"token {id}"] = described
    if type == "card" and isinstance(described, dict):
        card = cards.BY_NUMBER.get(described.get("number") or "", cards.CARDS["visa"])
        shown = card.shown | card_expiry(described)
    else:
        shown = {"last4": described["account_number"][-4:]} if "account_number" in described else {}
    row = KINDS[type]
    return {"id": id, "type": type, type: act.world.imagine(row, act.home, {}, {"customer": None, **shown})}


def create_external_bank_account(write: Write) -> Json:
    """Where an account is paid: what a form or a token describes."""
    act, given = write.act, write.given
    described = given.get("external_account") or given.get("bank_account") or ""
    if isinstance(described, str):
        described = act.world.kept.get(f"token {described}", {})
    shown = {name: described[name] for name in _SHOWN if described.get(name)}
    if "number" in described:
        card = cards.BY_NUMBER.get(described["number"], cards.CARDS["visa"])
        return act.make("external_card", **card.shown | {"brand": "Visa"}, **shown)
    if "account_number" in described:
        shown["last4"] = described["account_number"][-4:]
    shown |= {name: given[name] for name in ("default_for_currency", "metadata") if given.get(name)}
    return act.make("external_bank_account", **shown)


def verify_bank_account(write: Write) -> Json:
    account = write.act.get("bank_account", write.id)
    return write.act.change("bank_account", account["id"], status="verified")
