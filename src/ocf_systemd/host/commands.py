"""Runs a program for a command that people run, and waits for its end; `processes` runs those of an action."""

import pwd
import subprocess
from collections.abc import Mapping
from contextlib import suppress

_KILL_S = 1.0  # until a killed program has ended


def run_to_end(
    *command: str,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    account: pwd.struct_passwd | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program without input, as the user of `account`; return its exit code and output.

    Raises OSError: TimeoutError after `timeout_s`.
    """
    process = subprocess.Popen(
        [*command],
        env=environment,
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=() if account else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        process.kill()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
        # One in an uninterruptible state does not end: it is left.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_S)
        raise TimeoutError(str(error)) from None
    except BaseException:  # KeyboardInterrupt, too
        process.kill()
        raise
    return subprocess.CompletedProcess([*command], process.returncode, stdout, stderr)
