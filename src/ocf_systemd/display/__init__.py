"""Output for people: whether it goes to a terminal, and how the results of checks are rendered."""
