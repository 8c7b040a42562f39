"""The gate to Flow: requests, log lines, documents and checkpoints, and how a process ends."""
