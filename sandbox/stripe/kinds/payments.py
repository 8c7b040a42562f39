"""Payments and what becomes of them: intents, charges, refunds, disputes, and Radar's reviews and lists."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe.filters import Filter, Json, at, only, where
from sandbox.stripe.kind import ABSENT, ANY, Draft, Effect, Events, Kind, Move, Nested, Parent, View
from sandbox.stripe.kinds import fields as f


def _refunded(charge: Json, _now: int) -> None:
    charge["refunded"] = charge["amount_refunded"] >= charge["amount"]


def _setup_error(draft: Draft) -> Json | None:
    if draft.built["status"] != "failed":
        return None
    return {"code": "card_declined", "message": f"{draft.id}: your card was declined.", "type": "card_error"}


_ATTEMPTED = {
    "requires_payment_method": "setup_intent.setup_failed",
    "requires_action": "setup_intent.requires_action",
    "succeeded": "setup_intent.succeeded",
}
"""The event of an attempt, by the status that it brings its intent to."""


def _now(status: str) -> Callable[[Json, Json], bool]:
    return lambda _old, new: bool(new["status"] == status)


def _attempted(attempt: Json) -> Json:
    status = attempt["status"]
    return {
        "latest_attempt": attempt["id"],
        "status": status if status in _ATTEMPTED else "requires_payment_method",
        "last_setup_error": attempt["setup_error"],
    }


def _listed(value_list: Json) -> Any:
    """The values that the list shows of itself: ten at most."""
    return tuple(item["value"] for item in value_list["list_items"]["data"])


def _told_by_charge(refund: Json, version: str) -> bool:
    """A card's refund had no events of its own: `charge.refunded` told of it."""
    return version < "2024-10-28" and bool(refund["destination_details"]["type"] == "card")


def _reviewed(_other: Json, reviews: list[Json]) -> Json:
    return {"review": reviews[-1]["id"] if reviews else None}


CHARGE = Kind(
    "charge",
    "ch",
    nested=(Nested(("refund",), "refunds", shown=False, totals=("amount_refunded",)),),
    events=Events(
        created="charge.{status}",
        moves=(Move("captured", True, "captured"), Move("amount_refunded", ANY, "refunded")),
    ),
    flow={"pending": ("succeeded", "failed")},
    derive=_refunded,
    includes=("refunds",),
    fields={
        "amount": f.number(10_000, 99_900),
        "amount_captured": f.same("amount"),
        "calculated_statement_descriptor": "SANDBOX",
        "captured": f.one_of(True, True, False),
        "fraud_details": {},
        "paid": True,
        "radar_options": {},
        "status": f.one_of("succeeded", "succeeded", "pending", "failed"),
    },
)

REFUND = Kind(
    "refund",
    "re",
    parent=Parent("charge", "charge"),
    events=Events(updated="updated charge.refund.updated", always=True),
    flow={"pending": ("succeeded", "failed", "canceled")},
    muted=_told_by_charge,
    fields={
        "amount": f.number(100, 500),
        "destination_details": {"type": "card"},
        "status": f.one_of("succeeded", "pending"),
    },
)

PAYMENT_INTENT = Kind(
    "payment_intent",
    "pi",
    events=Events(
        statuses={
            "requires_payment_method": "payment_failed",
            "requires_capture": "amount_capturable_updated",
        }
    ),
    flow={
        "requires_payment_method": ("requires_action", "processing", "succeeded", "canceled"),
        "requires_confirmation": ("requires_action", "processing", "canceled"),
        "requires_action": ("processing", "requires_payment_method", "canceled"),
        "processing": ("succeeded", "requires_payment_method", "requires_capture"),
        "requires_capture": ("succeeded", "canceled"),
    },
    includes=("amount_details.line_items",),
    nested=(
        Nested(
            ("payment_intent_amount_details_line_item",),
            "amount_details.line_items",
            "/v1/payment_intents/{id}/amount_details_line_items",
            shown=False,
        ),
    ),
    variants=({"amount_details": {"tax": {"total_tax_amount": 100}}, "amount_details.line_items": 1},),
    fields={
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": "automatic",
        "client_secret": f.words("{id}_secret_sandbox"),
        "confirmation_method": "automatic",
        "currency": "usd",
        "payment_method_options": {},
        "payment_method_types": ["card"],
    },
)

SETUP_INTENT = Kind(
    "setup_intent",
    "seti",
    events=Events(
        moves=tuple(Move("latest_attempt", ANY, event, _now(status)) for status, event in _ATTEMPTED.items())
    ),
    flow=dict.fromkeys(
        ("requires_payment_method", "requires_confirmation", "requires_action"), ("canceled",)
    ),
    fields={
        "attach_to_self": False,
        "client_secret": f.words("{id}_secret_sandbox"),
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "usage": "off_session",
    },
)

SETUP_ATTEMPT = Kind(
    "setup_attempt",
    "setatt",
    permission="setup_intent",
    parent=Parent("setup_intent", "setup_intent", sets=_attempted),
    fields={
        "attach_to_self": False,
        "payment_method_details": {"card": {"three_d_secure": None}, "type": "card"},
        "status": f.one_of("succeeded", "failed", "requires_action"),
        "setup_error": _setup_error,
        "usage": "off_session",
    },
)

DISPUTE = Kind(
    "dispute",
    "du",
    events=Events(
        "charge.dispute", {"won": "closed funds_reinstated", "lost": "closed", "warning_closed": "closed"}
    ),
    flow={"needs_response": ("under_review", "lost"), "under_review": ("won", "lost")},
    # A dispute that is won was one all the same.
    effects=(Effect("charge", "charge", lambda _charge, disputes: {"disputed": bool(disputes)}),),
    fields={
        "evidence_details": {
            "due_by": f.later(20 * f.DAY),
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "reason": f.one_of("fraudulent", "duplicate", "general"),
    },
)

REVIEW = Kind(
    "review",
    "prv",
    filters=(
        Filter("", at("open"), lambda _param, _given: None, unasked=lambda _asked: only(True), groups=True),
    ),
    events=Events(created="opened", moves=(Move("open", False, "closed"),)),
    actions={"approve": {"open": False, "closed_reason": "approved", "reason": "approved"}},
    effects=(Effect("charge", "charge", _reviewed), Effect("payment_intent", "payment_intent", _reviewed)),
    fields={
        "charge": f.ref("charge"),
        "open": True,
        "opened_reason": "rule",
        "payment_intent": ABSENT,
        "reason": "rule",
    },
)

EARLY_FRAUD_WARNING = Kind(
    "radar.early_fraud_warning",
    "issfr",
    events=Events(moves=(Move("actionable", False, "updated"),)),
    fields={"actionable": True, "fraud_type": f.one_of("made_with_stolen_card", "misc")},
)

VALUE_LIST = Kind(
    "radar.value_list",
    "rsl",
    filters=(where("contains", _listed, lambda part, values: any(part in each for each in values)),),
    nested=(
        Nested(
            ("radar.value_list_item",), "list_items", "/v1/radar/value_list_items?value_list={id}", made=1
        ),
    ),
    fields={"item_type": "string"},
)

VALUE_LIST_ITEM = Kind(
    "radar.value_list_item",
    "rsli",
    permission="radar_value_list",
    parent=Parent("radar.value_list", "value_list"),
    fields={"value": f.text("value-????????")},
)

AMOUNT_LINE = Kind(
    "payment_intent_amount_details_line_item",
    "uli",
    parent=Parent("payment_intent", "intent", named=False),
    fields={"unit_cost": f.number(100, 900)},
)
OF_CHARGE = View("/v1/charges/{charge}/refunds", ("refund",), parent="charge")
