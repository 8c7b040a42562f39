"""Terminal: locations, readers and their configurations. Only accounts with the product have these."""

from source_stripe_native.streams.row import AccountObject, ops


class _Terminal(AccountObject):
    PRODUCT = "terminal"
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
    SHOWS_DELETIONS = True


class TerminalLocations(_Terminal):
    NAME = "TerminalLocations"
    SEARCH_NAME = "terminal/locations"
    PERMISSION = "Terminal: Locations"


class TerminalReaders(_Terminal):
    NAME = "TerminalReaders"
    SEARCH_NAME = "terminal/readers"
    PERMISSION = "Terminal: Readers"
    # Registration, label and status have no event.
    EVENT_TYPES = ops(
        u="terminal.reader.action_failed terminal.reader.action_succeeded terminal.reader.action_updated"
    )


class TerminalConfigurations(_Terminal):
    NAME = "TerminalConfigurations"
    SEARCH_NAME = "terminal/configurations"
    PERMISSION = "Terminal: Configurations"
