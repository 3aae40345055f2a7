"""An OCF resource agent that wraps a systemd unit and adds a health hook to its monitor."""

__version__ = "0.2.0"
