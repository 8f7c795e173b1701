"""Ways to improve a policy: each a Method for the one training loop."""
