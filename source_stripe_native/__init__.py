"""Stripe capture connector for Estuary Flow: every object of every stream, in its last state."""
