"""The architecture: which folder may import which, what is pure, and the conventions that a tool cannot check."""

from __future__ import annotations

import ast
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import ocf_systemd

PACKAGE = Path(ocf_systemd.__file__).parent
ARCHITECTURE = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["ocf-systemd"]
IMPORTS: dict[str, list[str]] = ARCHITECTURE["imports"]
PURE: list[str] = ARCHITECTURE["pure"]

RICH = {"debug/live_view", "display/rich_checks", "doctor/rich_view", "rehearse/live_view"}
RICH_LAZILY = {*RICH, "display/terminal"}
IMPURE = {"anyio", "os", "subprocess", "logging", "click", "rich", "socket", "time", "sys", "io", "shutil", "trio"}
STARTS_PROCESSES = {"host/processes", "host/commands"}
READS_ENVIRONMENT = {"agent/entry", "client", "display/terminal"}
LINES_MAX, FUNCTION_LINES_MAX = 400, 30


def module_of(path: Path) -> str:
    """Return a module as the lists have it: its path below the package, without a suffix."""
    return str(path.relative_to(PACKAGE).with_suffix(""))


def is_module(path: Path) -> bool:
    """Return whether a file has anything but a docstring."""
    return path != PACKAGE / "__init__.py" and len(ast.parse(path.read_text()).body) > 1


# An installed package has a copy of examples/ for the demo.
EXAMPLES = PACKAGE / "examples"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(EXAMPLES) and is_module(path))
MODULES = {module_of(path): path for path in FILES}
ROWS = [pytest.param(module, id=module) for module in MODULES]
PURE_ROWS = [pytest.param(module, id=module) for module in MODULES if any(fnmatch(module, each) for each in PURE)]


def folder_of(module: str) -> str:
    return module.partition("/")[0]


def imported(module: str, *, lazily: bool = True) -> set[str]:
    """Return what a module imports, by full name; not for type checking alone; lazy imports are those in functions."""
    tree = ast.parse(MODULES[module].read_text())
    ignored: set[ast.AST] = set()
    for node in ast.walk(tree):
        skip = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if skip or (not lazily and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            ignored |= set(ast.walk(node))
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in ignored:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def tops(module: str, *, lazily: bool = True) -> set[str]:
    """Return the packages that a module imports, this one aside."""
    return {name.partition(".")[0] for name in imported(module, lazily=lazily)} - {"ocf_systemd"}


def own(module: str, *, lazily: bool = True) -> set[str]:
    """Return the modules of this package that a module imports."""
    names = {name.partition(".")[2].replace(".", "/") for name in imported(module, lazily=lazily)}
    return (names | {f"{name}/__init__" for name in names}) & set(MODULES)


def test_every_folder_has_its_place() -> None:
    """A new folder must be given one, from the bottom up: it imports from those before it alone."""
    assert {folder_of(module) for module in MODULES} == set(IMPORTS)
    folders = list(IMPORTS)
    for folder, allowed in IMPORTS.items():
        assert set(allowed) <= set(folders[: folders.index(folder)])


@pytest.mark.parametrize("module", ROWS)
def test_imports_run_one_way(module: str) -> None:
    """A module imports from its own folder, and from those that its folder may import from."""
    folder = folder_of(module)
    assert {folder_of(each) for each in own(module)} <= {folder, *IMPORTS[folder]}


def test_no_import_that_is_allowed_for_nothing() -> None:
    """What a folder may import from is what it does import from."""
    for folder, allowed in IMPORTS.items():
        used = {folder_of(each) for module in MODULES if folder_of(module) == folder for each in own(module)}
        assert set(allowed) <= used, folder


def test_no_circles() -> None:
    """Within a folder imports run one way as well."""
    left = {module: own(module, lazily=False) - {module} for module in MODULES}
    while free := {module for module, needed in left.items() if not needed & left.keys()}:
        left = {module: needed for module, needed in left.items() if module not in free}
    assert not left


@pytest.mark.parametrize("module", PURE_ROWS)
def test_what_decides_is_pure(module: str) -> None:
    """It imports neither an event loop nor the operating system, directly or by way of what is not pure."""
    assert not (tops(module) & IMPURE) - ({"sys"} if module == "core/records" else set())  # for Python's version
    assert all(any(fnmatch(each, pure) for pure in PURE) for each in own(module))


def test_core_is_pure() -> None:
    """A module in `core` is pure by its place."""
    assert {row.values[0] for row in PURE_ROWS} >= {module for module in MODULES if folder_of(module) == "core"}


@pytest.mark.parametrize("module", ROWS)
def test_rich_is_for_views_alone(module: str) -> None:
    """Only views import rich, and what finds out where output goes, lazily."""
    assert "rich" not in tops(module) or module in RICH_LAZILY
    assert "rich" not in tops(module, lazily=False) or module in RICH


@pytest.mark.parametrize("module", ROWS)
def test_who_starts_processes(module: str) -> None:
    """An action's processes start in `host/processes`; else only tools for people start any."""
    assert module in STARTS_PROCESSES or folder_of(module) == "sandbox" or "subprocess" not in tops(module)


@pytest.mark.parametrize("module", ROWS)
def test_only_the_command_line_reads_the_process_environment(module: str) -> None:
    """An action takes its environment as an argument: one process may run many."""
    if module in READS_ENVIRONMENT or folder_of(module) in {"commands", "sandbox"}:
        return
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        assert not (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "exit"})


def test_the_command_line_imports_lazily() -> None:
    """What an action does not use is not imported: a monitor pays for what it needs."""
    assert {folder_of(each) for each in own("agent/entry", lazily=False)} == {"core"}
    assert not tops("agent/entry", lazily=False) & {"anyio", "rich", "xml"}
    for module in MODULES:
        if folder_of(module) == "commands":
            assert {folder_of(each) for each in own(module, lazily=False)} <= {"agent", "commands", "core", "display"}
            assert not tops(module, lazily=False) & {"anyio", "rich", "xml"}


@pytest.mark.parametrize("module", ROWS)
def test_size_and_docstrings(module: str) -> None:
    """Each module describes what it is for, and has at most 400 lines; functions have at most 30 lines of code."""
    text = MODULES[module].read_text()
    assert text.count("\n") <= LINES_MAX
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"
