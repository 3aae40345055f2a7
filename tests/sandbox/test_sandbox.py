"""The sandbox, with real boots: these tests need root."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM, Signals
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pexpect
import psutil
import pytest

import ocf_systemd.sandbox
from ocf_systemd.sandbox import Copy, Sandbox, SandboxEndedError, SandboxUnavailableError, boot
from ocf_systemd.sandbox.layers import Mount, cgroup2_directory, choose_layers, parse_mounts
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator


PACKAGE = Path(ocf_systemd.__file__).parent
MOUNTS = Path("/proc/self/mountinfo")

# Holds a sandbox as a user's program would, with a command running in it, until something ends this.
HOLD = """
import sys
from ocf_systemd.sandbox import boot

with boot(name=sys.argv[1]) as sandbox:
    print(sandbox.pid, flush=True)
    sandbox.call(["sh", "-c", "sleep 1000; true"])
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with boot() as booted:
        yield booted


@pytest.fixture
def name() -> str:
    """Return a unique host name, by which the traces of a sandbox are found while others run."""
    return f"test-{secrets.token_hex(4)}"


def pid_namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/pid").readlink()


def traces(name: str, namespace: Path) -> list[str]:
    """Return what remains of a sandbox: cgroups, processes in its PID namespace, and its supervisors."""
    hierarchy = cgroup2_directory(parse_mounts(MOUNTS.read_text()))
    found = [str(path) for path in Path(hierarchy or "/sys/fs/cgroup").glob(f"*{name}*")]
    for process in psutil.process_iter():
        try:
            if pid_namespace(process.pid) == namespace or f"-{name}-" in " ".join(process.cmdline()):
                found.append(str(process))
        except (psutil.Error, OSError):  # it has ended, or belongs to another sandbox
            continue
    return found


def run_python(script: str, *interpreter: str, path: Path) -> str:
    return subprocess.run(
        [*interpreter, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": str(path)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout


@pytest.fixture
def below_tmp() -> Iterator[Path]:
    """Yield a directory below /tmp, which a sandbox hides."""
    with TemporaryDirectory(dir="/tmp", prefix="pytest-of-") as directory:  # whose coverage is not measured
        yield Path(directory)


class TestInside:
    def test_pid_1_is_systemd(self, sandbox: Sandbox) -> None:
        """PID 1 is systemd, which has completed the boot without failed units or queued jobs."""
        assert sandbox.run(["cat", "/proc/1/comm"]).stdout == "systemd\n"
        assert sandbox.run(["systemctl", "is-system-running"]).stdout == "running\n"
        assert sandbox.run(["systemctl", "list-jobs"]).stdout == "No jobs running.\n"

    def test_boots_within_seconds(self, sandbox: Sandbox) -> None:
        """A boot takes less than ten seconds, usually about one."""
        assert 0 < sandbox.boot_s < 10

    def test_basic_services_only(self, sandbox: Sandbox) -> None:
        """D-Bus, journal and logind run, but no service that is enabled on the host."""
        listed = sandbox.run(["systemctl", "list-units", "--state=running", "--type=service", "--plain", "--no-legend"])
        assert {line.split()[0].replace("-broker", "") for line in listed.stdout.splitlines()} == {
            "dbus.service",
            "systemd-journald.service",
            "systemd-logind.service",
        }

    def test_exit_code_and_output(self, sandbox: Sandbox) -> None:
        """Exit code, standard output and standard error are those of the command."""
        result = sandbox.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
        assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")

    def test_input(self, sandbox: Sandbox) -> None:
        """The command reads the given input, or an empty one."""
        assert sandbox.run(["cat"], input="naïve\n").stdout == "naïve\n"
        assert sandbox.run(["cat"]).stdout == ""

    def test_call_uses_our_streams(self, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
        """A called command has the standard streams of this process; its exit code is returned."""
        assert sandbox.call(["sh", "-c", "echo out; exit 3"]) == 3
        assert capfd.readouterr().out == "out\n"

    def test_death_by_signal(self, sandbox: Sandbox) -> None:
        """As with subprocess, the exit code of a command killed by a signal is the negative signal number."""
        assert sandbox.run(["sh", "-c", "kill -SEGV $$"]).returncode == -11

    def test_environment_is_clean(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command does not get the environment of this process, but the given variables."""
        monkeypatch.setenv("SECRET", "1")
        monkeypatch.setenv("TERM", "vt100")
        environment = dict(
            line.split("=", 1)
            for line in sandbox.run(["env"], env={"LANG": "C", "OCF_ROOT": "a b"}).stdout.splitlines()
        )
        assert environment.pop("PATH").endswith(":/bin")
        assert environment == {"HOME": "/root", "LANG": "C", "TERM": "dumb", "OCF_ROOT": "a b"}

    def test_working_directory(self, sandbox: Sandbox) -> None:
        """A command starts in the home directory of root, or in the given directory."""
        assert sandbox.run(["pwd"]).stdout == "/root\n"
        assert sandbox.run(["pwd"], cwd="/var").stdout == "/var\n"

    def test_timeout_kills_the_command(self, sandbox: Sandbox) -> None:
        """A command that takes too long is killed, even if a child of it has the pipes open."""
        started = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            sandbox.run(["sh", "-c", "echo $$ >/run/late; sleep 1000; true"], timeout_s=2)
        assert time.monotonic() - started < 5
        assert sandbox.run(["sh", "-c", "kill -0 $(cat /run/late)"]).returncode == 1

    def test_own_identity(self, sandbox: Sandbox) -> None:
        """The sandbox has a host name that resolves, a new machine ID, and one network device."""
        assert sandbox.run(["uname", "-n"]).stdout == "sandbox\n"
        assert sandbox.run(["getent", "hosts", "sandbox"]).stdout.split()[0] == "127.0.0.1"
        assert len(sandbox.run(["cat", "/etc/machine-id"]).stdout) == 33
        assert sandbox.run(["cat", "/etc/machine-id"]).stdout != Path("/etc/machine-id").read_text()
        assert sandbox.run(["ls", "/sys/class/net"]).stdout.split() == ["lo"]

    def test_journal(self, sandbox: Sandbox) -> None:
        """The output of a service is in the journal."""
        sandbox.run(["systemd-run", "--wait", "--unit=talker", "echo", "hello"])
        sandbox.run(["journalctl", "--sync"])
        assert "hello" in sandbox.run(["journalctl", "--unit=talker", "--output=cat"]).stdout.splitlines()

    def test_bus_and_logind(self, sandbox: Sandbox) -> None:
        """Services on D-Bus reply."""
        arguments = [
            "org.freedesktop.login1",
            "/org/freedesktop/login1",
            "org.freedesktop.login1.Manager",
            "PreparingForSleep",
        ]
        assert sandbox.run(["busctl", "get-property", *arguments]).stdout == "b false\n"

    def test_package_and_interpreter(self, sandbox: Sandbox) -> None:
        """This interpreter runs this package in the sandbox, wherever the two are on the host."""
        result = sandbox.run(
            [sys.executable, "-c", "import ocf_systemd; print(ocf_systemd.__version__)"],
            env={"PYTHONPATH": str(PACKAGE.parent)},
        )
        assert result.stdout == f"{ocf_systemd.__version__}\n"

    def test_package_below_tmp(self, below_tmp: Path) -> None:
        """The sandbox has its own /tmp, but shows the package if that is below the host's."""
        shutil.copytree(PACKAGE, below_tmp / "ocf_systemd")
        (below_tmp / "other").touch()
        script = """
from ocf_systemd.sandbox import boot
with boot() as sandbox:
    print(sandbox.run(["sh", "-c", f"cd {sandbox_path}; ls; echo new >ocf_systemd/new"]).stdout)
"""
        listed = run_python(f"sandbox_path = {str(below_tmp)!r}\n{script}", sys.executable, path=below_tmp)
        assert listed.split() == ["ocf_systemd"]
        assert not (below_tmp / "ocf_systemd" / "new").exists()

    def test_other_mounts(self) -> None:
        """The sandbox shows mounted file systems and files of the host; changes stay in the sandbox."""
        mount = "mount -t overlay -o lowerdir=/usr/bin:/usr/sbin overlay /mnt && mount --bind /etc/passwd /etc/issue"
        script = """
from pathlib import Path
from ocf_systemd.sandbox import boot
with boot() as sandbox:
    print(sandbox.run(["sh", "-c", "ls /mnt/nsenter; cmp /etc/issue /etc/passwd && echo same"]).stdout)
    sandbox.run(["sh", "-c", "echo new >/etc/issue; echo new >/mnt/new"])
print(Path("/etc/issue").read_bytes() == Path("/etc/passwd").read_bytes(), Path("/mnt/new").exists())
"""
        after_mounting = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable)
        assert run_python(script, *after_mounting, path=PACKAGE.parent).split() == [
            "/mnt/nsenter",
            "same",
            "True",
            "False",
        ]

    def test_written_unit(self, sandbox: Sandbox) -> None:
        """A unit file that is written into the sandbox can be started and stopped."""
        sandbox.write("/etc/systemd/system/own.service", "[Service]\nExecStart=sleep infinity\n")
        assert sandbox.run(["systemctl", "start", "own"]).returncode == 0
        assert sandbox.run(["systemctl", "is-active", "own"]).stdout == "active\n"
        assert sandbox.run(["systemctl", "stop", "own"]).returncode == 0
        assert sandbox.run(["systemctl", "is-active", "own"]).stdout == "inactive\n"

    def test_real_service(self, sandbox: Sandbox) -> None:
        """A service of the distribution that wants network-online.target starts and responds in the sandbox only."""
        assert sandbox.run(["systemctl", "start", RELEASE.postfix]).returncode == 0
        greeting = "import socket; print(socket.create_connection(('127.0.0.1', 25), 10).recv(100).decode())"
        assert sandbox.run([sys.executable, "-c", greeting]).stdout.startswith("220 ")
        assert sandbox.run(["systemctl", "stop", RELEASE.postfix]).returncode == 0

    def test_files_of_the_host_cannot_be_changed(self, sandbox: Sandbox, below_tmp: Path) -> None:
        """Files written, overwritten or removed in the sandbox are unchanged on the host."""
        file = Path(sys.prefix) / f"sandbox-{secrets.token_hex(4)}"
        hosts = Path("/etc/hosts").read_bytes()
        script = f"echo new >{file} && echo new >/etc/hosts && rm -r /usr/share/doc && ! [ -e {below_tmp} ]"
        assert sandbox.run(["sh", "-c", script]).returncode == 0
        assert not file.exists()
        assert Path("/etc/hosts").read_bytes() == hosts
        assert Path("/usr/share/doc").is_dir()

    def test_kernel_of_the_host_cannot_be_changed(self, sandbox: Sandbox) -> None:
        """The clock and the settings of the shared kernel cannot be changed."""
        assert sandbox.run(["date", "--set", f"@{time.time():.0f}"]).returncode == 1
        assert "Read-only" in sandbox.run(["sh", "-c", "echo 9 >/proc/sys/kernel/panic"]).stderr
        assert sandbox.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind"]).returncode == 0
        assert Path("/proc/sys/net/ipv4/ip_nonlocal_bind").read_text() == "0\n"

    def test_stopped_init(self, sandbox: Sandbox) -> None:
        """PID 1 can be stopped from outside: systemctl then hangs until PID 1 continues."""
        os.kill(sandbox.pid, SIGSTOP)
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                sandbox.run(["systemctl", "is-active", "basic.target"], timeout_s=0.3)
        finally:
            os.kill(sandbox.pid, SIGCONT)
        assert sandbox.run(["systemctl", "is-active", "basic.target"]).stdout == "active\n"

    @pytest.mark.parametrize("shell", [pytest.param(["sh"], id="sh"), pytest.param(["bash", "--norc"], id="bash")])
    def test_prompt(self, sandbox: Sandbox, shell: list[str]) -> None:
        """A shell with a terminal has job control; Ctrl-C ends its foreground job, not the shell."""
        command, *arguments = sandbox.command([*shell, "-i"], env={"PS1": "ready> "}, terminal=True)
        terminal = pexpect.spawn(command, arguments, encoding="utf-8", timeout=10)
        terminal.expect_exact("ready> ")
        # One job prints and sleeps: when the shell has it in the foreground is not seen of a job that follows.
        terminal.sendline("sh -c 'tty; exec sleep 1000'; echo never")
        terminal.expect_exact("/dev/pts/")
        terminal.sendintr()
        terminal.expect_exact("ready> ")
        assert "never" not in str(terminal.before)
        terminal.sendline("exit 4")
        terminal.expect_exact(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 4


class TestCopies:
    def test_file_with_its_mode(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """A copied file belongs to root and keeps its mode; missing parents are created."""
        hook = tmp_path / "hook"
        hook.write_text("#!/bin/sh\nexit 7\n")
        hook.chmod(0o755)
        os.chown(hook, 65534, 65534)
        sandbox.copy_in(hook, "/srv/new/parent/hook")
        assert sandbox.run(["/srv/new/parent/hook"]).returncode == 7
        assert sandbox.run(["stat", "--format=%U %a", "/srv/new/parent/hook"]).stdout == "root 755\n"

    def test_directory(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """A directory is copied with its content; symbolic links stay links."""
        (tmp_path / "d" / "sub").mkdir(parents=True)
        (tmp_path / "d" / "sub" / "file").write_text("text")
        (tmp_path / "d" / "link").symlink_to("/nowhere")
        sandbox.copy_in(tmp_path / "d", "/srv/d")
        assert sandbox.run(["cat", "/srv/d/sub/file"]).stdout == "text"
        assert sandbox.run(["readlink", "/srv/d/link"]).stdout == "/nowhere\n"

    def test_link_in_the_path(self, sandbox: Sandbox) -> None:
        """A symbolic link in the path leads to the files of the sandbox, not of the host."""
        marker = f"marker-{secrets.token_hex(4)}"
        sandbox.write(f"/var/run/{marker}", "")
        assert sandbox.run(["ls", f"/run/{marker}"]).returncode == 0
        assert not Path("/run", marker).exists()

    def test_written_file(self, sandbox: Sandbox) -> None:
        """A written file has the given text and mode."""
        sandbox.write("/srv/written/hook", "#!/bin/sh\necho ä\n", mode=0o700)
        assert sandbox.run(["/srv/written/hook"]).stdout == "ä\n"
        assert sandbox.run(["stat", "--format=%a", "/srv/written/hook"]).stdout == "700\n"

    def test_errors(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """A failed copy or write is an OSError with the cause."""
        with pytest.raises(FileNotFoundError, match="absent"):
            sandbox.copy_in(tmp_path / "absent", "/srv/absent")
        with pytest.raises(OSError, match="Read-only file system"):
            sandbox.write("/sys/new", "")

    def test_at_boot(self, tmp_path: Path) -> None:
        """Files copied at boot exist when the block starts, and systemd has loaded their units."""
        unit = tmp_path / "a:b.service"
        unit.write_text("[Service]\nType=oneshot\nExecStart=touch /run/a-b-was-here\n")
        with boot(copies=[Copy.parse(f"{unit}:/etc/systemd/system/a-b.service")]) as sandbox:
            assert sandbox.run(["systemctl", "start", "a-b"]).returncode == 0
            assert sandbox.run(["ls", "/run/a-b-was-here"]).returncode == 0

    def test_parsed(self) -> None:
        """SRC:DST is split at its last colon."""
        assert Copy.parse("/etc/hosts:/srv/hosts") == Copy(Path("/etc/hosts"), PurePosixPath("/srv/hosts"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("", "'' is not SRC:DST", id="empty"),
            pytest.param("/etc/hosts", "'/etc/hosts' is not SRC:DST", id="no colon"),
            pytest.param("/etc/hosts:", "'/etc/hosts:' is not SRC:DST", id="no destination"),
            pytest.param(":/srv", "':/srv' is not SRC:DST", id="no source"),
            pytest.param("/etc/hosts:srv", "'srv' is not an absolute path in the sandbox", id="relative"),
            pytest.param("/nowhere:/srv", "'/nowhere' does not exist on this host", id="missing"),
        ],
    )
    def test_not_parsed(self, text: str, message: str) -> None:
        """An invalid copy is a ValueError with a message for the user."""
        with pytest.raises(ValueError, match=f"^{message}$"):
            Copy.parse(text)


class TestEnd:
    def test_nothing_remains(self, name: str) -> None:
        """After the block no process, cgroup or mount remains, whatever ran in the sandbox."""
        # Not their children: another sandbox of these tests may be among them, in which processes start and end.
        mounts, children = MOUNTS.read_text(), psutil.Process().children()
        with boot(name=name) as sandbox:
            namespace = pid_namespace(sandbox.pid)
            sandbox.run(["systemd-run", "sleep", "1000"])
            sandbox.run(["sh", "-c", "trap '' TERM HUP; setsid sleep 1000 >/dev/null 2>&1 &"])
            assert MOUNTS.read_text() == mounts
            assert len(traces(name, namespace)) > 5
        assert traces(name, namespace) == []
        assert MOUNTS.read_text() == mounts
        assert psutil.Process().children() == children

    def test_nothing_remains_after_an_exception(self, name: str) -> None:
        """An exception in the block ends the sandbox and propagates."""
        namespaces = []

        def fail() -> None:
            with boot(name=name) as sandbox:
                namespaces.append(pid_namespace(sandbox.pid))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert traces(name, *namespaces) == []

    def test_nothing_remains_after_a_stop_of_pid_1(self, name: str) -> None:
        """A sandbox whose PID 1 is stopped ends like any other."""
        with boot(name=name) as sandbox:
            namespace = pid_namespace(sandbox.pid)
            os.kill(sandbox.pid, SIGSTOP)
        assert traces(name, namespace) == []

    @pytest.mark.parametrize("signal", [SIGINT, SIGTERM, SIGKILL], ids=lambda signal: signal.name)
    def test_nothing_remains_after_a_signal(self, name: str, signal: Signals, tmp_path: Path) -> None:
        """The sandbox of a process that is killed ends within seconds, with SIGKILL as well.

        The signal goes to the whole process group, as a Ctrl-C does.
        """
        mounts = MOUNTS.read_text()
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, name],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "TMPDIR": str(tmp_path)},
            text=True,
            start_new_session=True,
        ) as holder:
            assert holder.stdout is not None
            namespace = pid_namespace(int(holder.stdout.readline()))
            assert traces(name, namespace) != []
            os.killpg(holder.pid, signal)
            assert holder.wait(10) == -signal
        deadline = time.monotonic() + 10
        while traces(name, namespace) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert traces(name, namespace) == []
        assert MOUNTS.read_text() == mounts
        assert list(tmp_path.iterdir()) == []

    def test_nothing_remains_of_an_unfinished_boot(self, name: str) -> None:
        """Nothing remains of a boot that times out before or while systemd starts; the error has the console."""
        for timeout_s in (0, 0.05, 0.15):
            with (
                pytest.raises(SandboxUnavailableError, match="did not boot in time"),
                boot(name=name, timeout_s=timeout_s),
            ):
                pass
            assert traces(name, Path()) == []

    @pytest.mark.parametrize("how", ["poweroff", "reboot"])
    def test_ended_from_within(self, name: str, how: str) -> None:
        """A command for a sandbox that has powered off is an error, and never runs on the host."""
        with boot(name=name) as sandbox:
            namespace = pid_namespace(sandbox.pid)
            sandbox.run(["systemctl", how])
            deadline = time.monotonic() + 10
            while Path(f"/proc/{sandbox.pid}/ns/mnt").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            with pytest.raises(SandboxEndedError, match="has ended"):
                sandbox.run(["true"])
        assert traces(name, namespace) == []

    def test_closed(self, name: str) -> None:
        """A sandbox can be closed before its block ends, more than once."""
        with boot(name=name) as sandbox:
            namespace = pid_namespace(sandbox.pid)
            sandbox.close()
            sandbox.close()
            assert traces(name, namespace) == []
            with pytest.raises(SandboxEndedError):
                sandbox.command(["true"])

    def test_two_at_once(self) -> None:
        """Two sandboxes are independent; the end of one does not affect the other."""
        with boot(name="one") as one:
            with boot(name="two") as two:
                one.write("/srv/file", "one")
                assert two.run(["cat", "/srv/file"]).returncode == 1
                assert [each.run(["uname", "-n"]).stdout for each in (one, two)] == ["one\n", "two\n"]
            assert one.run(["systemctl", "is-system-running"]).stdout == "running\n"


class TestUnavailable:
    def test_without_root(self) -> None:
        """Other users than root get an error that names what to do."""
        os.seteuid(65534)
        try:
            with pytest.raises(SandboxUnavailableError, match=r"^a sandbox needs root privileges\. Run this "):
                boot().__enter__()
        finally:
            os.seteuid(0)

    @pytest.mark.parametrize(
        ("name", "value", "package"),
        [
            pytest.param("_SYSTEMD", (), "systemd", id="systemd"),
            pytest.param("_PATH", "/nowhere", "util-linux", id="util-linux"),
        ],
    )
    def test_without_a_package(self, name: str, value: object, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error for a missing program names the package to install."""
        monkeypatch.setattr(ocf_systemd.sandbox, name, value)
        with pytest.raises(SandboxUnavailableError, match=rf"^a sandbox needs \w+\. Install the package {package}$"):
            boot().__enter__()

    def test_without_pivot_root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error for pivot_root(8) names util-linux-extra, which contains it from Debian 14 on."""
        for tool in ("unshare", "nsenter", "setpriv"):
            (tmp_path / tool).symlink_to("/bin/true")
        monkeypatch.setattr(ocf_systemd.sandbox, "_PATH", str(tmp_path))
        with pytest.raises(SandboxUnavailableError, match=r"^a sandbox needs pivot_root\. .* util-linux-extra "):
            boot().__enter__()

    def test_without_permission_for_namespaces(self) -> None:
        """If the kernel refuses namespaces, as in most containers, the error names where a sandbox boots."""
        script = """
from ocf_systemd.sandbox import SandboxUnavailableError, boot
try:
    boot().__enter__()
except SandboxUnavailableError as error:
    print(error)
"""
        output = run_python(script, "setpriv", "--bounding-set=-sys_admin", sys.executable, path=PACKAGE.parent)
        assert output.startswith("this machine does not support sandboxes. ")
        assert "unshare failed: Operation not permitted" in output

    def test_systemd_that_crashes(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """The error for a systemd that exits differs from that for a slow one."""
        monkeypatch.setattr(ocf_systemd.sandbox, "_SYSTEMD", (Path("/bin/false"),))
        with pytest.raises(SandboxUnavailableError, match=r"^systemd exited while the sandbox booted"):
            boot(name=name).__enter__()
        assert traces(name, Path()) == []


class TestLayers:
    def test_mountinfo(self) -> None:
        """Escaped mount points and any number of optional fields are parsed."""
        assert parse_mounts(
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
            "30 27 8:3 /a /mnt/with\\040space\u2028rw rw shared:1 master:2 - ext4 /dev/sda3 rw\n"
        ) == (Mount(PurePosixPath("/proc"), "proc"), Mount(PurePosixPath("/mnt/with space\u2028rw"), "ext4"))

    @pytest.mark.parametrize(
        ("mounts", "needed", "layers"),
        [
            pytest.param({"/": "ext4"}, [], [], id="the root alone"),
            pytest.param({"/": "overlay", "/var/lib": "ext4", "/var": "nfs"}, [], ["/var", "/var/lib"], id="disks"),
            pytest.param({"/": "ext4", "/mnt": "tmpfs", "/sys/x": "cgroup2"}, [], [], id="no disks"),
            pytest.param({"/": "ext4", "/run": "ext4", "/dev/x": "ext4"}, [], [], id="mounts of the sandbox"),
            pytest.param({"/": "ext4"}, ["/usr", "/run/v", "/run/v/lib"], ["/run/v"], id="needed in /run"),
            pytest.param({"/": "ext4", "/mnt": "tmpfs"}, ["/mnt/v"], ["/mnt/v"], id="needed in a tmpfs"),
            pytest.param({"/": "tmpfs", "/home": "btrfs"}, ["/opt", "/home/v"], ["/home"], id="needed and seen"),
        ],
    )
    def test_layers(self, mounts: dict[str, str], needed: list[str], layers: list[str]) -> None:
        """Each mount of a disk is a layer, and each needed directory that would be missing otherwise."""
        assert choose_layers(
            [Mount(PurePosixPath(point), file_system) for point, file_system in mounts.items()],
            file_systems="nodev\ttmpfs\nnodev\tcgroup2\n\text4\n\tbtrfs\n",
            needed=map(PurePosixPath, needed),
        ) == list(map(PurePosixPath, layers))
