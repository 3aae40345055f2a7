"""Runs a program for one of the commands that people run, and waits for its end.

The programs of an action, such as systemctl(1) and hooks, are run by `processes` instead.
"""

import pwd
import subprocess
from collections.abc import Mapping
from contextlib import suppress

_KILL_S = 1.0  # seconds to wait for the end of a killed program


def run_to_end(
    *command: str,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    account: pwd.struct_passwd | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program without input and return its exit code and output.

    `environment` and the user of `account` replace this process's own. Raises OSError; after `timeout_s` TimeoutError.
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
        # A program in uninterruptible sleep does not end: after this wait it is left to the kernel.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_S)
        raise TimeoutError(str(error)) from None
    except BaseException:  # KeyboardInterrupt, too
        process.kill()
        raise
    return subprocess.CompletedProcess([*command], process.returncode, stdout, stderr)
