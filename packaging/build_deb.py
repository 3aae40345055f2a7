"""Builds a Debian package for the Debian release that it runs on, in the given directory; `nox -s deb` runs it.

The package has its own virtual environment in /usr/lib/ocf-systemd, all pure Python, and depends on python3 only.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from email.utils import formatdate
from pathlib import Path

PACKAGE = "ocf-systemd"
HOME = "usr/lib/ocf-systemd"
_SCRIPTS = Path(__file__).parent / "debian"
_PROJECT = Path(__file__).parent.parent
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# From the environment, as in Debian's tools (dch(1)).
_MAINTAINER = f"{os.environ.get('DEBFULLNAME', PACKAGE)} <{os.environ.get('DEBEMAIL', 'root@localhost')}>"

_CONTROL = """\
Package: {package}
Version: {version}
Architecture: all
Maintainer: {maintainer}
Installed-Size: {kilobytes}
Depends: python3 (>= {this}), python3 (<< {next}~), systemd
Recommends: pacemaker
Section: admin
Priority: optional
Description: OCF resource agent for systemd units, with a health hook
 Pacemaker can manage a systemd unit, but then relies on the state that
 systemd reports: a service that hangs is still active. This agent,
 ocf:pacemaker:systemd, starts, stops and reloads the unit with systemctl, and
 its monitor queries systemd and runs a health hook, concurrently and with one
 deadline.
"""
_CHANGELOG = """\
{package} ({version}) unstable; urgency=medium

  * See the changelog of {package}.

 -- {maintainer}  {date}
"""
_PROGRAM = """\
#!/{home}/bin/python3 -I
from ocf_systemd.commands import main

main()
"""
_ENVIRONMENT = """\
home = /usr/bin
include-system-site-packages = false
version = {version}
"""


def build(wheelhouse: Path, directory: Path) -> Path:
    """Build a package of the ocf-systemd in a directory of wheels; return its file in another directory."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        site = root / HOME / "lib" / f"python{_VERSION}" / "site-packages"
        _fill(site, wheelhouse)
        distributions = sorted(site.glob("*.dist-info"))
        version = str(
            next(_metadata(each)["Version"] for each in distributions if each.name.startswith("ocf_systemd-"))
        )
        _make_environment(root)
        _move_data_files(site / "share", root / "usr/share", version)
        _compress(root / "usr/share/doc" / PACKAGE / "copyright", "\n".join(map(_copyright, distributions)), plain=True)
        _describe(root, version)
        return _pack(root, directory / f"{PACKAGE}_{version}_all.deb")


def _fill(site: Path, wheelhouse: Path) -> None:
    """Install from wheels into a directory with pip; reject files that are not for all architectures."""
    options = ("--quiet", "--no-index", "--no-compile", "--only-binary=:all:", f"--find-links={wheelhouse}")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, f"--target={site}", PACKAGE], check=True)
    shutil.rmtree(site / "bin")
    if machine_code := [str(path) for path in site.rglob("*.so")]:
        raise SystemExit(f"not for all architectures: {machine_code}")


def _make_environment(root: Path) -> None:
    """Create a virtual environment of Debian's Python (see the module `site` in Python's library reference)."""
    (root / HOME / "bin").mkdir()
    (root / HOME / "bin/python3").symlink_to("/usr/bin/python3")
    (root / HOME / "pyvenv.cfg").write_text(_ENVIRONMENT.format(version=_VERSION), encoding="ascii")
    program = root / HOME / "bin" / PACKAGE
    program.write_text(_PROGRAM.format(home=HOME), encoding="ascii")
    program.chmod(0o755)
    (root / "usr/bin").mkdir()
    (root / "usr/bin" / PACKAGE).symlink_to(f"../lib/{PACKAGE}/bin/{PACKAGE}")


def _move_data_files(source: Path, share: Path, version: str) -> None:
    """Move manual pages and completion to the directories for packages, and add the changelogs."""
    shutil.copytree(source, share)
    shutil.rmtree(source)
    (share / "zsh/site-functions").rename(share / "zsh/vendor-completions")
    catalog = share.parent / "lib/systemd/catalog"  # a trigger of Debian's systemd updates the database
    catalog.parent.mkdir(parents=True, exist_ok=True)
    (share / "systemd/catalog").rename(catalog)
    (share / "systemd").rmdir()
    for page in [*share.glob("man/*/*")]:
        _compress(page.with_name(f"{page.name}.gz"), page.read_text(encoding="utf-8"))
        page.unlink()
    date = formatdate(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())), localtime=False)
    changelog = _CHANGELOG.format(package=PACKAGE, version=version, maintainer=_MAINTAINER, date=date)
    _compress(share / "doc" / PACKAGE / "changelog.Debian.gz", changelog)
    _compress(share / "doc" / PACKAGE / "changelog.gz", (_PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"))


def _compress(path: Path, text: str, *, plain: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(content if plain else gzip.compress(content, mtime=0))


def _metadata(distribution: Path) -> Message:
    return Parser().parsestr((distribution / "METADATA").read_text(encoding="utf-8"))


def _copyright(distribution: Path) -> str:
    """Return the name and the text of a distribution's licence."""
    metadata = _metadata(distribution)
    licence = metadata["License-Expression"] or metadata["License"] or "see below"
    return "\n".join((f"{metadata['Name']} {metadata['Version']}: {licence}", "", *_licence_texts(distribution)))


def _licence_texts(distribution: Path) -> Iterator[str]:
    for path in sorted(distribution.rglob("*")):
        if path.is_file() and path.name.upper().startswith(("LICEN", "COPYING")):
            text = path.read_text(encoding="utf-8")
            # Debian policy, 12.5: a package refers to licences in /usr/share/common-licenses.
            is_gpl = text.lstrip().startswith("GNU GENERAL PUBLIC LICENSE")
            yield "The text is in /usr/share/common-licenses/GPL-2.\n" if is_gpl else text


def _describe(root: Path, version: str) -> None:
    """Write the control files for dpkg(1)."""
    control = root / "DEBIAN"
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [f"{_md5(path)}  {path.relative_to(root)}\n" for path in files]
    control.mkdir()
    (control / "md5sums").write_text("".join(sums), encoding="utf-8")
    text = _CONTROL.format(
        package=PACKAGE,
        version=version,
        maintainer=_MAINTAINER,
        kilobytes=sum(path.stat().st_size for path in files) // 1024 + 1,
        this=_VERSION,
        next=f"{sys.version_info.major}.{sys.version_info.minor + 1}",
    )
    (control / "control").write_text(text, encoding="utf-8")
    for script in _SCRIPTS.iterdir():
        shutil.copy(script, control / script.name)
        (control / script.name).chmod(0o755)


def _md5(path: Path) -> str:
    """Return a checksum for deb-md5sums(5), which detects changes but is no protection."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _pack(root: Path, package: Path) -> Path:
    for path in root.rglob("*"):  # whatever the umask
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    package.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", "-Zgzip", str(root), str(package)], check=True)
    return package


def wheels(wheelhouse: Path) -> None:
    """Build the wheels of this project and its dependencies in a directory."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheelhouse), str(_PROJECT)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        wheels(Path(made))
        print(build(Path(made), Path(sys.argv[1])))
