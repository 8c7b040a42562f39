"""`make clients`: Stripe's own clients against the local Stripe. They need registries: no part of pytest."""
