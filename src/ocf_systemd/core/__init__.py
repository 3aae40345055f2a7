"""Decides, and does nothing else: no I/O, no event loop, no operating system."""
