"""Runs a command on another release of Debian, whose files stand in for `/` in a mount namespace of their own.

The root directory is made by debootstrap(8) and apt(8) once, and is kept until somebody removes it. It is read-only for
the command, except what is mounted on it: the checkout, empty /tmp, /run and /root, and the host's /dev, /proc and
/sys.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]
_INSIDE = "/srv/ocf-systemd"
"""Where the command finds the checkout."""
_CACHE = Path("/var/cache/ocf-systemd-tests")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The files by which a program in the root reaches the network as on the host. The installation of ca-certificates
# replaces the last file, so that this file is mounted only afterwards.
_RESOLVER = ("/etc/resolv.conf", "/etc/hosts")
_NETWORK = (*_RESOLVER, "/etc/ssl/certs/ca-certificates.crt")

# $1 is the root, $2 the checkout, $3 the checkout's path inside, $4 what stands in for the checkout's .nox.
_ENTER = """
set -eu
root=$1 checkout=$2 inside=$3 environments=$4
shift 4
mkdir -p "$root$inside"
for path in $NETWORK; do
    mkdir -p "$root${path%/*}"
    [ -e "$root$path" ] || touch "$root$path"
done
mount --bind -- "$root" "$root"
mount -o remount,bind,ro -- "$root"
for path in dev proc sys; do mount --rbind "/$path" "$root/$path"; done
for path in tmp var/tmp run root; do mount -t tmpfs -o mode=1777 tmpfs "$root/$path"; done
chmod 755 "$root/run"
chmod 700 "$root/root"
for path in $NETWORK; do [ ! -e "$path" ] || mount --bind -o ro "$path" "$root$path"; done
mount --bind -- "$checkout" "$root$inside"
mount --bind -- "$environments" "$root$inside/.nox"
cd "$root"
pivot_root . mnt
cd "$inside"
umount -l /mnt
exec "$@"
"""

# $1 is the root; then packages. The mounts end with the namespace. An earlier installation may have been interrupted.
_INSTALL = """
set -eu
root=$1
shift
mount -t proc proc "$root/proc"
for path in $RESOLVER; do [ ! -e "$path" ] || mount --bind -o ro "$path" "$root$path"; done
chroot "$root" dpkg --configure -a
chroot "$root" apt-get -qq update
chroot "$root" apt-get -qq --yes --no-install-recommends --fix-broken install
chroot "$root" apt-get -qq --yes --no-install-recommends install "$@"
chroot "$root" apt-get -qq clean
"""


def main() -> None:
    """Make the root if it is missing, install missing packages in it, and become the command."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s SUITE [--packages NAME...] -- COMMAND...")
    parser.add_argument("suite", help="the release, such as trixie")
    parser.add_argument("--packages", nargs="+", default=[], help="the Debian packages that the command needs")
    if "--" not in sys.argv:
        parser.error("no command")
    at = sys.argv.index("--")  # not argparse's: the command may contain another one
    arguments, command = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    if os.geteuid():
        sys.exit("only root can make and enter a root directory")
    os.environ |= {"NETWORK": " ".join(_NETWORK), "RESOLVER": " ".join(_RESOLVER)}
    root = _CACHE / arguments.suite
    try:
        _prepare(root, arguments.suite, arguments.packages)
    except subprocess.CalledProcessError as error:
        sys.exit(f"`{shlex.join(map(str, error.cmd[:6]))} …` failed (see above); it needs a mirror of Debian")
    environments = _CHECKOUT / ".nox" / arguments.suite
    environments.mkdir(parents=True, exist_ok=True)
    script = ["sh", "-c", _ENTER, "sh", str(root), str(_CHECKOUT), _INSIDE, str(environments)]
    os.environ |= {"PATH": _PATH, "HOME": "/root"}
    os.execvp("unshare", ["unshare", "--mount", "--", *script, *command])  # noqa: S606


def _prepare(root: Path, suite: str, packages: list[str]) -> None:
    """Make the root, and install packages in it, as far as they are missing.

    As long as this process, or the command that it becomes, runs, other processes do not change the root.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(root.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(lock, True)  # noqa: FBT003
    fcntl.flock(lock, fcntl.LOCK_SH)
    if not root.exists() or _missing(root, packages):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _make(root, suite)
        if missing := _missing(root, packages):
            _install(root, missing)
        fcntl.flock(lock, fcntl.LOCK_SH)


def _make(root: Path, suite: str) -> None:
    """Make a root directory with the essential packages of a release; one that is interrupted is made again."""
    print(f"making a root directory of Debian {suite} in {root}, which takes a minute or two", flush=True)
    part = root.with_suffix(".part")
    if part.exists():
        shutil.rmtree(part)
    # What debootstrap mounts ends with the mount namespace, also if debootstrap is killed.
    command = ["unshare", "--mount", "--", "debootstrap", "--variant=minbase", suite, str(part)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for path in map(Path, _RESOLVER):
        target = part / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    policy = part / "usr/sbin/policy-rc.d"  # so that no package starts its services: invoke-rc.d(8)
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    policy.chmod(0o755)
    part.rename(root)


def _missing(root: Path, packages: list[str]) -> list[str]:
    """Return those packages that are not installed in a root."""
    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", "--showformat=${db:Status-Status} ${Package}\n"]
    known = subprocess.run([*query, *packages], check=False, capture_output=True, text=True).stdout.splitlines()
    return [package for package in packages if f"installed {package}" not in known]


def _install(root: Path, packages: list[str]) -> None:
    """Install packages in a root."""
    print(f"installing {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": _PATH}
    command = ["unshare", "--mount", "--", "sh", "-c", _INSTALL, "sh", str(root), *packages]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
