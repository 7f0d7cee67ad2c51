"""Into the log: HTTP ingest and replay of files."""
