"""Batch jobs: every picture of a folder, a list, an archive, a table or a video → one row of a table."""
