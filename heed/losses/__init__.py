"""Objectives as sums that say what they count; the equation stands beside the line."""
