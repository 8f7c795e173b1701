"""Heed: reinforcement learning from human feedback, the whole loop in one tool."""

__version__ = "0.1.0"
