"""The routes that write, for their callers: a file for each chapter."""
