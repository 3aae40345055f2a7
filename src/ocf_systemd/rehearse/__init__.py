"""A rehearsal: does to a unit and its hook what a cluster and bad luck would, says what fails, and proposes timeouts.

What was seen is judged by pure functions (`judging`, `proposal`); only `stage` and `conductor` touch the host.
"""
