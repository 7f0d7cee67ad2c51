"""Which events somebody wants: filters in CEL over events, looked up for many subscribers at once.

Nothing in here knows HTTP, nor how an event is delivered.
"""
