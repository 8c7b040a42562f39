"""A running capture: its bindings, what they share, and how it is."""
