"""The shape of the house: imports run one way, and what decides touches nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ocf_systemd

PACKAGE = Path(ocf_systemd.__file__).parent

LAYERS = (
    "records",
    "ocf",
    "observations",
    "judgement",
    "parameters",
    "metadata",
    "proc",
    "cgroups",
    "survivors",
    "reload_lock",
    "processes",
    "systemd",
    "bus",
    "hooks",
    "reporting",
    "actions",
    "tracing",
    "answers",
    "crews",
    "agent",
    "wire",
    "server",
    "cli",
    "consequences",
    "completion",
    "drafts",
    "shared",
    "installation",
    "residence",
    "sandbox",
    "debug",
    "timespans",
    "doctor",
    "rehearsal",
    "commands",
    "__main__",
)
PURE = ("records", "ocf", "observations", "judgement", "parameters", "metadata", "consequences", "timespans")
PURE_WITHIN = {
    "doctor": (
        "facts",
        "readings",
        "findings",
        "unit_checks",
        "service_checks",
        "hook_checks",
        "host_checks",
        "checks",
    ),
    "rehearsal": ("scenes", "seen", "judging", "proposal"),
}
DRAWN = ("debug/live.py", "doctor/drawn.py", "rehearsal/live.py", "rehearsal/drawn.py")
IMPURE = {"anyio", "os", "subprocess", "logging", "click", "rich", "socket", "time", "sys", "io", "shutil", "trio"}
STARTS_PROCESSES = {"processes", "completion", "installation", "residence", "sandbox"}


def modules() -> dict[str, list[Path]]:
    """Return the package's files by layer: a package of its own is one."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found.setdefault(layer, []).append(path)
    del found["__init__"]
    return found


MODULES = modules()
FILES = [pytest.param(path, id=str(path.relative_to(PACKAGE))) for paths in MODULES.values() for path in paths]
MODULE_ROWS = [pytest.param(layer, id=layer) for layer in MODULES]


def imported(path: Path, *, lazily: bool = True) -> set[str]:
    """Return what a file imports, by full name; not for type checking alone; lazy imports are those in functions."""
    tree = ast.parse(path.read_text())
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
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def tops(path: Path, *, lazily: bool = True) -> set[str]:
    return {name.split(".")[0] for name in imported(path, lazily=lazily)}


def own_layers(path: Path, *, lazily: bool = True) -> set[str]:
    """Return the layers of this package that a file imports from."""
    own = {name.split(".")[1] for name in imported(path, lazily=lazily) if name.startswith("ocf_systemd.")}
    return own & set(MODULES)


def test_every_module_has_its_layer() -> None:
    """A new module is to be given a place."""
    assert set(MODULES) == set(LAYERS)


@pytest.mark.parametrize("layer", MODULE_ROWS)
def test_imports_run_one_way(layer: str) -> None:
    """A module imports from the layers below its own, and from no other."""
    below = set(LAYERS[: LAYERS.index(layer)])
    for path in MODULES[layer]:
        assert own_layers(path) <= below | ({layer} if path.parent != PACKAGE else set())


@pytest.mark.parametrize("layer", [pytest.param(layer, id=layer) for layer in PURE])
def test_what_decides_is_pure(layer: str) -> None:
    """It imports neither an event loop nor the operating system, directly or by way of what is not pure."""
    for path in MODULES[layer]:
        assert not (tops(path) & IMPURE) - ({"sys"} if layer == "records" else set())  # which asks for Python's version
        assert own_layers(path) <= set(PURE)


@pytest.mark.parametrize(("layer", "name"), [(layer, name) for layer, names in PURE_WITHIN.items() for name in names])
def test_what_decides_within_a_package_is_pure(layer: str, name: str) -> None:
    """A check or a rehearsal's judgement is a function of what has been seen: it looks at nothing itself."""
    path = PACKAGE / layer / f"{name}.py"
    assert not tops(path) & IMPURE
    assert own_layers(path) <= {*PURE, layer}
    others = {full.split(".")[2] for full in imported(path) if full.startswith(f"ocf_systemd.{layer}.")}
    assert others <= set(PURE_WITHIN[layer])


@pytest.mark.parametrize("path", FILES)
def test_rich_is_for_what_is_drawn_alone(path: Path) -> None:
    """Only what draws imports rich, and what finds out where output goes, lazily."""
    name = str(path.relative_to(PACKAGE))
    assert "rich" not in tops(path) or name in {*DRAWN, "commands/terminal.py"}
    assert "rich" not in tops(path, lazily=False) or name in DRAWN


@pytest.mark.parametrize("layer", MODULE_ROWS)
def test_who_starts_processes(layer: str) -> None:
    """An action's processes start in `processes`; else only tools for people start any."""
    assert layer in STARTS_PROCESSES or not any("subprocess" in tops(path) for path in MODULES[layer])


@pytest.mark.parametrize("layer", MODULE_ROWS)
def test_only_the_command_line_reads_the_process_environment(layer: str) -> None:
    """An action takes its environment as an argument: one process may run many."""
    if layer in {"cli", "commands", "sandbox", "wire"}:
        return
    for path in MODULES[layer]:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "exit"})


def test_the_command_line_imports_lazily() -> None:
    """What an action does not use is not imported: a monitor pays for what it needs."""
    (path,) = MODULES["cli"]
    assert own_layers(path, lazily=False) == {"answers", "observations", "ocf"}
    assert not tops(path, lazily=False) & {"anyio", "rich", "xml"}
    for path in MODULES["commands"]:
        assert own_layers(path, lazily=False) <= {"cli", "commands", "observations", "ocf"}
        assert not tops(path, lazily=False) & {"anyio", "rich", "xml"}


@pytest.mark.parametrize("path", FILES)
def test_a_module_says_what_it_owns(path: Path) -> None:
    """Each begins with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", FILES)
def test_functions_are_short(path: Path) -> None:
    """Under 30 lines of code and at most four positional arguments, as the conventions have it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node) is not None
            body = node.body[1:] if has_docstring else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 30, f"{node.name} has {lines} lines"
