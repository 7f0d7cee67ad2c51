"""The flights example: departures out of New York, enriched, and the latest leg of every plane."""
