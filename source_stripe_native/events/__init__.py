"""How changes are read: the event log, the feed that bindings share, changes, polled lists."""
