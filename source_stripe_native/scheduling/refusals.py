"""Refusals: whether an answer of Stripe concerns one account alone, or the key and so the whole capture.

Rule: one account's trouble is its own. An account that Stripe refuses for good (disconnected, barred, without
a product) is set aside for what was refused: its state stays as it is, and it is tried again after
`Settings.refused_interval` and at the next start. The other accounts go on. One log line names the account
and the refusal, and the capture's summary has the number of such accounts. Only a refusal of the key itself
ends the capture: the key is revoked, or lacks a permission for the platform's own account too.
"""

import logging
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from logging import Logger
from typing import Any, Final

from source_stripe_native.errors import KEY_ERRORS, NOT_SET_UP, PERMISSION_MISSING, StripeError
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.rate_limit import Priority, Urgency, endpoint_of
from source_stripe_native.stripe.readings import Readings

OWN_ACCOUNT: Final = "/v1/account"
"""Every key may read it, and its answer says whether the key is still good."""
CHANGES: Final = "their changes"
"""What the account poller is refused: the events of an account, for all streams."""
KEPT_OUT: Final = (
    "The account does not let the key read this, though the key is good: ask the account's owner to connect "
    "it again, or look at the key's permissions for connected accounts in Stripe's dashboard."
)
KEY_ANSWER: Final = 200
"""Bytes of an answer that is remembered, about."""
SHOWN: Final = 3
"""Streams that the summary names. A single further one is named too: to count it would be no shorter."""

_NOBODY: Final[Set[str]] = frozenset()


@dataclass(frozen=True)
class SetAside:
    """How many accounts are set aside, in all and for what: for each stream, and for `CHANGES`."""

    accounts: int = 0
    whats: Counter[str] = field(default_factory=Counter)

    def words(self) -> str:
        """Empty where no account is set aside."""
        if not self.accounts:
            return ""
        named = SHOWN if len(self.whats) > SHOWN + 1 else len(self.whats)
        shown = [f"{number:,} for {what}" for what, number in self.whats.most_common(named)]
        if more := len(self.whats) - named:
            shown.append(f"and others for {more} more streams")
        accounts = "1 account is" if self.accounts == 1 else f"{self.accounts:,} accounts are"
        return f"{accounts} set aside, as Stripe refuses: {', '.join(shown)}"

    def fields(self) -> dict[str, Any]:
        """The same for programs."""
        return {"accounts": self.accounts, "streams": dict(self.whats)}


class Refusals:
    """`platform_id` is the key's own account."""

    def __init__(self, http: StripeSession, log: Logger, platform_id: str) -> None:
        self._http = http
        self._log = log
        self._platform_id = platform_id
        self._warned: set[tuple[str, int, str]] = set()
        self._aside: dict[str, set[str]] = {}
        """The accounts that are set aside, by what for."""
        self._key_answers = Readings[bool](
            http.settings.key_answer_retention, http.settings.lookup_bytes, lambda _: KEY_ANSWER
        )
        """Whether the key is refused, by what was asked for."""

    def of(self, what: str) -> "RefusalsOf":
        """The refusals of a stream, or of `CHANGES`."""
        return RefusalsOf(self, what)

    async def is_own(self, what: str, account_id: str, error: Exception) -> bool:
        """Whether `error`, of a request for the account, concerns that account alone. If so, the account is
        set aside for `what`, and a log line says so, once for each kind of refusal. Raises what refuses the
        key."""
        if not isinstance(error, StripeError) or not 400 <= error.status < 500 or error.should_retry:
            return False
        may_concern_key = error.status == 401 or any(known.matches(error) for known in KEY_ERRORS)
        if may_concern_key and await self._concerns_key(account_id, error):
            return False
        told = f"{KEPT_OUT} {error.answer}" if may_concern_key else error.told
        self._aside.setdefault(what, set()).add(account_id)
        kind = account_id, error.status, error.code or error.stripe_message[:40]
        if kind not in self._warned:
            self._warned.add(kind)
            minutes = self._http.settings.refused_interval.total_seconds() / 60
            # That an account lacks a product is how most accounts are: nobody has to do anything.
            self._log.log(
                logging.DEBUG if NOT_SET_UP.matches(error) else logging.WARNING,
                f"account {account_id} is set aside for what Stripe refuses. It is tried again in "
                f"{minutes:.0f} minutes and at the next start. {told}",
            )
        return True

    def readmit(self, what: str, account_id: str) -> None:
        """Stripe no longer refuses the account `what` it was set aside for."""
        if (accounts := self._aside.get(what)) is not None:
            accounts.discard(account_id)
            if not accounts:
                del self._aside[what]

    def set_aside_for(self, what: str) -> Set[str]:
        """The accounts that are set aside for a stream, or for `CHANGES`, at this moment."""
        return self._aside.get(what, _NOBODY)

    def status(self) -> SetAside:
        """Which accounts are set aside, in numbers."""
        accounts = set[str]().union(*self._aside.values())
        return SetAside(len(accounts), Counter({what: len(each) for what, each in self._aside.items()}))

    async def _concerns_key(self, account_id: str, error: StripeError) -> bool:
        """Whether Stripe refuses the same for the platform's own account. It answers alike for a key that is
        revoked and for an account that the key may not read. One answer serves all refusals of a minute."""
        if account_id == self._platform_id:
            return True
        if not PERMISSION_MISSING.matches(error):
            return await self._key_answers.get(OWN_ACCOUNT, self._is_refused, Urgency(Priority.CHANGES))
        path = error.path.replace(f"/v1/accounts/{account_id}", f"/v1/accounts/{self._platform_id}")
        return await self._key_answers.get(
            endpoint_of(path),
            lambda urgency: self._is_not_permitted(path, urgency),
            Urgency(Priority.CHANGES),
        )

    async def _is_refused(self, urgency: Urgency) -> bool:
        await self._http.get(self._log, OWN_ACCOUNT, priority=urgency)
        return False

    async def _is_not_permitted(self, path: str, urgency: Urgency) -> bool:
        """Stripe looks at the permission first: what else it says of the path does not matter."""
        try:
            await self._http.get(self._log, path, priority=urgency)
        except StripeError as error:
            if PERMISSION_MISSING.matches(error):
                return True
            if error.should_retry:
                raise
        return False


@dataclass(frozen=True)
class RefusalsOf:
    """What the scheduler of one stream, or the account poller, is told of refusals."""

    all: Refusals
    what: str

    async def is_own(self, account_id: str, error: Exception) -> bool:
        return await self.all.is_own(self.what, account_id, error)

    def readmit(self, account_id: str) -> None:
        self.all.readmit(self.what, account_id)
