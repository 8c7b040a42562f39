"""Refusals: whether an answer of Stripe concerns one account alone, or the key and so the whole capture.

Rule: one account's trouble is its own. An account that Stripe refuses for good (disconnected, barred, without
a product) is set aside for what was refused: its state stays as it is, and it is tried again after
`Settings.refused_interval` and at the next start. The other accounts go on. One warning names the account and
the refusal. Only a refusal of the key itself ends the capture.
"""

from logging import Logger
from typing import Final

from source_stripe_native.errors import KEY_ERRORS, StripeError
from source_stripe_native.stripe.client import StripeSession

OWN_ACCOUNT: Final = "/v1/account"
"""Every key may read it, and its answer says whether the key is still good."""


class Refusals:
    """`platform_id` is the key's own account."""

    def __init__(self, http: StripeSession, log: Logger, platform_id: str) -> None:
        self._http = http
        self._log = log
        self._platform_id = platform_id
        self._warned: set[tuple[str, int, str]] = set()

    async def is_own(self, account_id: str, error: Exception) -> bool:
        """Whether `error`, of a request for the account, concerns that account alone. If so, a warning says
        that the account is set aside, once for each kind of refusal. Raises what refuses the key."""
        if not isinstance(error, StripeError) or not 400 <= error.status < 500 or error.should_retry:
            return False
        if any(known.matches(error) for known in KEY_ERRORS) or error.status == 401:
            if account_id == self._platform_id:
                return False
            # Stripe answers alike for a revoked key and for an account that the key may not read.
            await self._http.get(self._log, OWN_ACCOUNT)
        kind = account_id, error.status, error.code or error.stripe_message[:40]
        if kind not in self._warned:
            self._warned.add(kind)
            minutes = self._http.settings.refused_interval.total_seconds() / 60
            self._log.warning(
                f"account {account_id} is set aside for what Stripe refuses. It is tried again in "
                f"{minutes:.0f} minutes and at the next start. {error}"
            )
        return True
