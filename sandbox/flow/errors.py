"""The errors that a user of the local runtime is told: one line that says what is wrong and what to do."""


class FlowError(Exception):
    """Anything that ends a command. Its text is shown as it is."""


class CatalogError(FlowError):
    """A flow.yaml file, or a file that it names, can't be used."""


class ConnectorFailed(FlowError):
    """The connector exited with an error; the text is its last log line. `is_logged`: as an error, so that
    the log tells it already."""

    def __init__(self, message: str, *, is_logged: bool = False) -> None:
        super().__init__(message)
        self.is_logged = is_logged


class ProtocolError(FlowError):
    """The connector wrote something that the capture protocol has no place for."""


class InvalidDocument(FlowError):
    """A captured document that its collection can't hold."""
