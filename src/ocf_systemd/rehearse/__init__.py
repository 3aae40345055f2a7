"""A rehearsal exercises a unit and its hook as a cluster would, reports what fails, and proposes timeouts.

Pure functions judge the facts (`checks`, `proposal`); only `unit_control`, `actions` and `runner` touch the host.
"""
