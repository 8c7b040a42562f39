"""Who changes the world, when, and what a request asks of it: what every rule is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.world import World


@dataclass(frozen=True)
class Act:
    """Changes of one account's objects at one time, `at`. `told` says whether events tell of them; `clock` is
    the test clock whose time that is: its events are told now."""

    world: World
    home: str
    at: int
    told: bool = True
    clock: str | None = None

    def make(self, kind: str, **fields: Any) -> Json:
        """A new object, with its fields that Stripe shows without being asked. Raises StripeError if the id
        is taken."""
        if fields.get("id") in self.world.table(kind, self.home).by_id:
            raise errors.exists_already(KINDS[kind].object_name)
        return self._do(partial(self.world.create, kind, self.home), fields)

    def change(self, kind: str, id: str, **fields: Any) -> Json:
        return self._do(partial(self.world.update, kind, id, self.home), fields)

    def remove(self, kind: str, id: str) -> Json:
        return self._do(partial(self.world.delete, kind, id, self.home), {})

    def tell(self, type: str, kind: str, id: str) -> None:
        """An event of its own for something that changes no field."""
        if self.told:
            with self.world.telling_at(self.world.clock.now() if self.clock else None):
                self.world.tell(type, kind, id, self.home, at=self.at)

    def _do(self, deed: Callable[..., Json], fields: Json) -> Json:
        options = {"at": self.at, "event": self.told} | fields
        if self.clock is None:
            return deed(**options)
        with self.world.telling_at(self.world.clock.now()):
            return deed(**options)

    def get(self, kind: str, id: str) -> Json:
        """Raises StripeError if there is none."""
        entry = self.world.table(kind, self.home).find(id)
        if entry is None:
            raise errors.missing(KINDS[kind].object_name, id, kind, status=400)
        return entry.data()

    def of(self, kind: str, parent: str) -> list[Json]:
        """The children of an object, oldest first."""
        return [entry.data() for entry in self.world.table(kind, self.home).children.get(parent, ())]

    @property
    def paying(self) -> "Act":
        """Payments have no other time than the world's."""
        return replace(self, at=self.world.clock.now(), clock=None) if self.clock else self

    def under(self, clock: str | None) -> "Act":
        """The same at the time of a test clock, if there is one."""
        if clock is None or self.clock == clock:
            return self
        return replace(self, clock=clock, at=self.get("test_helpers.test_clock", clock)["frozen_time"])


@dataclass(frozen=True)
class Write:
    """A POST or DELETE: its typed parameters, and those that are fields of the object. `id` is the object's,
    "" for a creation under `parent`."""

    act: Act
    row: Kind
    given: Mapping[str, Any]
    fields: Json
    id: str = ""
    parent: str | None = None

    @property
    def old(self) -> Json:
        return self.act.get(self.row.name, self.id)

    def without(self, *names: str) -> Json:
        """The fields that parameters give, but those that mean something else in a form."""
        return {name: each for name, each in self.fields.items() if name not in names}

    def need(self, name: str) -> Any:
        """A parameter that Stripe's document calls optional, and that must be given here."""
        if self.given.get(name) is None:
            raise errors.missing_parameter(name)
        return self.given[name]


Rule = Callable[[Write], Json]
"""What a write does. Gives the object that it is answered with. Raises StripeError."""
