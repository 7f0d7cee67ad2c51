"""Feeds as AsyncAPI 3: a channel for each, with its topic, its messages, and the ways in and out over HTTP."""
