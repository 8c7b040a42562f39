"""API keys: what each may read, and whether it still works.

They have the form of Stripe's but spell `Sandbox`, so that nobody takes one for a secret.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sandbox.stripe import errors

DEFAULT_KEY = "sk_test_Sandbox00000000000000000"
DEFAULT_LIVE_KEY = "sk_live_Sandbox00000000000000000"
ORGANIZATION = "sk_org_"
"""How the keys of organizations begin, restricted ones too."""
_PERMISSIONS: Mapping[str, str] = {
    "balance_transaction_source": "balance_transaction",
    "billing_clock": "test_helpers_test_clock",
    "charge": "charge refund",
    "connected_account": "account account_capability external_account person",
    "customer": "customer customer_balance_transaction",
    "customer_portal": "billing_portal_configuration",
    "entitlement": "entitlements_feature",
    "file": "file file_link",
    "invoice": "invoice invoice_rendering_template invoiceitem",
    "payment_links": "payment_link",
    "payment_method": "payment_method source",
    "payment_method_configurations": "payment_method_configuration",
    "payment_records": "payment_record",
    "plan": "plan price",
    "report_runs_and_report_types": "reporting_report_run",
    "secret": "apps_secret",
    "subscription": "discount subscription subscription_schedule",
    "top_up": "topup",
    "webhook": "webhook_endpoint",
}
"""What Stripe calls permissions, where that is not the name of one resource. Source: Stripe's "API
permissions reference"."""
_NAMES = {resource: name for name, resources in _PERMISSIONS.items() for resource in resources.split()}


def permission_of(resource: str) -> str:
    """What Stripe calls the permission that a resource needs, without what may be done."""
    return _NAMES.get(resource, resource)


def resources_of(permissions: str) -> list[str]:
    """The resources that a key with these permissions can read, as in `rak_charge_read,rak_event_read`.
    Raises ValueError for one that lets nothing be read."""
    found = []
    for each in permissions.split(","):
        name = each.removeprefix("rak_").removesuffix("_read")
        if not each.endswith("_read"):
            raise ValueError(f"{each} is no permission to read, such as rak_{name}_read")
        found += _PERMISSIONS.get(name, name).split()
    return found


@dataclass(frozen=True)
class Key:
    """`permissions` are the resources that it can read, None for a key without restriction. It belongs to
    `account`, or to the organization that `account` is in."""

    secret: str
    account: str
    permissions: frozenset[str] | None = None
    revoked: bool = False

    @property
    def is_organizations(self) -> bool:
        return self.secret.startswith(ORGANIZATION)


class Keys:
    """The key table of a world. `known` are the names of permissions that exist."""

    def __init__(self, account: str, livemode: bool, known: frozenset[str]) -> None:
        self._account = account
        self._mode = "live" if livemode else "test"
        self._livemode = livemode
        self._known = known
        self._keys: dict[str, Key] = {}
        self.default = self.add(DEFAULT_LIVE_KEY if livemode else DEFAULT_KEY)

    def add(self, secret: str, permissions: Iterable[str] | None = None) -> str:
        """Let a key in, or change what it may read. Raises ValueError for a permission that does not
        exist."""
        allowed = None if permissions is None else frozenset(permissions)
        if allowed is not None and (unknown := allowed - self._known):
            raise ValueError(f"no such permissions: {sorted(unknown)}; there are {sorted(self._known)}")
        self._keys[secret] = Key(secret, self._account, allowed)
        return secret

    def restrict(self, permissions: Iterable[str]) -> str:
        """A new restricted key that can read these resources only."""
        return self.add(f"rk_{self._mode}_Sandbox{len(self._keys):017}", permissions)

    def organization(self, permissions: Iterable[str] | None = None) -> str:
        """A new key of the organization that the account is in."""
        return self.add(f"{ORGANIZATION}{self._mode}_Sandbox{len(self._keys):017}", permissions)

    def revoke(self, secret: str) -> None:
        key = self._keys[secret]
        self._keys[secret] = Key(key.secret, key.account, key.permissions, revoked=True)

    def check(self, secret: str) -> Key:
        """The key of this name. Raises StripeError if there is none or it does not work any more."""
        key = self._keys.get(secret)
        if key is None:
            raise errors.wrong_key(secret)
        if key.revoked:
            raise errors.expired_key(secret)
        return key

    def require(self, key: Key, resource: str, account: str, *, write: bool = False) -> None:
        """Raises StripeError if the key may not do this: restricted keys only ever read."""
        if key.permissions is None or (resource in key.permissions and not write):
            return
        permission = f"rak_{permission_of(resource)}_{'write' if write else 'read'}"
        raise errors.not_permitted(key.secret, account, permission, self._livemode)
