"""Policies behind OpenAI's HTTP interface, and what their users say of the answers (no torch)."""
