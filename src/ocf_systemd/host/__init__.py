"""Modules that access the host: processes, systemd, hooks and files. They decide nothing about an action's result."""
