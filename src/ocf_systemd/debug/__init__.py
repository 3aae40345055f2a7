"""Debug mode: runs the agent's actions and shows them to a user; of its views, only the rich view imports rich."""
