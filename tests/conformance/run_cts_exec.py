"""Runs Pacemaker's own tests of its executor, `cts-exec`, with our agent in place of the resource class `systemd`.

The tests of that class call the executor with options such as `-C systemd -T UNIT`. This program loads cts-exec and
changes the options in memory: they name our agent, and pass the unit as its parameter.
"""

from __future__ import annotations

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

CTS_EXEC = "/usr/share/pacemaker/tests/cts-exec"
_OF_THE_CLASS = re.compile(r"-C systemd -T (?P<unit>\S+)")
_OURS = "-C ocf -P pacemaker -T systemd"
_RESOURCE = re.compile(r"-r (?P<name>\S+)")


def main() -> None:
    """Run cts-exec, which ends this process."""
    loader = SourceFileLoader("cts_exec", CTS_EXEC)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    cts_exec = module_from_spec(spec)
    loader.exec_module(cts_exec)
    original = cts_exec.ExecTest.add_cmd
    units: dict[str, str] = {}

    def add_command(test: object, cmd: str | None = None, *, args: str = "", **options: object) -> None:
        if options.get("stdout_match") and _OF_THE_CLASS.search(args):  # of the metadata, which Pacemaker writes
            options["stdout_match"] = 'resource-agent name="systemd"'
        args = _with_our_agent(args, units)
        # An agent that returns 5 has been run; Pacemaker runs nothing for a unit that it does not find.
        original(test, cmd, args=args.replace("op_status:Not installed", "op_status:Done"), **options)

    cts_exec.ExecTest.add_cmd = add_command
    cts_exec.BuildOptions._BUILD_DIR = "/nonexistent"  # noqa: SLF001 - which Debian's package does not define
    cts_exec.main()


def _with_our_agent(options: str, units: dict[str, str]) -> str:
    """Return the options with our agent; `units` keeps the unit of each resource from its registration on."""
    resource = _RESOURCE.search(options)
    name = resource["name"] if resource else ""
    if found := _OF_THE_CLASS.search(options):
        units[name] = found["unit"]
        return _OF_THE_CLASS.sub(_OURS, options)
    if "-c register_rsc" in options:
        units.pop(name, None)
    return f"{options} -k unit -v {units[name]}" if "-c exec" in options and name in units else options


if __name__ == "__main__":
    main()
