"""`python -m heed`, for torchrun."""

from heed.cli.main import app

app()
