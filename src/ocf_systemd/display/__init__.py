"""Output for people: where it goes, and what it has in common."""
