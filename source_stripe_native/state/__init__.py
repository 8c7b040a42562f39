"""State, as values: its shapes and patches, windows of time, shards. Pure."""
