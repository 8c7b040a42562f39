"""Posts of Stripe as notices: which account has something to read, and whether notices can be relied on."""
