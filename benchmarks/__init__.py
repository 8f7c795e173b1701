"""Side-by-side runs: both sides in one process tree, in turn, with a check that they agree."""
