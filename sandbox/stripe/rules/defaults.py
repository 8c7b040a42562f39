"""What a write does where its path has no rule of its own: a parameter that is a field of the object becomes
that field."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sandbox.stripe import errors, facts
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Kind
from sandbox.stripe.rules.act import Rule, Write

_STATUSES: Final = {
    "activate": "active",
    "deactivate": "inactive",
    "reactivate": "active",
    "unarchive": "active",
}
"""What an object is after a verb, if that is not the verb's own form."""


def create(write: Write) -> Json:
    row, fields = write.row, dict(write.fields)
    link = row.parent
    if id := write.given.get("id"):
        fields["id"] = id
    if link and link.kind != "account":
        parent = write.parent or write.given.get(link.field)
        if parent is not None:
            fields[link.field] = write.act.get(link.kind, parent)["id"]
    for name in row.needs:
        if fields.get(name) is None and write.given.get(name) is None:
            raise errors.missing_parameter(name)
    if isinstance(fields.get("currency"), str):
        fields["currency"] = fields["currency"].lower()
    return write.act.make(row.name, **fields)


def update(write: Write) -> Json:
    return change(write, {})


def change(write: Write, more: Mapping[str, Any]) -> Json:
    """Raises StripeError for a status that cannot follow the object's."""
    row, fields = write.row, {**write.fields, **more}
    before, after = write.old.get("status"), fields.get("status")
    if after not in (None, before) and row.flow and after not in row.flow.get(str(before), ()):
        raise errors.wrong_status(row.object_name, str(before), str(after))
    return write.act.change(row.name, write.id, **fields)


def delete(write: Write) -> Json:
    if not write.row.allows_deletion(write.old) or write.id == write.act.world.platform:
        raise errors.not_deletable(write.row.object_name, write.id)
    return write.act.remove(write.row.name, write.id)


def _at(changes: Any, now: int) -> Any:
    if isinstance(changes, Mapping):
        return {name: _at(each, now) for name, each in changes.items()}
    return now if changes == "now" else changes


def verb(row: Kind, words: Sequence[str]) -> Rule:
    """What follows an id: what the row says of it ("now" is the time), or the status that is called so, at
    the time that is. Words before it lead to the part that has the status."""
    *way, last = words
    past = {last, f"{last}ed", f"{last}d", f"{last}{last[-1]}ed", f"{last[:-1]}ied", _STATUSES.get(last)}
    schema = facts.schema(row.object_name)
    for part in way:
        schema = facts.resolved(schema["properties"].get(part, {}))[0]
    fields = schema.get("properties", {})
    known = {
        *fields.get("status", {}).get("enum", ()),
        *(itertools.chain(*row.flow.values()) if not way else ()),
    }
    changes: Json = dict.fromkeys(["status"] if past & known else (), next(iter(past & known), None))
    dated = facts.resolved(fields.get("status_transitions", {}))[0].get("properties", {})
    for name in (f"{each}_at" for each in past):
        changes |= {name: "now"} if name in fields else {}
        changes |= {"status_transitions": {name: "now"}} if name in dated else {}
    changes = dict(row.actions.get("_".join(words), changes))

    def act(write: Write) -> Json:
        made = _at(changes, write.act.at)
        for part in reversed(way):
            made = {part: made} if write.old.get(part) else {}
        return change(write, made)

    return act


DEFAULTS: Mapping[str, Rule] = {"C": create, "U": update, "D": delete}
