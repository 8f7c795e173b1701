"""Reward functions: completions in, floats out; and how a reward model is trained."""
