"""The catalogue of every metric: names, units, labels, and what each counts.

Base units (seconds, bytes). Labels hold feed, mode, outcome or subscription: never a URL, a key or an event id.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from headrace.subscription_series import SubscriptionSeries

# Producers: into the log

# Events that Kafka acknowledged, by feed and by the way they came (ingest, replay).
events_in = Counter("headrace_producer_events_total", "Events acknowledged by Kafka.", ["feed", "mode"])
# Bytes of those events' values as stored.
bytes_in = Counter("headrace_producer_bytes_total", "Bytes of acknowledged events' values.", ["feed", "mode"])
# Events that were refused or failed, by reason (schema, too_large, kafka, queue_full).
events_refused = Counter("headrace_producer_refused_events_total", "Events not written, by reason.", ["feed", "reason"])
# Time from handing a request's events to librdkafka until the last one is acknowledged.
ack_seconds = Histogram(
    "headrace_producer_ack_seconds",
    "From hand-over to Kafka's acknowledgement, per request.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
# Bytes handed over and not yet acknowledged.
queue_bytes = Gauge("headrace_producer_queue_bytes", "Bytes waiting for Kafka's acknowledgement.", ["client"])
# librdkafka's own view of its queue and of the brokers (statistics.interval.ms).
rdkafka_queue_messages = Gauge(
    "headrace_rdkafka_queue_messages", "Messages in librdkafka's producer queue.", ["client"]
)
rdkafka_broker_rtt_seconds = Gauge(
    "headrace_rdkafka_broker_rtt_seconds", "p99 round trip to a broker.", ["client", "broker"]
)
rdkafka_broker_retries = Gauge(
    "headrace_rdkafka_broker_retries", "Requests retried since the client's start.", ["client", "broker"]
)
rdkafka_brokers_up = Gauge("headrace_rdkafka_brokers_up", "Brokers with an open connection.", ["client"])

# Streams: log to log

# Records read, events written, and what became of the rest, by feed.
stream_records = Counter("headrace_stream_records_total", "Records read by stream processors.", ["feed"])
stream_events_out = Counter("headrace_stream_events_total", "Events written by stream processors.", ["feed"])
# Repeats dropped by event id.
stream_duplicates = Counter("headrace_stream_duplicates_total", "Repeated events dropped by id.", ["feed"])
# Events that went to the dead letters, by reason.
dead_letters = Counter("headrace_dead_letters_total", "Events written to a dead-letter feed.", ["feed", "reason"])
# Time one batch spends in its transform.
transform_seconds = Histogram(
    "headrace_stream_transform_seconds",
    "Time in the pure transform of one batch.",
    ["feed"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)

# Consumers: out of the log

# Events handed to a client, by feed and mode (pull, long-poll, sse, webhook).
events_out = Counter("headrace_consumer_events_total", "Events delivered to clients.", ["feed", "mode"])
bytes_out = Counter("headrace_consumer_bytes_total", "Bytes of events delivered to clients.", ["feed", "mode"])
# Connections that follow live, by feed and mode.
followers = Gauge("headrace_consumer_followers", "Connections that follow a feed live.", ["feed", "mode"])
# Those of them whose socket is full: they take less than they are sent (GET /v1/followers lists them).
slow_followers = Gauge(
    "headrace_consumer_slow_followers", "Followers that take less than they are sent.", ["feed", "mode"]
)
# From the record's timestamp (set when the event was accepted) to its delivery; live modes only.
latency_seconds = Histogram(
    "headrace_consumer_latency_seconds",
    "From event accepted to delivered.",
    ["feed", "mode"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
# Events that entered the rings, and records read again from Kafka because a reader was behind them.
tail_events = Counter("headrace_consumer_tail_events_total", "Events read at the tail.", ["feed"])
history_events = Counter("headrace_consumer_history_events_total", "Events read from history.", ["feed"])
# Bytes the rings hold.
ring_bytes = Gauge("headrace_consumer_ring_bytes", "Bytes of newest events kept in memory.", ["feed"])

# The relay

# Attempts by outcome (delivered, failed, refused); refused means the answer forbids a retry.
attempts = Counter("headrace_relay_attempts_total", "Webhook attempts, by outcome.", ["feed", "outcome"])
attempt_seconds = Histogram(
    "headrace_relay_attempt_seconds",
    "Duration of one webhook attempt.",
    ["outcome"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
# Endpoints found failing, or well again (opened, reopened, closed, paused).
breaker_changes = Counter("headrace_relay_breaker_changes_total", "Changes of breakers.", ["feed", "change"])
# Lag, parked events, breaker and hours until loss, by subscription and feed: read when they are asked for.
subscriptions = SubscriptionSeries()
in_flight = Gauge("headrace_relay_requests_in_flight", "Webhook requests under way.")
owned = Gauge("headrace_relay_owned_subscriptions", "Subscriptions that this relay owns.")
# Of those the pull subscriptions that nobody has asked for a minute: they take next to no memory.
resting = Gauge("headrace_relay_resting_subscriptions", "Pull subscriptions that nobody asks.")

# Every service

# HTTP answers by route and status class.
http_requests = Counter("headrace_http_requests_total", "HTTP requests answered.", ["route", "method", "status"])
# Requests refused: by credential (401), scope (403), or the name of the quota that was used up (429).
access_refused = Counter("headrace_access_refused_total", "Requests refused, by reason.", ["reason"])
# Errors that were logged and went nowhere else, by part.
errors = Counter("headrace_errors_total", "Errors, by part.", ["part"])
# Begun at 0, so that the first error is a rise.
for part in ("access", "http", "jwks", "position_gone", "relay", "retention", "sse", "table", "tail"):
    errors.labels(part)
