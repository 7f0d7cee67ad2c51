"""Log to log: the Faust app and its transforms."""
