"""Durable streams: feeds that clients make, append to and delete over HTTP, as Durable Streams 1.0 has it.

What a stream is and the rules of appending, shared by those who write streams (`producers/`) and who read them
(`consumers/`).
"""
