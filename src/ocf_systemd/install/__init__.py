"""Installs, upgrades and removes what the rest of the host needs of this package."""
