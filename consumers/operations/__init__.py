"""The routes that read, for their callers: a file for each chapter."""
