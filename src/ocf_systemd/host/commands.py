"""Runs a program for a command that people run, and waits for its end; `processes` runs those of an action."""

import subprocess
from collections.abc import Mapping


def run_to_end(
    *command: str, timeout_s: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program without input; return its exit code and output. Raises OSError: TimeoutError after `timeout_s`."""
    try:
        return subprocess.run(
            [*command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(str(error)) from None
