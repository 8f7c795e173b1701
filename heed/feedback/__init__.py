"""Who says which answer is better, and what a verdict is worth in training."""
