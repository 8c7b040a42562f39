"""Which accounts a capture reads: the key's own, and those connected to it where the config asks for them."""

from dataclasses import dataclass
from logging import Logger

from source_stripe_native.errors import StripeError
from source_stripe_native.http import StripeSession
from source_stripe_native.listing import Source, read_pages
from source_stripe_native.models import BaseStripeObject

ACCOUNTS_PATH = "/v1/accounts"


@dataclass(frozen=True)
class Accounts:
    """`platform_id` is the account of the key. `connected_ids` is None for a capture of that account alone,
    and a list, which may be empty, where connected accounts are captured too: the shape of state follows from
    that."""

    platform_id: str
    connected_ids: list[str] | None = None

    @property
    def all_ids(self) -> list[str]:
        """Every account to read, the platform's own first."""
        return [self.platform_id, *(self.connected_ids or [])]


class _Account(BaseStripeObject):
    NAME = "Accounts"


async def own_account_id(http: StripeSession, log: Logger) -> str:
    """The id of the key's account ("GET /v1/account"). Pins the session to the account's API version unless
    it has one. Raises StripeError where the key is refused."""
    account = await http.get(log, "/v1/account")
    if http.version is None:
        http.version = http.account_version
    if not isinstance(account.get("id"), str):
        raise StripeError(200, "an account without an id", request="GET /v1/account")
    return str(account["id"])


async def connected_account_ids(http: StripeSession, log: Logger, platform_id: str) -> list[str]:
    """The ids of all connected accounts, newest first as Stripe lists them."""
    source = Source(http, log, _Account, platform_id, None)
    found = [str(each["id"]) async for page in read_pages(source, ACCOUNTS_PATH, ()) for each in page]
    log.info("listed the connected accounts", {"accounts": len(found)})
    # An account that connects while the list is paged shifts nothing, but a platform may be its own account.
    return [each for each in dict.fromkeys(found) if each != platform_id]


async def find_accounts(http: StripeSession, log: Logger, *, connected: bool) -> Accounts:
    platform_id = await own_account_id(http, log)
    return Accounts(platform_id, await connected_account_ids(http, log, platform_id) if connected else None)
