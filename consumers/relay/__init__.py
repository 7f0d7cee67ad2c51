"""The relay: owns subscriptions and pushes their events. The log is the queue; a subscription is a position in it."""
