"""Troubles that last for a while, for the sessions of the soak: what fails, and how far.

A trouble begins once a session has made so many requests, and ends some time later, whatever is captured
meanwhile. It lasts longer than a request is asked again, so that what it concerns is paused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from sandbox.stripe import Fault, Faults, World, errors
from sandbox.stripe.kinds import KINDS, VIEWS
from tests.test_streams import HELD

OBJECT: Final = "one object"
LIST: Final = "one list of one account"
ACCOUNT: Final = "one account"
ENDPOINT: Final = "one endpoint of all"
EVERYTHING: Final = "everything"
SCOPES: Final = (OBJECT, LIST, ACCOUNT, ENDPOINT, EVERYTHING)

LACKING: Final = "refused for good"
TOO_LARGE: Final = "full pages cannot be rendered"
PERMISSION: Final = "a permission is withdrawn"
DISCONNECTED: Final = "an account is disconnected"
KEY: Final = "the key is revoked"

_LACKING: Final = errors.not_set_up("this product")
RULES: Final[Mapping[str, Fault]] = {
    "500": Fault(status=500),
    "500, not to be asked again": Fault(status=500, headers={"Stripe-Should-Retry": "false"}),
    "reset": Fault(reset=True),
    "cut off": Fault(truncate=True),
    "no JSON": Fault(odd="html"),
    "429 at random": Fault(status=429, code="lock_timeout", message="Locked", probability=0.7),
    "429 for rate": Fault(
        status=429,
        code="rate_limit",
        message="Request rate limit exceeded.",
        headers={"Stripe-Rate-Limited-Reason": "endpoint-rate"},
        probability=0.3,
    ),
    LACKING: Fault(status=_LACKING.status, type=_LACKING.type, message=_LACKING.message),
    TOO_LARGE: Fault(status=503),
}
"""What requests are answered, by the kind of trouble."""

_PASSING: Final = ("500", "500, not to be asked again", "reset", "cut off", "no JSON", "429 at random")
TROUBLES: Final[tuple[tuple[str, str], ...]] = (
    *((scope, kind) for scope in SCOPES for kind in _PASSING),
    *((scope, "429 for rate") for scope in SCOPES[1:]),
    *((scope, kind) for scope in (LIST, ENDPOINT) for kind in (LACKING, TOO_LARGE)),
    (ENDPOINT, PERMISSION),
    (ACCOUNT, DISCONNECTED),
    (EVERYTHING, KEY),
)
"""Each scope with each kind of trouble that it may have."""


TO_OPEN: Final = {KINDS[kind].readable_with for kind in ("account", "event")}
"""Permissions without which no capture opens."""


@dataclass(frozen=True)
class Trouble:
    """It begins `after` so many requests of a session, below zero before the capture opens, and ends after
    so many `seconds` of the machine's."""

    scope: str
    kind: str
    after: int = 0
    seconds: float = 0.3


@dataclass(frozen=True)
class InForce:
    """A trouble of certain objects. `end` lifts it."""

    trouble: Trouble
    paths: tuple[str, ...]
    end: Callable[[], None]


class Troubles:
    """The troubles in a world, under one key, of which `permissions` may be withdrawn. `faults` are those of
    its server."""

    def __init__(
        self, world: World, faults: Faults, rng: Random, streams: Sequence[str], key: str, page_size: int
    ) -> None:
        self._world, self._faults, self._rng, self._streams = world, faults, rng, streams
        self._key, self._page_size = key, page_size
        self._permissions = sorted({KINDS[HELD[each].kind].readable_with for each in streams})
        self._all_permissions = {row.readable_with for row in KINDS.values()}
        self.in_force: list[InForce] = []

    def begin(self, trouble: Trouble, *, is_open: bool) -> InForce | None:
        """Puts a trouble in force. Returns None where there is nothing that it could concern, or not before
        the capture is open."""
        if trouble.kind in (PERMISSION, DISCONNECTED, KEY):
            return self._begin_of_key(trouble, is_open)
        stream = self._rng.choice(self._streams)
        account = self._rng.choice(self._world.accounts)
        paths = self._paths(trouble.scope, stream, account)
        rule = RULES[trouble.kind]
        if trouble.kind == TOO_LARGE:
            rule = replace(rule, query=f"limit={self._page_size}")
            if self._page_size < 2:
                return None
        if trouble.kind == LACKING:
            # What follows from a change, such as its children, counts as refused once it was refused.
            row = KINDS[HELD[stream].kind]
            if row.parent or row.holders or not may_be_refused(paths):
                return None
            paths = [path for path in paths if not path.endswith("*")]
        # A capture that cannot ask for its account does not open, and is started again.
        if not paths or (not is_open and "*" in paths):
            return None
        one = account if trouble.scope in (OBJECT, LIST, ACCOUNT) else ""
        rules = [replace(rule, path=path, account=one) for path in paths]
        for each in rules:
            self._faults.add(each)

        def end() -> None:
            for each in rules:
                self._faults.remove(each)

        return self._enforce(InForce(trouble, tuple(paths), end))

    def lift(self, in_force: InForce) -> None:
        """Ends a trouble, unless it has ended already."""
        if in_force in self.in_force:
            self.in_force.remove(in_force)
            in_force.end()

    def lift_all(self) -> None:
        for each in list(self.in_force):
            self.lift(each)

    def _enforce(self, in_force: InForce) -> InForce:
        self.in_force.append(in_force)
        return in_force

    def _begin_of_key(self, trouble: Trouble, is_open: bool) -> InForce | None:
        world = self._world
        if trouble.kind == DISCONNECTED:
            connected = [each for each in world.accounts[1:] if each not in world.revoked]
            if not connected:
                return None
            account = self._rng.choice(connected)
            world.revoked.add(account)
            return self._enforce(InForce(trouble, (account,), lambda: world.revoked.discard(account)))
        if any(each.trouble.kind in (KEY, PERMISSION) for each in self.in_force):
            return None
        name = self._rng.choice(self._permissions)
        if trouble.kind == KEY and is_open:
            world.keys.revoke(self._key)
        # A capture that may not read events, or its own account, does not open: that is a wrong config.
        elif trouble.kind == PERMISSION and (is_open or name not in TO_OPEN):
            world.keys.add(self._key, self._all_permissions - {name})
        else:
            return None

        def end() -> None:
            world.keys.add(self._key, self._all_permissions)

        return self._enforce(InForce(trouble, (name,), end))

    def _paths(self, scope: str, stream: str, account: str) -> list[str]:
        if scope in (ACCOUNT, EVERYTHING):
            return ["*"]
        kind = HELD[stream].kind
        if scope == OBJECT:
            ids = [each["id"] for each in self._world.list_all(kind, account)]
            return [f"*/{self._rng.choice(ids)}*"] if ids else []
        return paths_of(kind)


def paths_of(kind: str) -> list[str]:
    """The paths of a kind's lists and objects, as globs: those of its containers if it has none of its
    own."""
    held = {each for container in KINDS[kind].holders for each in container.kinds}
    lists = [path for each in sorted(held or {kind}) for path in _lists_of(each)]
    found = [re.sub(r"{\w+}", "*", each) for each in lists if each]
    return [path for each in found for path in (each, f"{each}/*")]


def may_be_refused(paths: Sequence[str]) -> bool:
    """Whether an account may refuse these for good. Its events are never refused alone, and an account that
    bars the platform from its persons and external accounts has none until the next daily backfill."""
    return not any(path.startswith(("/v1/events", "/v1/accounts")) for path in paths)


def _lists_of(kind: str) -> list[str]:
    return [KINDS[kind].path, *(view.path for view in VIEWS if kind in view.kinds)]
