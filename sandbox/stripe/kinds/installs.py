"""Installs of apps in an account."""

from sandbox.stripe.filters import created, equals, flag, one_of
from sandbox.stripe.kind import Events, Kind
from sandbox.stripe.kinds import fields as f

_STATUSES = ("install_failed", "installed", "installing", "uninstall_failed", "uninstalling")
_NO_POLICY: dict[str, list[str]] = {"connect_src": [], "image_src": []}

INSTALL = Kind(
    name="apps.install",
    prefix="appinst",
    path="/v1/apps/installs",
    ops="LCRU",
    filters=(
        equals("account"),
        equals("app"),
        flag("approval_required"),
        one_of("channel", "private_live", "private_test", "public", "review", "testing"),
        created,
        equals("created_by"),
        one_of("status", *_STATUSES),
    ),
    needs=("app",),
    events=Events("apps.install.created", "apps.install.updated", "apps.install.deleted"),
    flow={"installing": ("installed", "install_failed"), "installed": ("uninstalling",)},
    fields={
        "account": f.account,
        "app": f.text("com.example.????"),
        "approval_required": False,
        "auth_code": f.text("ac_????????"),
        "channel": "public",
        "content_security_policy_granted": _NO_POLICY,
        "content_security_policy_pending": _NO_POLICY,
        "created": f.now,
        "created_by": None,
        "endpoints_granted": [],
        "endpoints_pending": [],
        "livemode": f.livemode,
        "permissions_granted": ["customer_read"],
        "permissions_pending": [],
        "status": "installed",
    },
)

ROWS = (INSTALL,)
