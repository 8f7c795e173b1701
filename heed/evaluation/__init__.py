"""Is a policy better, how surely, and beside which simpler things."""
