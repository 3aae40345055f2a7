"""Debug mode: the same actions with a reporter that shows them to a user; only its rich view imports rich."""
