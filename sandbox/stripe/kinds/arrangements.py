"""How an account is set up, and what Stripe says of countries and currencies."""

from dataclasses import replace

from sandbox.stripe.filters import equals, part_of
from sandbox.stripe.kind import Events, Kind
from sandbox.stripe.kinds import fields as f

PORTAL = Kind(
    name="billing_portal.configuration",
    prefix="bpc",
    path="/v1/billing_portal/configurations",
    needs=("features",),
    events=Events(
        created="billing_portal.configuration.created", updated="billing_portal.configuration.updated"
    ),
    fields={
        "active": True,
        "business_profile": {},
        "features": {
            "customer_update": {"allowed_updates": [], "enabled": True},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "subscription_cancel": {
                "cancellation_reason": {"enabled": True, "options": []},
                "enabled": True,
                "mode": "at_period_end",
                "proration_behavior": "always_invoice",
            },
            "subscription_update": {
                "default_allowed_updates": [],
                "enabled": True,
                "proration_behavior": "always_invoice",
                "schedule_at_period_end": {"conditions": []},
                "trial_update_behavior": "continue_trial",
            },
        },
        "login_page": {"enabled": True},
        "metadata": {},
        "updated": f.now,
    },
)

TEMPLATE = Kind(
    name="invoice_rendering_template",
    prefix="inrtem",
    path="/v1/invoice_rendering_templates",
    fields={
        "metadata": {},
        "status": "active",
        "version": 1,
    },
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
        "name": f.text("name ????"),
    },
)

METHOD_DOMAIN = Kind(
    name="payment_method_domain",
    prefix="pmd",
    path="/v1/payment_method_domains",
    needs=("domain_name",),
    fields={
        "amazon_pay": {"status": "active"},
        "apple_pay": {"status": "active"},
        "domain_name": f.text("domain_name ????"),
        "enabled": True,
        "google_pay": {"status": "active"},
        "klarna": {"status": "active"},
        "link": {"status": "active"},
        "paypal": {"status": "active"},
    },
)

APPLE_PAY_DOMAIN = Kind(
    name="apple_pay_domain",
    prefix="apwc",
    path="/v1/apple_pay/domains",
    needs=("domain_name",),
    fields={
        "domain_name": f.text("domain_name ????"),
    },
)

WEBHOOK = Kind(
    name="webhook_endpoint",
    prefix="we",
    path="/v1/webhook_endpoints",
    needs=("url",),
    fields={
        "secret": f.text("whsec_????????????????"),
        "status": "enabled",
        "url": "https://example.com",
    },
)

SECRET = Kind(
    name="apps.secret",
    prefix="appsecret",
    path="/v1/apps/secrets",
    filters=(replace(part_of("scope", None, "type", "user"), required=True),),
    needs=("name", "payload", "scope"),
    includes=("payload",),
    fields={
        "name": f.text("name ????"),
        "payload": f.text("payload ????????"),
        "scope": {"type": "account"},
    },
)

COUNTRY = Kind(
    name="country_spec",
    prefix="C",
    path="/v1/country_specs",
    created="",
    fields={
        "default_currency": "usd",
        "verification_fields": {
            "company": {"additional": [], "minimum": []},
            "individual": {"additional": [], "minimum": []},
        },
    },
)

EXCHANGE_RATE = Kind(
    name="exchange_rate",
    prefix="x",
    path="/v1/exchange_rates",
    created="",
    fields={},
)

ROWS = (
    PORTAL,
    TEMPLATE,
    METHODS,
    METHOD_DOMAIN,
    APPLE_PAY_DOMAIN,
    WEBHOOK,
    SECRET,
    COUNTRY,
    EXCHANGE_RATE,
)
