"""What the HTTP API is, as OpenAPI 3.1: the descriptions of routes, and the document that is made of them."""
