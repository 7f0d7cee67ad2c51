"""Out of the log: the reader core and every way of delivery on top of it."""
