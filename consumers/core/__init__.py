"""The reader core: read a feed from a position, batch by batch. Every mode of delivery is a thin layer over it.

Nothing in here knows HTTP.
"""
