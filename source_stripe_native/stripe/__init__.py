"""How we talk to Stripe: requests, rate limits, pages, documents, children, permissions, accounts."""
