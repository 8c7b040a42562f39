"""Installs of apps in an account."""

from sandbox.stripe.filters import flag
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import fields as f

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
