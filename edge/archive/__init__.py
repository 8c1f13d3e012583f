"""Stored fields by the hundred thousand, on as many machines as there are: ``blastcount archive``.

Each worker builds the one line and counts some hundred fields a task; what is here shares the work out, reads
files wherever they lie, and keeps what came of them. Dask schedules, fsspec reads, Arrow writes.
"""
