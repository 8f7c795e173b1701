"""The preference store: projects, items, annotators, annotations, leases, in a real database."""
