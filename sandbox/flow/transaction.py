"""What a session commits at once: the documents that checkpoints cover, and the updates of the state.

Documents count only once a checkpoint follows them. The first document of a key stays as it is, and all
further ones are reduced into a second: the runtime does not know what earlier transactions have of the key.
All of it is kept in memory.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.flow.document import Document, Key, KeyLocation, key_of, redacted, reduced
from sandbox.flow.errors import FlowError, ProtocolError
from sandbox.flow.schema import Schema
from sandbox.flow.state import StateUpdate


@dataclass(frozen=True)
class Target:
    """A binding's collection, as its documents are held against it."""

    collection: str
    key: Sequence[KeyLocation]
    schema: Schema
    salt: bytes
    """What digests of redacted values are salted with."""


@dataclass(frozen=True)
class Transaction:
    """`documents`: (index of the binding, document) by binding, then by key, at most two for each
    key."""

    documents: Sequence[tuple[int, Document]]
    updates: Sequence[StateUpdate]
    checkpoints: int


class Accumulator:
    """Takes a connector's responses in, gives transactions out."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._uncovered: list[tuple[int, Key, Document]] = []
        self._covered: dict[tuple[int, Key], list[Document]] = defaultdict(list)
        self._updates: list[StateUpdate] = []
        self.checkpoints = 0
        """How many checkpoints a transaction would have if it was taken now."""

    def add(self, kind: str, body: Mapping[str, Any]) -> None:
        """Raises InvalidDocument, and ProtocolError for a response that has no place in a running capture."""
        binding = body.get("binding", 0)  # protobuf leaves out a 0
        is_known = binding in range(len(self._targets))
        match kind, body:
            case "captured", {"doc": dict(document)} if is_known:
                self._uncovered.append((binding, *_accepted(self._targets[binding], document)))
            case "sourcedSchema", _ if is_known:
                pass  # a hint for schema inference; documents are held against the write schema
            case "checkpoint", _:
                self._checkpoint(body.get("state"))
            case _:
                raise ProtocolError(f"the connector wrote a response out of place: {kind} {str(body)[:200]}")

    def take(self) -> Transaction:
        """The transaction of all that is covered by a checkpoint; what is not is kept for the next."""
        places = sorted(self._covered)
        documents = [(place[0], document) for place in places for document in self._covered[place]]
        taken = Transaction(documents, self._updates, self.checkpoints)
        self._covered, self._updates, self.checkpoints = defaultdict(list), [], 0
        return taken

    def end(self) -> None:
        """Raises ProtocolError if a connector wrote documents after its last checkpoint, and exited."""
        if self._uncovered:
            raise ProtocolError(
                f"the connector exited before the checkpoint of its last {len(self._uncovered)} documents"
            )

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
            documents = self._covered[binding, key]
            if len(documents) < 2:
                documents.append(document)
            else:
                documents[1] = _reduced(self._targets[binding], documents[1], document)
        self._uncovered = []
        self.checkpoints += 1


def _accepted(target: Target, document: Document) -> tuple[Key, Document]:
    """The key of a document, and what of the document may be written."""
    with _named(target):
        key = key_of(document, target.key)
        target.schema.check(document, key)
        if redactions := target.schema.redactions(document):
            document = redacted(document, redactions, target.salt)
            key = key_of(document, target.key)
        return key, document


def _reduced(target: Target, earlier: Document, later: Document) -> Document:
    with _named(target):
        document: Document = reduced(earlier, later, target.schema.reductions(later))
        return document


@contextlib.contextmanager
def _named(target: Target) -> Iterator[None]:
    """Names the collection in errors."""
    try:
        yield
    except FlowError as error:
        raise type(error)(f"{target.collection}: {error}") from error
