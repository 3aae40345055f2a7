"""`ocf-systemd demo`: an example service that hangs, in a sandbox."""

import shutil
from pathlib import Path, PurePosixPath

import click

import ocf_systemd
from ocf_systemd.commands.program import NotRunError, program

_PACKAGE = Path(ocf_systemd.__file__).parent
# The examples are in the package if a wheel was installed, and in the repository in a checkout (`pip install -e`).
_EXAMPLES = (_PACKAGE / "examples", _PACKAGE.parent.parent / "examples")
_COPY = PurePosixPath("/root/examples")  # in the sandbox
_NEEDED = {"curl": "curl", "/usr/bin/python3": "python3"}  # each program, and the package to install for it
_INTRODUCTION = """\
An example service hangs: systemd reports it active, the agent reports that it
failed. This takes about 10 s, in a sandbox: a temporary container with its own
systemd. Nothing on this host changes. Ctrl-C ends the demo.
"""


@program.command()
def demo() -> int:
    """Show in a sandbox how the agent detects that a service hangs.

    The demo takes about 10 s, shows each command that it runs, and leaves nothing behind. It needs root, cgroup2,
    overlayfs and curl.

    \b
    Example:
      ocf-systemd demo
    """
    from ocf_systemd.commands.sandbox import booted, run_in_foreground
    from ocf_systemd.host.programs import SEARCH_PATH
    from ocf_systemd.sandbox import Copy

    examples = next((each for each in _EXAMPLES if (each / "demo.sh").exists()), None)
    if examples is None:
        raise NotRunError(f"the files of the demo are missing in {_EXAMPLES[0]}. Install ocf-systemd again")
    with booted([Copy(examples, _COPY)]) as host:
        for tool, package in _NEEDED.items():
            if shutil.which(tool, path=SEARCH_PATH) is None:
                raise NotRunError(f"the demo needs {tool}. Install the package {package}")
        click.echo(_INTRODUCTION, nl=False)
        return run_in_foreground(host, ("sh", str(_COPY / "demo.sh")), interruptible=True)
