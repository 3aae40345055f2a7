#!/usr/bin/env python3
"""The nox sessions of this repository, which also work on a machine where nothing has been installed for them.

`python3 noxfile.py` installs nox into an environment of its own and runs it with the same arguments: without arguments
it runs all tests, with `-s demo` the demo. Sessions that boot sandboxes need root, and install Debian packages that are
missing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
_NOX = "nox>=2025.5.1"


def _install_debian_packages(*packages: str) -> None:
    """Install Debian packages without starting the services that they contain (policy-rc.d in invoke-rc.d(8))."""
    policy = Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        policy.chmod(0o755)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (("update",), ("install", "--yes", "--no-install-recommends", *packages)):
            subprocess.run(["apt-get", "--quiet", "--quiet", *command], check=True, env=environment)
    finally:
        if is_ours:
            policy.unlink()


def _bring_nox() -> None:
    """Replace this process by nox, which is first installed into an environment of its own if it is not there yet."""
    home = _ROOT / ".nox" / "nox"
    if not (home / "bin" / "nox").exists():
        probe = [sys.executable, "-c", "import ensurepip"]
        if subprocess.run(probe, check=False, capture_output=True).returncode and shutil.which("apt-get"):
            _install_debian_packages("python3-venv")  # ensurepip is not in Debian's python3
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", _NOX], check=True)
    os.chdir(_ROOT)
    os.execv(home / "bin" / "nox", ["nox", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    _bring_nox()

import nox  # noqa: E402

_QUICK, _LONG = ("lint", "typing", "unit", "simulate", "versions"), ("system", "faults", "cluster", "debian13")
nox.options.sessions = [*_QUICK, *_LONG, "coverage"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
nox.needs_version = ">=2025.5.1"

_PROJECT = nox.project.load_toml("pyproject.toml")
_SUPPORTED = nox.project.python_versions(_PROJECT, max_version="3.14")
_PARALLEL = ("--numprocesses=auto", "--quiet")  # only for quick tests: others measure time, or use the whole machine
# Tests in sandboxes and clusters mostly wait, so three workers, each with a sandbox or cluster of its own, run them on
# two processors. These are for tests that run both without the resident server (cold) and with it: a worker runs the
# tests of one file, in one of the two ways, at a time.
_BOTH_WAYS = ("--numprocesses=3", "--dist=loadgroup", "--no-loadscope-reorder")
# The cluster that is free takes the next test in the order that tests/cluster defines.
_CLUSTERS = ("--numprocesses=3", "--dist=load", "--maxschedchunk=1")
_COVERED = ("--cov", "--cov-report=")
# pytest's option to run each test in one of its two ways.
_ONE_WAY = "--one-way"
_COVERAGE_DATA = _ROOT / ".nox" / "coverage-data"

# The schemas of check-jsonschema, with the files in .github that they apply to.
_GITHUB_FILES = {
    "github-workflows": "workflows/*.yml",
    "github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": "ISSUE_TEMPLATE/config.yml",
}

# ocf-tester runs the agent also as the user nobody, which can execute Debian's Python, but not one in a home directory.
_SYSTEM_PYTHON = "/usr/bin/python3"

_SANDBOX_PACKAGES = ("systemd", "dbus", "util-linux", "procps")
_DEMO_PACKAGES = (*_SANDBOX_PACKAGES, "curl")
_SYSTEM_PACKAGES = (
    *_DEMO_PACKAGES,
    *("postfix", "netcat-openbsd", "libxml2-utils", "resource-agents", "pcs"),  # for the tests of the agent
    *("ncat", "postgresql", "redis-server", "monitoring-plugins-basic"),  # for the tests of the examples
    *("nginx", "mariadb-server", "apache2", "haproxy"),  # for doctor and rehearsals, which test these units
    "libpam-systemd",  # for sessions of logind, which processes of a service can leave it for
    *("zsh", "fish", "bash-completion", "man-db", "mandoc", "python3-venv"),  # for completion, man pages, installation
)
_DEB_PACKAGES = (  # for the Debian package: debian/control
    *("dpkg-dev", "debhelper", "dh-python", "pybuild-plugin-pyproject", "bash-completion", "lintian"),
    *("python3-anyio", "python3-click", "python3-hatchling", "python3-rich"),
)
_CLUSTER_PACKAGES = ("corosync", "pacemaker", "pacemaker-cli-utils", "crmsh")
_CTS_PACKAGES = ("pacemaker-cts",)  # Pacemaker's own tests; not on Debian 12, which has no package of them


def _need(session: nox.Session, *packages: str) -> None:
    """Install missing Debian packages. If that is impossible, skip the session; in CI, fail it."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${binary:Package}\n", *packages]
    known = subprocess.run(query, check=False, capture_output=True, text=True).stdout if shutil.which(query[0]) else ""
    there = {line.split()[1].split(":")[0] for line in known.splitlines() if line.startswith("installed ")}
    missing = [package for package in packages if package not in there]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        session.log(f"installing {' '.join(missing)}")
        _install_debian_packages(*missing)
    elif missing:
        why = f"this session needs {', '.join(missing)}, and only root on Debian can have it install them"
        (session.error if os.environ.get("CI") else session.skip)(why)


def _install(session: nox.Session, *groups: str, options: tuple[str, ...] = ()) -> None:
    """Install the project as a wheel, and the packages of these dependency groups; `options` are pip's."""
    session.install(*options, ".", *nox.project.dependency_groups(_PROJECT, *groups))


def _tested(session: nox.Session) -> dict[str, str]:
    """Return the variable by which a session that runs all its tests leaves a record for the README's table.

    An earlier record is removed, because the tests may fail now.
    """
    path = _ROOT / f".nox/tested/{session.name}.json"
    if session.posargs:
        return {}
    path.unlink(missing_ok=True)
    return {"TESTED": f"{session.name}={path}"}


@contextmanager
def _measured(session: nox.Session) -> Iterator[dict[str, str]]:
    """Yield the variables by which coverage is measured in a test session and in the processes that it starts."""
    _COVERAGE_DATA.mkdir(parents=True, exist_ok=True)
    for old in _COVERAGE_DATA.glob(f".coverage.{session.name}*"):
        old.unlink()
    yield {
        "COVERAGE_FILE": str(_COVERAGE_DATA / f".coverage.{session.name}"),
        "COVERAGE_PROCESS_START": str(_ROOT / "pyproject.toml"),
    }


def _is_one_way() -> bool:
    return _ONE_WAY in os.environ.get("PYTEST_ADDOPTS", "")


def _run_in_sandboxes(session: nox.Session, tests: Sequence[str]) -> None:
    """Run tests in sandboxes; measure coverage, unless each test runs in one of its two ways only."""
    if _is_one_way():
        session.run("pytest", *_BOTH_WAYS, *tests, env=_tested(session))
        return
    with _measured(session) as environment:
        session.run("pytest", *_BOTH_WAYS, *_COVERED, *tests, env=environment | _tested(session))


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of Python files and shell scripts, and what GitHub reads against its schemas."""
    session.install(*nox.project.dependency_groups(_PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    scripts = [*Path("examples/hooks").iterdir(), *Path("examples").glob("*.sh"), *Path("src").rglob("*.sh")]
    scripts += [*Path("debian").glob("*.p*rm"), *Path("src").rglob("bash-completion/completions/*")]
    session.run("shellcheck", "--", *map(str, scripts))
    for schema, files in _GITHUB_FILES.items():
        session.run("check-jsonschema", f"--builtin-schema=vendor.{schema}", *map(str, Path(".github").glob(files)))


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy in its strict mode."""
    _install(session, "typing")
    session.run("mypy", "src", "tests", "tools", "debian", "noxfile.py", "hatch_build.py")


@nox.session
def unit(session: nox.Session) -> None:
    """Run the quick tests, which take at most a minute and need neither root nor systemd; measure no coverage."""
    _install(session, "tests")
    session.run("pytest", *_PARALLEL, *(session.posargs or ["tests/unit"]), env=_tested(session))


@nox.session
def simulate(session: nox.Session) -> None:
    """Simulate sequences of events, and search for one that breaks a guarantee: `-- --histories N --seed S`."""
    _install(session, "tests")
    session.run("python", "-m", "tests.simulation", *session.posargs)
    if not session.posargs:
        session.run("pytest", *_PARALLEL, "tests/simulation")


def _pythons() -> dict[str, str]:
    """Return the supported Pythons that are installed, by version; pyenv's may not be on the PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for version in _SUPPORTED:
        candidates = [*pyenv.glob(f"{version}.*/bin/python{version}"), shutil.which(f"python{version}")]
        for python in map(str, filter(None, candidates)):
            if not subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode:
                found[version] = python
    return found


def _combinations() -> Iterator[object]:
    """Yield the oldest Python with the lowest versions of the dependencies, and each other Python with the newest.

    The session `unit` runs with the newest versions on the Python that runs nox.
    """
    pythons = _pythons() or {"nox": sys.executable}
    oldest, *_ = pythons
    yield nox.param(pythons[oldest], True, id=f"{oldest}, lowest")
    for version, python in pythons.items():
        if version != f"{sys.version_info.major}.{sys.version_info.minor}":
            yield nox.param(python, False, id=version)


@nox.session
@nox.parametrize("python,lowest", list(_combinations()))
def versions(session: nox.Session, lowest: bool) -> None:  # noqa: FBT001
    """Run the quick tests on other supported Pythons, and with the lowest permitted versions of the dependencies.

    The latter run measures the coverage of the quick tests.
    """
    _install(session, "tests", "mypy", options=_lowest(session) if lowest else ())
    tests = (*_PARALLEL, *(session.posargs or ["tests/unit"]))
    if not lowest:
        session.run("pytest", *tests, env=_tested(session))
        return
    # these versions are typed less exactly than the stricter settings in pyproject.toml need
    session.run(
        "mypy", "--config-file=", "--strict", "--no-warn-unused-ignores", "--disable-error-code=type-arg", "src"
    )
    with _measured(session) as environment:
        session.run("pytest", *_COVERED, *tests, env=environment | _tested(session))


def _lowest(session: nox.Session) -> tuple[str, ...]:
    """Return the options by which pip installs the lowest permitted versions, also of trio, which must suit anyio's."""
    constraints = Path(session.create_tmp()) / "lowest.txt"
    trio = (each for each in nox.project.dependency_groups(_PROJECT, "tests") if each.startswith("trio"))
    lowest = (each.replace(">=", "==") for each in (*_PROJECT["project"]["dependencies"], *trio))
    constraints.write_text("\n".join(lowest), encoding="ascii")
    return ("--constraint", str(constraints))


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def system(session: nox.Session) -> None:
    """Run the tests with a real systemd and real servers, such as postfix, and the docs' commands, in sandboxes."""
    _need(session, *_SYSTEM_PACKAGES, *_DEB_PACKAGES)
    _install(session, "tests")
    directories = ("docs", "packaging", "system", "sandbox", "resident", "examples")  # the longest first
    tests = session.posargs or [f"tests/{name}" for name in directories]
    _run_in_sandboxes(session, tests)


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def faults(session: nox.Session) -> None:
    """Test the agent under the faults of docs/faults.md, in a sandbox with a real systemd."""
    _need(session, *_SANDBOX_PACKAGES, "libfaketime")
    _install(session, "tests")
    _run_in_sandboxes(session, session.posargs or ["tests/faults"])
    if not session.posargs and not _is_one_way():
        session.run("python", "-m", "tests.soak", "--minutes=0.5")


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def soak(session: nox.Session) -> None:
    """Start, stop and break units of a real systemd for a long time; audit each result: `-- --minutes N --seed S`."""
    _need(session, *_SANDBOX_PACKAGES)
    _install(session, "tests")
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def cluster(session: nox.Session) -> None:
    """Run the tests under a real Pacemaker, on three nodes in sandboxes, and the tests of other projects."""
    _need(session, *_SYSTEM_PACKAGES, *_CLUSTER_PACKAGES, *_DEB_PACKAGES)
    _install(session, "tests")
    tests = session.posargs or ["tests/cluster", "tests/conformance"]
    session.run("pytest", *_CLUSTERS, *tests, env=_tested(session))


@nox.session(python=False)
def debian13(session: nox.Session) -> None:
    """Run the sessions system, faults and cluster with Debian 13 in place of this host: `-- -s SESSION`.

    Each test of the agent runs in one of its two ways, cold or with the server, unless sessions are named.
    """
    _need(session, "debootstrap")
    packages = {*_SYSTEM_PACKAGES, *_CLUSTER_PACKAGES, *_DEB_PACKAGES, *_CTS_PACKAGES, "libfaketime"}
    sessions = session.posargs or ["-s", "system", "faults", "cluster"]
    root = ("tools/debian_root.py", "trixie", "--packages", *sorted(packages))
    environment = {} if session.posargs else {"PYTEST_ADDOPTS": _ONE_WAY}
    session.run(sys.executable, *root, "--", "python3", "noxfile.py", *sessions, external=True, env=environment)


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def bench(session: nox.Session) -> None:
    """Measure what the agent costs, compared with an agent in shell: `-- --quick`, `-- --write-docs`.

    `-- --cluster` measures a hundred resources under Pacemaker instead. `-- --before REVISION` measures the agent of
    that revision and the present one alternately.
    """
    arguments = list(session.posargs)
    if "--before" in arguments:
        at = arguments.index("--before") + 1
        arguments[at] = _program_of(session, arguments[at])
    _need(session, *_SANDBOX_PACKAGES, "resource-agents")
    if "--cluster" in arguments:
        _need(session, *_CLUSTER_PACKAGES, "pcs")
    _install(session, "bench")  # not "tests": its coverage package would slow down each start of Python
    session.run("python", "-m", "tests.bench", *arguments)


def _program_of(session: nox.Session, revision: str) -> str:
    """Install a revision of this repository into an environment of its own; return the path of its ocf-systemd."""
    home = Path(session.create_tmp()).resolve() / "before"
    shutil.rmtree(home, ignore_errors=True)
    (home / "source").mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], check=True, capture_output=True, cwd=_ROOT).stdout
    subprocess.run(["tar", "-x", "-C", home / "source"], check=True, input=archive)
    session.run("python", "-m", "venv", str(home / "environment"))
    session.run(str(home / "environment/bin/pip"), "install", "--quiet", str(home / "source"), external=True)
    return str(home / "environment/bin/ocf-systemd")


@nox.session
def coverage(session: nox.Session) -> None:
    """Check the limits of the coverage that the sessions versions, system and faults have measured."""
    session.install(*nox.project.dependency_groups(_PROJECT, "coverage"))
    environment = {"COVERAGE_FILE": str(_COVERAGE_DATA / ".coverage")}
    measured = (path for name in ("versions", "system", "faults") for path in _COVERAGE_DATA.glob(f".coverage.{name}*"))
    session.run("coverage", "combine", "--keep", *map(str, measured), env=environment)
    included = ",".join(f"*/ocf_systemd/{module}.py" for module in _PROJECT["tool"]["ocf-systemd"]["pure"])
    session.run("coverage", "report", "--fail-under=100", f"--include={included}", env=environment)
    session.run("coverage", "report", "--fail-under=95", env=environment)


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def demo(session: nox.Session) -> None:
    """Show the agent on an example service that hangs, in a sandbox."""
    _need(session, *_DEMO_PACKAGES)
    session.install(".")
    session.run("ocf-systemd", "demo")


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def deb(session: nox.Session) -> None:
    """Build the Debian package for the Debian release of this host, in dist."""
    _need(session, *_DEB_PACKAGES)
    session.run("python", "tools/build_deb.py", "dist")


@nox.session
def release(session: nox.Session) -> None:
    """Build the sdist and the wheel in dist; check both, and install each in an environment of its own."""
    _install(session, "release")
    for old in Path("dist").glob("ocf_systemd-*"):
        old.unlink()
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(str, Path("dist").glob("ocf_systemd-*")))
    session.run("pytest", "--quiet", "tests/packaging/test_distributions.py", env={"DISTRIBUTIONS": "dist"})


@nox.session(python=_SYSTEM_PYTHON if Path(_SYSTEM_PYTHON).exists() else None)
def docs(session: nox.Session) -> None:
    """Write those parts of the docs that come from the code: tables, manual pages, and pictures of terminal output."""
    _need(session, *_DEMO_PACKAGES, "nginx")
    _install(session, "docs")
    session.run("python", "tools/write_reference.py")
    session.run("python", "tools/write_faults.py")
    session.run("python", "tools/write_manual.py")
    session.run("python", "tools/write_results.py")
    session.run("python", "tools/write_tested.py")
    session.run("python", "tools/draw_screens.py")
