"""How an account is set up, and what Stripe says of countries and currencies."""

from dataclasses import replace

from sandbox.stripe.filters import equals, part_of
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import fields as f

PORTAL = Kind(
    name="billing_portal.configuration",
    prefix="bpc",
    path="/v1/billing_portal/configurations",
    fields={
        "active": True,
        "features": {
            "customer_update": {"enabled": True},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "subscription_cancel": {"cancellation_reason": {"enabled": True}, "enabled": True},
            "subscription_update": {"enabled": True},
        },
        "login_page": {"enabled": True},
        "metadata": {},
    },
)

TEMPLATE = Kind(
    name="invoice_rendering_template",
    prefix="inrtem",
    path="/v1/invoice_rendering_templates",
    fields={"metadata": {}, "version": 1},
)

METHODS = Kind(
    name="payment_method_configuration",
    prefix="pmc",
    path="/v1/payment_method_configurations",
    created="",
    filters=(equals("application"),),
    fields={
        "active": True,
        "card": {
            "available": True,
            "display_preference": {"overridable": None, "preference": "on", "value": "on"},
        },
    },
)

METHOD_DOMAIN = Kind(
    name="payment_method_domain", prefix="pmd", path="/v1/payment_method_domains", fields={"enabled": True}
)

APPLE_PAY_DOMAIN = Kind(name="apple_pay_domain", prefix="apwc", path="/v1/apple_pay/domains", fields={})

WEBHOOK = Kind(
    name="webhook_endpoint",
    prefix="we",
    path="/v1/webhook_endpoints",
    fields={"secret": f.text("whsec_????????????????"), "status": "enabled"},
)

SECRET = Kind(
    name="apps.secret",
    prefix="appsecret",
    path="/v1/apps/secrets",
    filters=(replace(part_of("scope", None, "type", "user"), required=True),),
    includes=("payload",),
    fields={"payload": f.text("payload ????????")},
)

COUNTRY = Kind(
    name="country_spec", prefix="C", path="/v1/country_specs", created="", fields={"default_currency": "usd"}
)

EXCHANGE_RATE = Kind(name="exchange_rate", prefix="x", path="/v1/exchange_rates", created="", fields={})

ROWS = (PORTAL, TEMPLATE, METHODS, METHOD_DOMAIN, APPLE_PAY_DOMAIN, WEBHOOK, SECRET, COUNTRY, EXCHANGE_RATE)
