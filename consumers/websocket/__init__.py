"""WebSocket (RFC 6455) on a feed's URL: many feeds on one socket with credits, or just the events of one."""
