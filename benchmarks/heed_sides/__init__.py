"""Heed's side of each comparison, run by Heed's own Python."""
