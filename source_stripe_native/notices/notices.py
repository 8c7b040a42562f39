"""The accounts of which Stripe has posted that they have something to read.

Rule: one entry per account, however many posts come. Posts of other accounts, of the other mode, of types
that nobody captures and of events that were read already are no notices. An event may become visible later
than its post comes: until it is read, the account is read again after 1, 2, 4 and 8 seconds."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, Self

from source_stripe_native.errors import ConnectorError
from source_stripe_native.notices.posts import V2_PREFIX, Notice
from source_stripe_native.notices.trust import Trust

PORT_VARIABLE: Final = "WEBHOOK_PORT"
DEFAULT_PORT: Final = 8080
MOST_EXPECTED: Final = 100
"""Events of one account that are waited for by their id at most."""
FIRST_RETRY: Final = 1.0
"""Seconds after which an account is read again whose announced event was not visible."""
TRIES: Final = 5


@dataclass
class _Account:
    """An account with a notice. `expected` are the ids of its announced events."""

    expected: dict[str, None] = field(default_factory=dict)
    tries: int = 0


class ReadEvents(Protocol):
    """What was read of an account's events, as far as that is remembered."""

    def has_read(self, account_id: str, event_id: str) -> bool:
        """Whether an event was read, early or in a window."""

    def has_passed(self, account_id: str, event_id: str, created: float) -> bool:
        """Whether an event was read in a window, or its time is past."""


class Notices:
    """The notices of one capture. The server adds what was posted, readers take the accounts. `types` are the
    event types that are followed, all where empty, None where none is; `is_captured` says whose events are
    `read` here. `trust` learns what was announced."""

    def __init__(
        self,
        platform_id: str,
        *,
        is_live: bool,
        types: Collection[str] | None,
        is_captured: Callable[[str], bool],
        read: ReadEvents,
        trust: Trust,
    ) -> None:
        self._platform_id = platform_id
        self._is_live = is_live
        self._types = types
        self._is_captured = is_captured
        self._read = read
        self.trust = trust
        self._accounts: dict[str, _Account] = {}
        self._waiting: dict[str, None] = {}
        """The accounts that are to be read, the one that has waited longest first."""
        self.added = asyncio.Event()
        """Set while an account waits."""
        self.posts: Counter[str] = Counter()
        """How many posts there were: `received`, and by the reason those that were refused."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, notice: Notice) -> None:
        """Adds the account of a notice, if it is to be read."""
        account_id = notice.account_id or self._platform_id
        if notice.is_live is not self._is_live or self._types is None or not self._is_captured(account_id):
            return
        if (self._types and notice.type not in self._types) or notice.type.startswith(V2_PREFIX):
            return
        event_id, read = notice.event_id, self._read
        has_passed = read.has_passed(account_id, event_id, notice.created)
        self.trust.announce(account_id, event_id, notice.type, is_judged=has_passed)
        if has_passed or read.has_read(account_id, event_id):
            return
        account = self._accounts.setdefault(account_id, _Account())
        account.tries = 0
        if len(account.expected) < MOST_EXPECTED:
            account.expected[event_id] = None
        self.push(account_id)

    def push(self, account_id: str) -> None:
        self._waiting[account_id] = None
        self.added.set()

    def take(self) -> str | None:
        """Takes the account that is to be read next, None where none waits."""
        account_id = next(iter(self._waiting), None)
        if account_id is None:
            self.added.clear()
            return None
        del self._waiting[account_id]
        return account_id

    def end(self, account_id: str) -> float | None:
        """Reports that the newest events of an account were read. Returns the seconds after which they are to
        be read again, None where all that was announced has been read, or is left to the cursor."""
        account = self._accounts.get(account_id)
        if account is None:
            return None
        read = [event_id for event_id in account.expected if self._read.has_read(account_id, event_id)]
        for event_id in read:
            del account.expected[event_id]
        account.tries += 1
        if not account.expected or account.tries >= TRIES:
            del self._accounts[account_id]
            return None
        return FIRST_RETRY * float(2 ** (account.tries - 1))


@dataclass
class Posts:
    """The posts that a capture expects at `port`, made when the capture opens. `now` is Stripe's clock. The
    `notices` are set once it is known what is captured."""

    secrets: Sequence[str] = field(repr=False)
    port: int
    now: Callable[[], datetime]
    notices: Notices | None = None

    @classmethod
    def expected(cls, secrets: Sequence[str], now: Callable[[], datetime]) -> Self | None:
        """The posts that are signed with `secrets`, None where there are no secrets."""
        return cls(secrets, port_of(os.environ), now) if secrets else None


def port_of(environ: Mapping[str, str]) -> int:
    """The port to listen on. Raises ConnectorError for what is no port."""
    text = environ.get(PORT_VARIABLE, "").strip() or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536):
        raise ConnectorError(
            f"{PORT_VARIABLE} is not a port: set it to a number from 1 to 65535, or leave it out."
        )
    return int(text)
