"""Tax: rates, codes, registrations and locations. Tax ids are with customers."""

from dataclasses import replace

from sandbox.stripe.filters import Filter, Given, Match, at, only, part_of, single
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import fields as f


def _status(param: str, given: Given) -> Match | None:
    status = single(param, given)
    return None if status == "all" else only(status)


TAX_RATE = Kind("tax_rate", "txr", fields={"percentage": f.number(1, 25)})

TAX_REGISTRATION = Kind(
    "tax.registration",
    "taxreg",
    filters=(Filter("status", at("status"), _status, unasked=lambda _asked: only("active"), groups=True),),
    fields={"active_from": f.now},
)

TAX_CODE = Kind("tax_code", "txcd")

_owner = part_of("owner", None, "type", "customer", "account")

ACCOUNT_TAX_ID = Kind(
    "account_tax_id",
    "txi",
    object="tax_id",
    path="/v1/tax_ids",
    ops="LCRD",
    filters=(replace(_owner, unasked=lambda _asked: Match(lambda facet: facet[0] == "self")),),
    fields={
        "country": "DE",
        "owner": {"type": "self"},
        "type": "eu_vat",
        "value": f.digits(9),
        "verification": {"status": "verified", "verified_address": None, "verified_name": None},
    },
)
"""A tax id of the account itself. Those of its customers have another home."""

TAX_LOCATION = Kind(
    "tax.location", "taxloc", needs=("address", "type"), fields={"address": f.ADDRESS, "type": "performance"}
)
