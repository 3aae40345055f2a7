"""The resident server: performs the monitors of many resources in one process."""
