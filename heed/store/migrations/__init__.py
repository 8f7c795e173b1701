"""How the tables came to be, one Alembic revision a file in `versions`."""
