"""`preview`: runs a capture and prints each transaction as it is committed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from sandbox.flow.document import printed
from sandbox.flow.progress import Progress
from sandbox.flow.session import Capture, Session
from sandbox.flow.state import combined
from sandbox.flow.transaction import Transaction

Write = Callable[[bytes], None]


@dataclass(frozen=True)
class Preview:
    sessions: Sequence[int] = (-1,)
    """How many transactions each session is to have; a negative number is no limit."""
    delay: float = 0.0
    timeout: float | None = None
    """Seconds of silence after which the preview ends."""
    output_state: bool = False
    output_apply: bool = False

    async def run(self, capture: Capture, write: Write, progress: Progress) -> None:
        """Ends after the last session, or when the connector was silent for too long. Raises FlowError."""
        await capture.validate()
        for transactions in self.sessions:
            async with capture.session(delay=self.delay, timeout=self.timeout) as session:
                if self.output_apply:
                    with progress.aside():
                        write(_line(["applied.actionDescription", session.applied]))
                if not await self._session(capture, session, transactions, write, progress):
                    return

    async def _session(
        self, capture: Capture, session: Session, transactions: int, write: Write, progress: Progress
    ) -> bool:
        """Whether the session had all its transactions; if not, it fell silent."""
        left = transactions
        while left != 0:
            transaction = await anext(session, None)
            if transaction is None:
                return False
            with progress.aside():
                write(b"".join(self._lines(capture, transaction)))
            progress.count(capture.bindings[binding].target for binding, _ in transaction.documents)
            left -= 1
        return True

    def _lines(self, capture: Capture, transaction: Transaction) -> Iterator[bytes]:
        for binding, document in transaction.documents:
            yield printed(capture.bindings[binding].target, document)
        if self.output_state and (update := combined(transaction.updates, capture.state)):
            yield _line(["connectorState", {"updated": update.updated, "mergePatch": update.merge_patch}])


def _line(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
