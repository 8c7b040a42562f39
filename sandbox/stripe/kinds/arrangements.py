"""How an account is set up, and what Stripe says of countries and currencies."""

from dataclasses import replace

from sandbox.stripe.filters import equals, part_of
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import fields as f

PORTAL = Kind("billing_portal.configuration", "bpc")

TEMPLATE = Kind("invoice_rendering_template", "inrtem")

METHODS = Kind(
    "payment_method_configuration",
    "pmc",
    filters=(equals("application"),),
    fields={
        "card": {
            "available": True,
            "display_preference": {"overridable": None, "preference": "on", "value": "on"},
        }
    },
)

METHOD_DOMAIN = Kind("payment_method_domain", "pmd", fields={"enabled": True})

APPLE_PAY_DOMAIN = Kind("apple_pay_domain", "apwc")

WEBHOOK = Kind(
    "webhook_endpoint", "we", fields={"secret": f.text("whsec_????????????????"), "status": "enabled"}
)

SECRET = Kind(
    "apps.secret",
    "appsecret",
    filters=(replace(part_of("scope", None, "type", "user"), required=True),),
    includes=("payload",),
    fields={"payload": f.text("payload ????????")},
)

COUNTRY = Kind("country_spec", "C", fields={"default_currency": "usd"})

EXCHANGE_RATE = Kind("exchange_rate", "x")
