"""What a session commits at once: the documents that checkpoints cover, one for each key, and state updates.

Documents count only once a checkpoint follows them. All of it is kept in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.flow.document import Document, Key, Schema, key_of, reduced
from sandbox.flow.errors import InvalidDocument, ProtocolError
from sandbox.flow.state import StateUpdate


@dataclass(frozen=True)
class Target:
    """A binding's collection, as its documents are held against it."""

    collection: str
    key: Sequence[str]
    """JSON pointers."""
    schema: Schema


@dataclass(frozen=True)
class Transaction:
    """`documents`: (index of the binding, document) by binding, then by key; one for each key."""

    documents: Sequence[tuple[int, Document]]
    updates: Sequence[StateUpdate]
    checkpoints: int


class Accumulator:
    """Takes a connector's responses in, gives transactions out."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._uncovered: list[tuple[int, Key, Document]] = []
        self._covered: dict[tuple[int, Key], Document] = {}
        self._updates: list[StateUpdate] = []
        self.checkpoints = 0
        """How many checkpoints a transaction would have if it was taken now."""

    def add(self, kind: str, body: Mapping[str, Any]) -> None:
        """Raises InvalidDocument, and ProtocolError for a response that has no place in a running capture."""
        binding = body.get("binding", 0)  # protobuf leaves out a 0
        is_known = binding in range(len(self._targets))
        match kind, body:
            case "captured", {"doc": dict(document)} if is_known:
                key = _checked_key(self._targets[binding], document)
                self._uncovered.append((binding, key, document))
            case "sourcedSchema", _ if is_known:
                pass  # a hint for schema inference; documents are held against the write schema
            case "checkpoint", _:
                self._checkpoint(body.get("state"))
            case _:
                raise ProtocolError(f"the connector wrote a response out of place: {kind} {str(body)[:200]}")

    def take(self) -> Transaction:
        """The transaction of all that is covered by a checkpoint; what is not is kept for the next."""
        documents = [(binding, doc) for (binding, _), doc in sorted(self._covered.items(), key=_by_key)]
        taken = Transaction(documents, self._updates, self.checkpoints)
        self._covered, self._updates, self.checkpoints = {}, [], 0
        return taken

    def drop_uncovered(self) -> None:
        """Forgets the documents that a connector wrote after its last checkpoint: it exited."""
        self._uncovered = []

    def _checkpoint(self, state: Any) -> None:
        match state:
            case {"updated": dict(updated), **rest}:
                self._updates.append(StateUpdate(updated, bool(rest.get("mergePatch"))))
            case None:
                pass
            case _:
                raise ProtocolError(
                    f"the connector wrote a checkpoint whose state is no object: {str(state)[:200]}"
                )
        for binding, key, document in self._uncovered:
            place = binding, key
            known = place in self._covered
            self._covered[place] = self._reduced(place, document) if known else document
        self._uncovered = []
        self.checkpoints += 1

    def _reduced(self, place: tuple[int, Key], later: Document) -> Document:
        strategies = self._targets[place[0]].schema.reductions(later)
        document: Document = reduced(self._covered[place], later, strategies)
        return document


def _checked_key(target: Target, document: Document) -> Key:
    try:
        key = key_of(document, target.key)
    except InvalidDocument as error:
        raise InvalidDocument(f"{target.collection}: {error}") from error
    target.schema.check(document, key)
    return key


def _by_key(item: tuple[tuple[int, Key], Document]) -> tuple[int, Key]:
    return item[0]
