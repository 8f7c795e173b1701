"""The judge that feedback, rewards and evaluation share: a language model with a rubric."""
