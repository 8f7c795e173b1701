"""Samplers: records in, completions with ids and log-probs out."""
