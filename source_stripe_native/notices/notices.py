"""The accounts of which Stripe has posted that they have something to read.

Rule: one entry per account, however many posts come. Posts of other accounts, of the other mode, of types
that nobody captures and of events that were read already are no notices. An event may become visible later
than its post comes: until it is read, the account is read again after 1, 2, 4 and 8 seconds."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from source_stripe_native.errors import ConnectorError
from source_stripe_native.events.feed import EventFeed
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

    expected: set[str] = field(default_factory=set)
    tries: int = 0


@dataclass(eq=False)
class Notices:
    """The notices of one capture. The server adds what was posted, and `on_added` is called with each account
    that is to be read. `types` are the event types that are followed, all where empty, None where there are
    none; `is_captured` says whose events are `read` here. `trust` learns what was announced."""

    platform_id: str
    is_live: bool
    types: Collection[str] | None
    is_captured: Callable[[str], bool]
    read: EventFeed
    trust: Trust
    on_added: Callable[[str], None] = lambda _: None
    posts: Counter[str] = field(default_factory=Counter)
    """How many posts there were: `received`, and by the reason those that were refused."""
    _accounts: dict[str, _Account] = field(default_factory=dict)

    def add(self, notice: Notice) -> None:
        """Adds the account of a notice, if it is to be read."""
        account_id = notice.account_id or self.platform_id
        if notice.is_live is not self.is_live or self.types is None or not self.is_captured(account_id):
            return
        if (self.types and notice.type not in self.types) or notice.type.startswith(V2_PREFIX):
            return
        event_id, read = notice.event_id, self.read
        has_passed = read.has_passed(account_id, event_id, notice.created)
        self.trust.announce(account_id, event_id, notice.type, is_judged=has_passed)
        if has_passed or read.has_read(account_id, event_id):
            return
        account = self._accounts.setdefault(account_id, _Account())
        account.tries = 0
        if len(account.expected) < MOST_EXPECTED:
            account.expected.add(event_id)
        self.on_added(account_id)

    def end(self, account_id: str) -> float | None:
        """Reports that the newest events of an account were read. Returns the seconds after which they are to
        be read again, None where all that was announced has been read, or is left to the cursor."""
        account = self._accounts.get(account_id)
        if account is None:
            return None
        account.expected = {id_ for id_ in account.expected if not self.read.has_read(account_id, id_)}
        account.tries += 1
        if not account.expected or account.tries >= TRIES:
            del self._accounts[account_id]
            return None
        return FIRST_RETRY * float(2 ** (account.tries - 1))


def port_of(environ: Mapping[str, str]) -> int:
    """The port to listen on. Raises ConnectorError for what is no port."""
    text = environ.get(PORT_VARIABLE, "").strip() or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536):
        raise ConnectorError(
            f"{PORT_VARIABLE} is not a port: set it to a number from 1 to 65535, or leave it out."
        )
    return int(text)
