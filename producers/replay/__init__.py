"""Replay: what files hold, written to feeds as if it happened now."""
