"""Touches the host: processes, systemd, hooks, files. Decides nothing."""
