"""Puts the resource agent file where Pacemaker looks for it, and takes it away again.

Only files that this program wrote are replaced or removed, unless told otherwise.
"""

import compileall
import os
import re
import signal
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import ocf_systemd
from ocf_systemd.core.text import printable
from ocf_systemd.core.timeouts import DEFAULT_TIMEOUT_S
from ocf_systemd.host.atomic_write import draft_of
from ocf_systemd.install import data_files

DEFAULT_OCF_ROOT = Path("/usr/lib/ocf")
DEFAULT_PROVIDER, DEFAULT_NAME = "pacemaker", "systemd"

_MARK = "# Resource agent of ocf-systemd, put here by `ocf-systemd install`, removed by `ocf-systemd uninstall`."
_AGENT_FILE = """\
{shebang}
{mark}

import gc
import posix
import sys

gc.disable()  # imports make no garbage; an action looks for it again
sys.path.insert(0, {packages!r})
try:
    from ocf_systemd.client import request_action

    code = request_action(sys.argv)
except Exception:  # the package has moved, or there is no memory: see what this process can do
    code = None
if code is not None:
    posix._exit(code)

del sys.path[0]
try:
    import site

    site.main()
    from ocf_systemd.agent.entry import main

    main()
except Exception as error:  # no memory or no descriptor left, say
    if isinstance(error, (ImportError, SyntaxError, FileNotFoundError)):
        # Half of the package is there, as while it is upgraded: begin anew, for as long as that may take.
        try:
            import time

            with open("/proc/self/stat", "rb") as stat:
                ticks = int(stat.read().rpartition(b")")[2].split()[19])
            age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / posix.sysconf("SC_CLK_TCK")
            timeout_ms = int(posix.environ.get(b"OCF_RESKEY_CRM_meta_timeout") or {timeout_ms})
            if age_s < min(timeout_ms / 2000, {patience_s}):
                time.sleep(0.1)
                posix.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        except Exception:
            pass
    prefix = posix.environ.get(b"OCF_EXIT_REASON_PREFIX") or b"ocf-exit-reason:"
    posix.write(2, prefix + f"the agent cannot be loaded: {{error!r}}\\n".encode(errors="replace"))
    posix._exit(1)
"""
_PATIENCE_S = 10  # far longer than pip(1) or dpkg(1) take to replace a package
_SHEBANG_MAX = 127  # execve(2): kernels before 5.1 read no more of the first line
_META_DATA_TIMEOUT_S = 30.0
_IMPORTED = ("ocf_systemd", "click", "anyio")  # what an action imports from beside the standard library


class InstallationError(Exception):
    """The agent file cannot be put in place or removed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class AgentFile:
    """Where an agent stands: `ocf:PROVIDER:NAME` below an OCF root directory."""

    ocf_root: Path = DEFAULT_OCF_ROOT
    provider: str = DEFAULT_PROVIDER
    name: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        """Refuse names that would lead out of the directory, or that Pacemaker could not call."""
        for word in (self.provider, self.name):
            if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]*", word):
                raise InstallationError(f"'{printable(word)}' is no name for an agent or its provider")

    @property
    def path(self) -> Path:
        """The agent's file."""
        return self.ocf_root / "resource.d" / self.provider / self.name

    @property
    def standard(self) -> str:
        """The agent as Pacemaker's tools write it."""
        return f"ocf:{self.provider}:{self.name}"


def install(agent: AgentFile, *, share: Path | None = None, force: bool = False) -> tuple[str, ...]:
    """Put the agent file in place, in one step, once it has shown that it works; return warnings.

    What the agent imports is compiled, where that has not been done and can be. Below `share` go manual pages and
    completion. Raises `InstallationError`, and then nothing else has changed; nor when it is interrupted. `force`
    replaces a file of somebody else's.
    """
    if not force and agent.path.exists() and not _is_ours(agent.path):
        raise InstallationError(f"{agent.path} is not an agent of ocf-systemd; --force replaces it")
    _compile()  # before anything of it is run, which would write for the caller's umask
    try:
        agent.path.parent.mkdir(parents=True, exist_ok=True)
        warnings = _put(agent, share)
    except OSError as error:
        raise InstallationError(f"{agent.path} cannot be written: {_told(error)}") from error
    finally:
        _prune(agent)
    return (*_readability_warnings(), *warnings)


def _put(agent: AgentFile, share: Path | None) -> tuple[str, ...]:
    # Pacemaker's tools list no hidden file, such as this one while it is tried out.
    with draft_of(agent.path, _agent_text().encode(), 0o755) as draft:
        _try_out(draft, agent)
        with uninterrupted():
            draft.replace(agent.path)
            return data_files.put(share) if share else ()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Have Ctrl-C, and what else ends a command, wait for the end of the block: steps that go together, and are short.

    The processes that it starts inherit that.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _told(error: OSError) -> str:
    """Return what an error means, and what to do where that can be told."""
    return f"{error.strerror}. Run this as root" if isinstance(error, PermissionError) else str(error.strerror)


def _compile() -> None:
    """Write the byte code of what an action imports, for everybody to read: most callers could not write it.

    Nothing hangs on it but time: what cannot be written is compiled anew in each process, as it was before.
    """
    umask = os.umask(0o022)
    try:
        for name in _IMPORTED:
            with suppress(Exception):
                spec = find_spec(name)
                for directory in (spec and spec.submodule_search_locations) or ():
                    compileall.compile_dir(directory, quiet=2)
    finally:
        os.umask(umask)


def _prune(agent: AgentFile) -> None:
    """Remove the directories above an agent that are empty."""
    with suppress(OSError):
        for directory in (agent.path.parent, agent.path.parent.parent, agent.ocf_root):
            directory.rmdir()


def uninstall(agent: AgentFile, *, force: bool = False) -> bool:
    """Remove the agent file, and the directories above it that are empty then; return whether there was one.

    Raises `InstallationError`.
    """
    if not agent.path.exists():
        return False
    if not force and not _is_ours(agent.path):
        raise InstallationError(f"{agent.path} is not an agent of ocf-systemd; --force removes it")
    try:
        agent.path.unlink()
    except OSError as error:
        raise InstallationError(f"{agent.path} cannot be removed: {_told(error)}") from error
    _prune(agent)
    return True


def take_away_shared(share: Path) -> str:
    """Remove manual pages and completion; return what was done, or nothing, for people. Raises `InstallationError`."""
    try:
        return f"removed manual pages and completion below {share}" if data_files.take_away(share) else ""
    except OSError as error:
        raise InstallationError(f"{error.filename} cannot be removed: {_told(error)}") from error


def agents_below(*ocf_roots: Path) -> tuple[Path, ...]:
    """Return the agent files of ours, whatever their names, below OCF root directories; not those in the making."""
    found = (path for root in dict.fromkeys(ocf_roots) for path in sorted(root.glob("resource.d/*/[!.]*")))
    return tuple(path for path in found if path.is_file() and _is_ours(path))


def _is_ours(path: Path) -> bool:
    with suppress(OSError, UnicodeDecodeError):
        return _MARK in path.read_text(encoding="utf-8").splitlines()
    return False


def is_outdated(path: Path) -> bool:
    """Tell whether an agent file is of this installation, and not as that would write it now."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return sys.executable in text and text != _agent_text()


def _agent_text() -> str:
    packages = str(Path(ocf_systemd.__file__).resolve().parent.parent)
    return _AGENT_FILE.format(
        shebang=_shebang(sys.executable),
        mark=_MARK,
        packages=packages,
        timeout_ms=round(DEFAULT_TIMEOUT_S * 1000),
        patience_s=_PATIENCE_S,
    )


def _shebang(interpreter: str) -> str:
    """Return a first line, or three, that start the file with an interpreter, isolated from the caller's environment.

    It looks for no installed packages (-S): who asks the resident server needs none, and they take half its time.

    Where execve(2) would split or cut the path, sh reads the file first and hands it on: to Python its second line
    is a string.
    """
    line = f"#!{interpreter} -IS"
    if len(line) <= _SHEBANG_MAX and not re.search(r"\s", interpreter):
        return line
    quoted = interpreter.replace("'", "'\"'\"'")
    return f"#!/bin/sh\n'''exec' '{quoted}' -IS \"$0\" \"$@\"\n' '''"


def _try_out(draft: Path, agent: AgentFile) -> None:
    """Call the agent as pcs does, without an environment but for this: it is not to wait for what is missing."""
    environment = {"OCF_RESOURCE_TYPE": agent.name, "OCF_RESKEY_CRM_meta_timeout": "0"}
    command = [str(draft), "meta-data"]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_META_DATA_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallationError(f"the agent does not start: {error}") from error
    if done.returncode or "</resource-agent>" not in done.stdout:
        said = printable((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
        raise InstallationError(
            f"{sys.executable} cannot run the agent: {said}. Install ocf-systemd into that Python's environment."
        )


def _readability_warnings() -> Iterator[str]:
    """Yield what keeps other users from running the agent.

    Pacemaker's controller calls meta-data as hacluster, and takes no parameter for reloadable when it cannot.
    """
    if why := why_unreadable():
        yield (
            f"users other than root cannot read {why}: "
            "Pacemaker will restart the service where a changed parameter could be reloaded, and ocf-tester will "
            "fail; install into an environment everyone can read, such as /opt/ocf-systemd"
        )


def why_unreadable() -> str:
    """Return what of this installation users other than root cannot read, and what keeps them out; empty: nothing."""
    package = Path(ocf_systemd.__file__).resolve().parent
    interpreter = Path(sys.executable)
    stdlib = Path(sysconfig.get_path("stdlib"))
    for subject, path in (
        ("interpreter", interpreter),
        ("interpreter", interpreter.resolve()),
        ("standard library", stdlib),
        ("package", package),
    ):
        if closed := _closed_to_others(path):
            return f"the {subject} {path} (the mode of {closed} keeps them out)"
    return ""


def _closed_to_others(path: Path) -> Path | None:
    """Return the first place on the way to a path where users other than owner and group are kept out."""
    for place in (*reversed(path.parents), path):
        mode = place.stat().st_mode
        needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
        if mode & needed != needed:
            return place
    return None
