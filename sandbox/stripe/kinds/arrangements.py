"""How an account is set up, and what Stripe says of countries and currencies."""

from dataclasses import replace

from sandbox.stripe.filters import equals, flag, one_of, part_of
from sandbox.stripe.kind import Events, Kind
from sandbox.stripe.kinds import fields as f

PORTAL = Kind(
    name="billing_portal.configuration",
    prefix="bpc",
    path="/v1/billing_portal/configurations",
    ops="LCRU",
    filters=(
        flag("active"),
        flag("is_default"),
    ),
    needs=("features",),
    events=Events(
        created="billing_portal.configuration.created", updated="billing_portal.configuration.updated"
    ),
    fields={
        "active": True,
        "business_profile": {},
        "created": f.now,
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
        "is_default": False,
        "livemode": f.livemode,
        "login_page": {"enabled": True},
        "metadata": {},
        "updated": f.now,
    },
)

TEMPLATE = Kind(
    name="invoice_rendering_template",
    prefix="inrtem",
    path="/v1/invoice_rendering_templates",
    ops="LR",
    filters=(one_of("status", "active", "archived"),),
    fields={
        "created": f.now,
        "livemode": f.livemode,
        "metadata": {},
        "status": "active",
        "version": 1,
    },
)

METHODS = Kind(
    name="payment_method_configuration",
    prefix="pmc",
    path="/v1/payment_method_configurations",
    ops="LCRU",
    created="",
    filters=(
        flag("active"),
        equals("application"),
    ),
    fields={
        "active": True,
        "card": {
            "available": True,
            "display_preference": {"overridable": None, "preference": "on", "value": "on"},
        },
        "is_default": False,
        "livemode": f.livemode,
        "name": f.text("name ????"),
    },
)

METHOD_DOMAIN = Kind(
    name="payment_method_domain",
    prefix="pmd",
    path="/v1/payment_method_domains",
    ops="LCRU",
    filters=(
        equals("domain_name"),
        flag("enabled"),
    ),
    needs=("domain_name",),
    fields={
        "amazon_pay": {"status": "active"},
        "apple_pay": {"status": "active"},
        "created": f.now,
        "domain_name": f.text("domain_name ????"),
        "enabled": True,
        "google_pay": {"status": "active"},
        "klarna": {"status": "active"},
        "link": {"status": "active"},
        "livemode": f.livemode,
        "paypal": {"status": "active"},
    },
)

APPLE_PAY_DOMAIN = Kind(
    name="apple_pay_domain",
    prefix="apwc",
    path="/v1/apple_pay/domains",
    ops="LCRD",
    filters=(equals("domain_name"),),
    needs=("domain_name",),
    fields={
        "created": f.now,
        "domain_name": f.text("domain_name ????"),
        "livemode": f.livemode,
    },
)

WEBHOOK = Kind(
    name="webhook_endpoint",
    prefix="we",
    path="/v1/webhook_endpoints",
    ops="LCRUD",
    needs=("url",),
    fields={
        "created": f.now,
        "enabled_events": [],
        "livemode": f.livemode,
        "metadata": {},
        "secret": f.text("whsec_????????????????"),
        "status": "enabled",
        "url": "https://example.com",
    },
)

SECRET = Kind(
    name="apps.secret",
    prefix="appsecret",
    path="/v1/apps/secrets",
    ops="LC",
    filters=(replace(part_of("scope", None, "type", "user"), required=True),),
    needs=("name", "payload", "scope"),
    includes=("payload",),
    fields={
        "created": f.now,
        "livemode": f.livemode,
        "name": f.text("name ????"),
        "payload": f.text("payload ????????"),
        "scope": {"type": "account"},
    },
)

COUNTRY = Kind(
    name="country_spec",
    prefix="C",
    path="/v1/country_specs",
    ops="LR",
    created="",
    fields={
        "default_currency": "usd",
        "supported_bank_account_currencies": {},
        "supported_payment_currencies": [],
        "supported_payment_methods": [],
        "supported_transfer_countries": [],
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
    ops="LR",
    created="",
    fields={
        "rates": {},
    },
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
