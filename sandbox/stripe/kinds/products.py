"""The resources of Stripe's further products, each of which has a few."""

from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json, any_of, flag, ignored, part_of, where
from sandbox.stripe.kind import ANY, Events, Kind, Move, Parent
from sandbox.stripe.kinds import fields as f

# Climate

ORDER = Kind(
    "climate.order",
    "climorder",
    flow={"open": ("canceled", "delivered")},
    fields={"metric_tons": f.words("{amount_total}.5")},
)

PRODUCT = Kind(
    "climate.product",
    "climsku",
    events=Events(moves=(Move("current_prices_per_metric_ton", ANY, "pricing_updated"),)),
    fields={"metric_tons_available": "1000.25"},
)

SUPPLIER = Kind("climate.supplier", "climsup")

# Entitlements

FEATURE = Kind(
    "entitlements.feature",
    "feat",
    filters=(where("archived", "active", lambda asked, active: active != asked, "boolean"),),
)

PRODUCT_FEATURE = Kind("product_feature", "prodft", parent=Parent("product", "product", named=False))

ACTIVE_ENTITLEMENT = Kind(
    "entitlements.active_entitlement",
    "ent",
    permission="entitlements_feature",
    parent=Parent("customer", "customer", named=False),
)

# Financial Connections


def _not_refreshed(account: Json, _children: int) -> StripeError | None:
    """Stripe's words for an account that its bank has not shown yet are not known, their code is."""
    if account["transaction_refresh"]["status"] == "succeeded":
        return None
    code = "financial_connections_no_successful_transaction_refresh"
    return StripeError(400, "The account has no successful transaction refresh yet.", code=code)


ACCOUNT = Kind(
    "financial_connections.account",
    "fca",
    filters=(part_of("account_holder", None, "account", "customer"),),
    events=Events(statuses={"inactive": "deactivated", "active": "reactivated"}),
    flow={"active": ("inactive", "disconnected"), "inactive": ("active",)},
    fields={
        "ownership": f.text("fcaowns_????????"),
        "transaction_refresh": {
            "id": f.text("fctxnref_????????"),
            "last_attempted_at": f.now,
            "next_refresh_available_at": None,
            "status": "succeeded",
        },
    },
)

TRANSACTION = Kind(
    "financial_connections.transaction",
    "fctxn",
    parent=Parent("financial_connections.account", "account", alias="linked", refuses=_not_refreshed),
)

OWNER = Kind(
    "financial_connections.account_owner",
    "fcaown",
    path="/v1/financial_connections/accounts/{account}/owners",
    # An account has one ownership here, whichever is asked for.
    filters=(ignored("ownership", required=True),),
    parent=Parent("financial_connections.account", "account", named=False, alias="linked"),
    fields={
        "ownership": lambda draft: draft.show(
            "financial_connections.account", draft.find("financial_connections.account")
        )["ownership"]
    },
)

# Identity

SESSION = Kind(
    "identity.verification_session",
    "vs",
    events=Events(moves=(Move("redaction", ANY, "redacted"),)),
    flow={"requires_input": ("processing", "canceled"), "processing": ("verified", "requires_input")},
    actions={"redact": {"redaction": {"status": "processing"}}},
    fields={"client_secret": f.text("vs_secret_????????????????"), "url": "https://verify.stripe.com/start"},
)

REPORT = Kind(
    "identity.verification_report",
    "vr",
    fields={"verification_session": f.ref("identity.verification_session")},
)

# Installs of apps in an account

_NO_POLICY: dict[str, list[str]] = {"connect_src": [], "image_src": []}

INSTALL = Kind(
    "apps.install",
    "appinst",
    filters=(flag("approval_required"),),
    needs=("app",),
    flow={"installing": ("installed", "install_failed"), "installed": ("uninstalling",)},
    fields={
        "account": f.account,
        "app": f.text("com.example.????"),
        "approval_required": False,
        "auth_code": f.text("ac_????????"),
        "channel": "public",
        "content_security_policy_granted": _NO_POLICY,
        "content_security_policy_pending": _NO_POLICY,
        "endpoints_granted": [],
        "endpoints_pending": [],
        "permissions_granted": ["customer_read"],
        "permissions_pending": [],
        "status": "installed",
    },
)

# Reports that users ran

REPORT_RUN = Kind(
    "reporting.report_run",
    "frr",
    flow={"pending": ("succeeded", "failed")},
    fields={"report_type": f.ref("reporting.report_type")},
)

REPORT_TYPE = Kind(
    "reporting.report_type",
    "balance.summary",
    permission="reporting_report_run",
    paged=False,
    events=Events(created="updated"),
    fields={"data_available_end": f.now},
)

QUERY_RUN = Kind("scheduled_query_run", "sqr", product="sigma", events=Events("sigma.scheduled_query_run"))

# Terminal

LOCATION = Kind("terminal.location", "tml", needs=("address", "display_name"), stub=True)

READER = Kind(
    "terminal.reader",
    "tmr",
    events=Events(moves=(Move("action", ANY, "action_updated"),)),
    stub=True,
    fields={"status": "online"},
)

CONFIGURATION = Kind("terminal.configuration", "tmc", stub=True)

# 3D Secure authentications

_ENDS = ("canceled", "error", "failed", "succeeded")

AUTHENTICATION = Kind(
    "three_d_secure.authentication",
    "tdsauth",
    actions={"cancel": {"status": "canceled"}, "submit": {"status": "succeeded"}},
    needs=("channel", "directory_server", "message_category", "payment_method"),
    events=Events(statuses={"error": "errored"}, created=None),
    flow={
        "requires_submission": ("requires_challenge", "succeeded", "canceled"),
        "requires_challenge": _ENDS,
    },
    fields={
        "channel": {"browser": None, "three_r_i": None, "type": "browser"},
        "currency": "usd",
        "directory_server": "visa",
        "message_category": "payment_authentication",
        "fingerprinting_url": f.words("https://hooks.stripe.com/3d_secure/{amount}"),
        "outcome_details": {"cryptogram": f.text("????????"), "eci": "05", "protocol_version": "2.2.0"},
        "payment_method": f.ref("payment_method"),
    },
)

# Trial offers

TRIAL_OFFER = Kind(
    "product_catalog.trial_offer",
    "toff",
    filters=(flag("active"), any_of("prices", "price")),
    needs=("duration", "end_behavior", "price"),
    fields={
        "duration": {"relative": {"iterations": f.number(1, 6)}, "type": "relative"},
        "end_behavior": {"transition": {"price": f.ref("price")}, "type": "transition"},
        "nickname": f.text("trial ????"),
        "price": f.ref("price"),
    },
)
