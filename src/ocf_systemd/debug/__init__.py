"""Debug mode: the same actions with another listener, for people; only its live view imports rich."""
