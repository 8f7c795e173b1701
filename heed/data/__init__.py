"""Data from outside: files of transcripts, read as records."""
