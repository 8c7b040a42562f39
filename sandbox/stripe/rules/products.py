"""What other products' own paths do: Issuing, Terminal, Sigma, apps."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.filters import Json
from sandbox.stripe.rules.act import Write

# Issuing


def create_force_capture_issuing_transaction(write: Write) -> Json:
    return _spend(write, "capture", -write.given["amount"])


def create_unlinked_refund_issuing_transaction(write: Write) -> Json:
    return _spend(write, "refund", write.given["amount"])


def _spend(write: Write, type: str, amount: int) -> Json:
    act, given = write.act, write.given
    card = act.get("issuing.card", given["card"])
    of: Json = {"card": card["id"], "cardholder": card["cardholder"]["id"], "type": type}
    currency = (given.get("currency") or card["currency"]).lower()
    money = {"amount": amount, "merchant_amount": amount, "currency": currency, "merchant_currency": currency}
    made = act.make("issuing.transaction", **of, **money)
    if given.get("purchase_details"):
        act.tell("issuing_transaction.purchase_details_receipt_updated", "issuing.transaction", made["id"])
    return made


def refund_issuing_transaction(write: Write) -> Json:
    amount = write.given.get("refund_amount") or -write.old["amount"]
    of = {name: write.old[name] for name in ("card", "cardholder", "currency", "merchant_currency")}
    write.act.make("issuing.transaction", type="refund", amount=amount, merchant_amount=amount, **of)
    return write.old


def capture_issuing_authorization(write: Write) -> Json:
    act, old, amount = write.act, write.old, write.given.get("capture_amount") or write.old["amount"]
    of: Json = {"authorization": write.id, "card": old["card"]["id"], "cardholder": old["cardholder"]}
    act.make("issuing.transaction", amount=-amount, merchant_amount=-amount, currency=old["currency"], **of)
    return act.change("issuing.authorization", write.id, status="closed")


def test_authorizations_issuing_card(write: Write) -> Json:
    """A purchase that asks the account's own webhook first."""
    act, card, given = write.act, write.old, write.given
    amount = given.get("held_amount") or 100
    currency = given.get("held_currency") or card["currency"]
    made = act.make("issuing.authorization", card=card, amount=amount, currency=currency)
    act.tell("issuing_authorization.request", "issuing.authorization", made["id"])
    return made


# Terminal


def cancel_action_terminal_reader(write: Write) -> Json:
    return write.act.change("terminal.reader", write.id, action=None)


def present_payment_method_terminal_reader(write: Write) -> Json:
    return _ended(write, "succeeded")


def succeed_input_collection_terminal_reader(write: Write) -> Json:
    return _ended(write, "succeeded")


def timeout_input_collection_terminal_reader(write: Write) -> Json:
    return _ended(write, "failed")


def _ended(write: Write, status: str) -> Json:
    action = write.old["action"]
    return write.act.change("terminal.reader", write.id, action=action and action | {"status": status})


# Reports and apps


def create_reporting_report_run(write: Write) -> Json:
    made = write.act.make("reporting.report_run", **{**write.fields, "status": "pending"})
    return write.act.change("reporting.report_run", made["id"], status="succeeded", succeeded_at=write.act.at)


def delete_apps_secret(write: Write) -> Json:
    """A secret is named by its name and its scope."""
    wanted: dict[str, Any] = {"name": write.given["name"], "type": write.given["scope"]["type"]}
    for each in write.act.world.list_all("apps.secret", write.act.home):
        if {"name": each["name"], "type": each["scope"]["type"]} == wanted:
            write.act.remove("apps.secret", each["id"])
            return each | {"deleted": True}
    raise errors.missing("secret", write.given["name"], "name")
