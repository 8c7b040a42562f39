"""`make clients`: Stripe's own clients against the local Stripe, which need registries: no part of pytest's."""
