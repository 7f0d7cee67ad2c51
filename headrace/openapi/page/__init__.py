"""The OpenAPI document as one HTML page: no script, nothing fetched, so it works everywhere, offline too."""
