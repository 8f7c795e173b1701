"""Data from outside: tables of preferences in many formats, and transcripts, as records."""
