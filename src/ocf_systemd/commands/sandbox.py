"""`ocf-systemd sandbox`: a temporary container with its own systemd, to test a unit or a hook in."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.program import NotRunError, SuggestingGroup, program, require_root

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ocf_systemd.sandbox import Copy, Sandbox


# The sandbox's copy of this file is deleted. A sandbox is not a node of the host's cluster, so the commands that run in
# it must not take the cluster's resources into account.
_CIB = "/var/lib/pacemaker/cib/cib.xml"
_BIN = "/run/ocf-systemd-sandbox"  # in the sandbox: has only a link to this program, and comes first in the PATH


@program.group(cls=SuggestingGroup)
def sandbox() -> None:
    """Run commands in a temporary container with its own systemd.

    The sandbox boots in about a second, with an overlay of this host's files. All changes in the sandbox are lost when
    it ends. A sandbox needs root, cgroup2 and overlayfs.

    \b
    Examples:
      ocf-systemd sandbox run -- systemctl status
      ocf-systemd sandbox shell
    """


def _copies(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> "list[Copy]":
    from ocf_systemd.sandbox import Copy

    try:
        return [Copy.parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _complete_command(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """Complete the command to run: arguments of `ocf-systemd` as outside of a sandbox, all other words with files."""
    from click.shell_completion import CompletionItem, ShellComplete

    words: tuple[str, ...] = _ctx.params.get(_parameter.name or "") or ()
    if words and Path(words[0]).name == PROGRAM:
        return ShellComplete(program, {}, PROGRAM, "").get_completions([*words[1:]], incomplete)
    return [CompletionItem(incomplete, type="file")]


_copy = click.option(
    "--copy",
    "copies",
    multiple=True,
    metavar="SRC:DST",
    callback=_copies,
    type=click.Path(readable=False),  # for completion
    help="Copy a file into the sandbox; repeatable.",
)


@sandbox.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_copy
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=_complete_command)
def run_in_sandbox(copies: "list[Copy]", command: tuple[str, ...]) -> int:
    """Boot a sandbox, run COMMAND in it, end it.

    The exit code is COMMAND's. COMMAND sees this host's files; its changes are lost when the sandbox ends.

    \b
    Examples:
      ocf-systemd sandbox run -- systemctl start nginx
      ocf-systemd sandbox run \\
          --copy ./http:/usr/local/lib/ocf-systemd/hooks/http -- \\
          ocf-systemd debug cycle nginx \\
              --monitor-hook /usr/local/lib/ocf-systemd/hooks/http
    """
    with booted(copies) as host:
        return run_in_foreground(host, command)


@sandbox.command()
@_copy
def shell(copies: "list[Copy]") -> int:
    """Boot a sandbox and start a shell in it.

    The sandbox ends with the shell, and all changes are lost.

    \b
    Example:
      ocf-systemd sandbox shell --copy ./x.service:/etc/systemd/system/x.service
    """
    with booted(copies) as host:
        click.echo(f"sandbox booted in {host.boot_s:.1f} s; `exit` ends it and discards all changes", err=True)
        return run_in_foreground(host, ("bash", "--norc"), PS1=r"[sandbox] \w\$ ")


@contextmanager
def booted(copies: "list[Copy]") -> "Iterator[Sandbox]":
    """Boot a sandbox that ends with the block. Raises NotRunError if the sandbox cannot be booted."""
    from ocf_systemd.install.path_link import this_program
    from ocf_systemd.sandbox import SandboxUnavailableError, boot

    require_root("a sandbox has mounts and a systemd of its own, which only root can set up")
    try:
        with boot(copies=copies) as host:
            host.run(["rm", "-f", _CIB])
            if own := this_program():
                host.run(["mkdir", _BIN])
                host.run(["ln", "-s", str(own), _BIN])
            yield host
    except (SandboxUnavailableError, OSError) as error:
        raise NotRunError(str(error)) from error


def run_in_foreground(host: "Sandbox", command: Sequence[str], *, interruptible: bool = False, **variables: str) -> int:
    """Run a command on this terminal; return its exit code as a shell would.

    On a terminal, a Ctrl-C before script(1) has taken the terminal raises KeyboardInterrupt, which ends the command and
    the sandbox; after that, Ctrl-C is a character that only the command gets. script(1) loses this character if it
    comes in the moment before the command has its terminal; then a second Ctrl-C works. Without a terminal, SIGINT
    raises KeyboardInterrupt if `interruptible`; otherwise it is ignored.
    """
    from ocf_systemd.host.programs import SEARCH_PATH

    here = str(Path.cwd())
    directory = here if host.run(["test", "-d", here]).returncode == 0 else "/root"
    names = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    display = {name: os.environ[name] for name in names if name in os.environ}
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    handler = signal.default_int_handler if interruptible or terminal else signal.SIG_IGN
    interrupt = signal.signal(signal.SIGINT, handler)
    try:
        with _kept_modes() if terminal else nullcontext():
            code = host.call(
                command, env={"PATH": f"{_BIN}:{SEARCH_PATH}", **display, **variables}, cwd=directory, terminal=terminal
            )
    finally:
        signal.signal(signal.SIGINT, interrupt)
    return code if code >= 0 else 128 - code


@contextmanager
def _kept_modes() -> "Iterator[None]":
    """Restore the modes of the terminal at the end of a block: script(1), if it is killed, does not restore them."""
    import termios

    modes = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal has hung up
            termios.tcsetattr(sys.stdin, termios.TCSANOW, modes)
