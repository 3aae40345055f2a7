"""Installs, upgrades and removes the files by which Pacemaker, systemd and other programs find this package."""
