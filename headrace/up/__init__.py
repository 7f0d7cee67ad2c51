"""`headrace up`: the broker, the services and the real flights in one command."""
