"""Installs the resource agent file in the directory where Pacemaker looks for it, and removes it.

Without `force` only agent files that this program installed are replaced or removed.
"""

import compileall
import errno
import os
import re
import shutil
import stat
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import ocf_systemd
from ocf_systemd.core.text import printable
from ocf_systemd.core.timeouts import DEFAULT_TIMEOUT_S
from ocf_systemd.host.atomic_write import readable_for_all, temporary_file
from ocf_systemd.host.commands import run_to_end
from ocf_systemd.host.programs import SEARCH_PATH, why_unsafe
from ocf_systemd.host.signals import uninterrupted
from ocf_systemd.install import data_files
from ocf_systemd.install.ownership import is_ours, text_of, version_line

DEFAULT_OCF_ROOT = Path("/usr/lib/ocf")
DEFAULT_PROVIDER, DEFAULT_NAME = "pacemaker", "systemd"
_OF_PACKAGES = "/usr/lib/python3/dist-packages"  # Debian Python Policy 3.1: only for modules of Debian packages

# Do not change the mark: agent files of earlier versions are recognized by it as well.
_MARK = "# Resource agent of ocf-systemd, put here by `ocf-systemd install`, removed by `ocf-systemd uninstall`."
_AGENT_FILE = """\
{shebang}
{mark}
{version}
# SPDX-License-Identifier: GPL-2.0-or-later
# License: GNU General Public License, version 2 or later

import gc
import posix
import sys

gc.disable()  # imports leave no garbage; an action enables it again
sys.path.insert(0, {packages!r})
try:
    from ocf_systemd.client import request_action

    code = request_action(sys.argv)
except Exception:  # the package has moved, or memory is short: run the action in this process
    code = None
if code is not None:
    posix._exit(code)

del sys.path[0]
try:
    import site

    site.main()
    from ocf_systemd.agent.entry import main

    main()
except Exception as error:  # for example: no memory or no file descriptor left
    if isinstance(error, (ImportError, SyntaxError, AttributeError, TypeError, FileNotFoundError)):
        # Files are missing or of two versions, as during an upgrade: start again, for as long as an upgrade may take.
        try:
            import time

            with open("/proc/self/stat", "rb") as stat:
                ticks = int(stat.read().rpartition(b")")[2].split()[19])
            age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / posix.sysconf("SC_CLK_TCK")
            timeout_ms = int(posix.environ.get(b"OCF_RESKEY_CRM_meta_timeout") or {timeout_ms})
            if age_s < min(timeout_ms / 2000, {upgrade_s}):
                time.sleep(0.1)
                posix.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        except Exception:
            pass
    prefix = posix.environ.get(b"OCF_EXIT_REASON_PREFIX") or b"ocf-exit-reason:"
    posix.write(2, prefix + f"the agent cannot be loaded: {{error!r}}\\n".encode(errors="replace"))
    posix._exit(1)
"""
_UPGRADE_MAX_S = 10  # seconds; pip(1) and dpkg(1) take far less to replace a package
_SHEBANG_MAX = 127  # bytes; execve(2): kernels before 5.1 read no more of the first line
_META_DATA_TIMEOUT_S = 30.0
_READ_ONLY = (
    ". If this host boots an image, run `ocf-systemd install` while the image is built, or install into a system "
    "extension: --ocf-root /var/lib/extensions/NAME/usr/lib/ocf, see systemd-sysext(8)"
)
_IMPORTED = ("ocf_systemd", "click", "anyio")  # the packages that an action imports


class InstallationError(Exception):
    """The installation or removal failed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class AgentFile:
    """The agent `ocf:PROVIDER:NAME` below an OCF root directory."""

    ocf_root: Path = DEFAULT_OCF_ROOT
    provider: str = DEFAULT_PROVIDER
    name: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        """Reject names that lead out of the directory, or that Pacemaker cannot call. Raises `InstallationError`."""
        for word in (self.provider, self.name):
            if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]*", word):
                raise InstallationError(
                    f"'{printable(word)}' is not a valid name of an agent or provider: "
                    "expected letters, digits and _ . -, beginning with a letter or digit"
                )

    @property
    def path(self) -> Path:
        """The path of the agent file."""
        return self.ocf_root / "resource.d" / self.provider / self.name

    @property
    def standard(self) -> str:
        """The agent's name as Pacemaker's tools write it."""
        return f"ocf:{self.provider}:{self.name}"

    @property
    def is_for_this_host(self) -> bool:
        """Whether Pacemaker on this host finds the agent; if not, the OCF root is, for example, a staging directory."""
        return self.ocf_root.resolve() == DEFAULT_OCF_ROOT.resolve()

    @property
    def text(self) -> str:
        """The text of the agent file, empty if there is none."""
        return text_of(self.path)

    @property
    def is_packaged(self) -> bool:
        """Whether the agent file is part of a Debian package, which alone removes it."""
        return _runs_packaged_code(self.text)

    @property
    def survives_uninstall(self) -> bool:
        """Whether the agent file is part of a Debian package, and this program is of another installation."""
        return self.is_packaged and not _runs_packaged_code(agent_text())


def install(agent: AgentFile, *, share: Path | None = None, force: bool = False) -> tuple[str, ...]:
    """Install the agent file atomically, after a test run of it; return warnings.

    The packages that the agent imports are compiled to byte code where that is possible. Manual pages and completion
    are installed below `share`. Raises `InstallationError`. If that is raised, or if the installation is interrupted,
    nothing but byte code has changed. `force` replaces a file of another program.
    """
    if not force and agent.path.exists() and not is_ours(agent.path, _MARK):
        raise InstallationError(f"{agent.path} is not an agent of ocf-systemd; --force replaces it")
    with readable_for_all():
        _compile()  # before the test run, which would write byte code itself
        try:
            agent.path.parent.mkdir(parents=True, exist_ok=True)
            warnings = _install_files(agent, share)
        except OSError as error:
            advice = _READ_ONLY if error.errno == errno.EROFS else ""
            raise InstallationError(f"{agent.path} cannot be written: {describe(error)}{advice}") from error
        finally:
            _prune(agent)
    return (*_host_warnings(agent), *warnings)


def _install_files(agent: AgentFile, share: Path | None) -> tuple[str, ...]:
    # The temporary file is hidden: Pacemaker's tools do not list it.
    with temporary_file(agent.path, agent_text().encode(), 0o755) as temporary:
        _test_run(temporary, agent)
        with uninterrupted():
            temporary.replace(agent.path)
            return data_files.install(share) if share else ()


def describe(error: OSError) -> str:
    """Describe an error, and for a lack of permission what to do."""
    return f"{error.strerror}. Run this as root" if isinstance(error, PermissionError) else str(error.strerror)


def _compile() -> None:
    """Write the byte code of the packages that an action imports.

    Byte code only saves time: without it, Python compiles the modules again in each process.
    """
    for name in _IMPORTED:
        with suppress(Exception):
            for directory in _directories_of(name):
                compileall.compile_dir(directory, quiet=2)


def _directories_of(package: str) -> list[str]:
    spec = find_spec(package)
    return list((spec and spec.submodule_search_locations) or ())


def _prune(agent: AgentFile) -> None:
    """Remove the empty directories above an agent."""
    with suppress(OSError):
        for directory in (agent.path.parent, agent.path.parent.parent, agent.ocf_root):
            directory.rmdir()


def uninstall(agent: AgentFile, *, force: bool = False) -> str:
    """Remove the agent file, and directories above it that are then empty; return a message for the user.

    Raises `InstallationError`. `force` removes a file of another program or of a package.
    """
    if not agent.path.exists():
        return f"{agent.path} does not exist: nothing to remove"
    if not force and agent.is_packaged:  # dpkg(1) would not restore it, for example if it aborts a removal
        return f"kept {agent.path}: apt removes it with its Debian package"
    if not force and not is_ours(agent.path, _MARK):
        raise InstallationError(f"{agent.path} is not an agent of ocf-systemd; --force removes it")
    try:
        agent.path.unlink()
    except OSError as error:
        raise InstallationError(f"{agent.path} cannot be removed: {describe(error)}") from error
    _prune(agent)
    return f"removed {agent.path}"


def _runs_packaged_code(text: str) -> bool:
    return f"\nsys.path.insert(0, {_OF_PACKAGES!r})\n" in text


def agents_below(*ocf_roots: Path) -> tuple[Path, ...]:
    """Return the agent files that this program installed below OCF root directories, whatever their names."""
    found = (path for root in dict.fromkeys(ocf_roots) for path in sorted(root.glob("resource.d/*/[!.]*")))
    return tuple(path for path in found if path.is_file() and is_ours(path, _MARK))


def is_outdated(path: Path) -> bool:
    """Return whether this installation installed an agent file, but would write another text now."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return sys.executable in text and text != agent_text()


def imported_packages(agent: Path) -> tuple[str, ...]:
    """Return the directories from which an agent file imports: this package, its dependencies, the standard library."""
    text = agent.read_text(encoding="utf-8", errors="replace")
    own = (f"{path}/ocf_systemd" for path in re.findall(r"^sys\.path\.insert\(0, '(.+)'\)$", text, re.MULTILINE))
    return (*own, *chain(*map(_directories_of, _IMPORTED[1:])), sysconfig.get_path("stdlib"))


def agent_text() -> str:
    """Return the text of an agent file that runs this installation."""
    packages = str(Path(ocf_systemd.__file__).resolve().parent.parent)
    return _AGENT_FILE.format(
        shebang=_shebang(sys.executable),
        mark=_MARK,
        version=version_line(ocf_systemd.__version__),
        packages=packages,
        timeout_ms=round(DEFAULT_TIMEOUT_S * 1000),
        upgrade_s=_UPGRADE_MAX_S,
    )


def _shebang(interpreter: str) -> str:
    """Return the one or three lines with which the agent file starts, isolated from the caller's environment (-I).

    -S skips the search for installed packages: a client of the resident server needs none, and the search takes half
    of the client's run time. Three lines are needed if execve(2) would split or truncate the interpreter's path: then
    sh runs the file first and starts the interpreter. To Python the second and third line are a string.
    """
    line = f"#!{interpreter} -IS"
    if len(line) <= _SHEBANG_MAX and not re.search(r"\s", interpreter):
        return line
    quoted = interpreter.replace("'", "'\"'\"'")
    return f"#!/bin/sh\n'''exec' '{quoted}' -IS \"$0\" \"$@\"\n' '''"


def _test_run(temporary: Path, agent: AgentFile) -> None:
    """Run meta-data with these variables only, as pcs does. With timeout 0 the agent does not wait for an upgrade."""
    environment = {"OCF_RESOURCE_TYPE": agent.name, "OCF_RESKEY_CRM_meta_timeout": "0"}
    try:
        done = run_to_end(str(temporary), "meta-data", timeout_s=_META_DATA_TIMEOUT_S, environment=environment)
    except OSError as error:
        raise InstallationError(f"the agent cannot be started: {error}") from error
    if done.returncode or "</resource-agent>" not in done.stdout:
        message = printable((done.stderr.strip().splitlines() or ["it failed without a message"])[-1])
        raise InstallationError(
            f"{sys.executable} cannot run the agent: {message}. Install ocf-systemd into that Python's environment."
        )


def _host_warnings(agent: AgentFile) -> Iterator[str]:
    """Yield a warning if users other than root cannot run the agent or could change it, or if systemd is missing.

    Pacemaker's controller runs meta-data as hacluster. If that fails, it assumes that no parameter is reloadable.
    """
    if unreadable := _find_unreadable(agent.path):
        yield (
            f"users other than root cannot read {_describe_unreadable(*unreadable)}. Pacemaker's controller reads the "
            "agent's meta-data as user hacluster. It will restart the service after each change of a parameter, and "
            f"ocf-tester will fail. {_fix_mode(unreadable[2], agent, 'go+rX')}"
        )
    if os.geteuid() == 0 and (unsafe := next(_unsafe_parts(agent), "")):
        place = Path(unsafe.partition(" ")[0])
        yield f"{unsafe}. Pacemaker runs the agent as root. {_fix_mode(place, agent, 'go-w')}"
    if agent.is_for_this_host and not shutil.which("systemctl", path=SEARCH_PATH):
        yield "systemd is not installed here, and the agent can run no unit without it. Install the package systemd"


def _fix_mode(place: Path, agent: AgentFile, mode: str) -> str:
    """Return advice on the wrong mode of a file or directory.

    If the file is in this virtual environment, the command corrects the whole environment; if it is on the agent's
    path, only that file. For any other file, the advice is to install into another environment.
    """
    prefix = Path(sys.prefix)
    if prefix != Path(sys.base_prefix) and place.is_relative_to(prefix):
        return f"Run: chmod -R {mode} {prefix}"
    if agent.path.is_relative_to(place):
        return f"Run: chmod {mode} {place}"
    return "Install into an environment that every user can read: /usr/bin/python3 -m venv /opt/ocf-systemd"


def _unsafe_parts(agent: AgentFile) -> Iterator[str]:
    """Yield the path components by which users other than root could change what Pacemaker runs, and why."""
    own = [str(agent.path)] if agent.is_for_this_host else []
    for path in (*own, sys.executable, *imported_packages(agent.path)):
        with suppress(OSError):
            if why := why_unsafe(path, frozenset({0})):
                yield why


def why_unreadable() -> str:
    """Return which part of this installation users other than root cannot read, and why; empty if they can read all."""
    unreadable = _find_unreadable(Path(__file__))
    return _describe_unreadable(*unreadable) if unreadable else ""


def _describe_unreadable(subject: str, path: Path, closed: Path) -> str:
    return f"the {subject} {path} (the mode of {closed} keeps them out)"


def _find_unreadable(agent: Path) -> tuple[str, Path, Path] | None:
    """Return the first file that users other than root cannot read: its kind, its path, and what keeps them out.

    The last item is the first directory on the path that these users cannot enter, or the file itself.
    """
    interpreter, settings = Path(sys.executable), Path(sys.prefix, "pyvenv.cfg")
    modules = (path for name in _IMPORTED for each in _directories_of(name) for path in Path(each).rglob("*.py"))
    for subject, path in (
        ("interpreter", interpreter),
        ("interpreter", interpreter.resolve()),
        ("standard library", Path(sysconfig.get_path("stdlib"))),
        *([("file", settings)] if settings.exists() else []),
        ("package", Path(ocf_systemd.__file__).resolve().parent),
        *(("module", path) for path in modules),
        ("agent", agent),
    ):
        if closed := _closed_to_others(path):
            return subject, path, closed
    return None


def _closed_to_others(path: Path) -> Path | None:
    """Return the first directory or file of a path that only its owner and group may enter or read."""
    for each in (*reversed(path.parents), path):
        mode = each.stat().st_mode
        needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
        if mode & needed != needed:
            return each
    return None
