"""What events are: feeds, Avro schemas, the wire format and CloudEvents."""
