"""Draws the pictures of debug mode in the docs, from the real thing in a sandbox; `nox -s docs` calls it.

Called with an action it runs that in debug mode and prints what the terminal would show, as SVG; called without, it
boots a sandbox and calls itself in there.
"""

import io
import sys
from pathlib import Path, PurePosixPath

from rich.console import Console

from ocf_systemd.debug.live import LiveView
from ocf_systemd.debug.session import Call, run_call
from ocf_systemd.sandbox import Copy, Sandbox, boot

_HERE = Path(__file__).resolve().parent
_HOOK = "/usr/local/lib/ocf-systemd/hooks/smtp"
_WIDTH = 100


def _draw_here(title: str, name: str, timeout_s: float) -> str:
    """Run an action on this host and return the terminal's picture."""
    # No terminal, so that only what stays on the screen is drawn, and not each of the frames before.
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), color_system="truecolor", highlight=False)
    call = Call(name, {"unit": "postfix@-", "monitor_hook": _HOOK}, timeout_s)
    run_call(call, LiveView(console, in_cycle=False))
    return console.export_svg(title=title, unique_id=f"ocf-systemd-{name}")


def _draw_in(sandbox: Sandbox, name: str, timeout_s: float) -> None:
    title = f"ocf-systemd debug {name} --unit postfix@- --monitor-hook .../hooks/smtp"
    command = [sys.executable, "/root/draw_pictures.py", title, name, str(timeout_s)]
    done = sandbox.run(command)
    if done.returncode:
        raise SystemExit(done.stderr)
    picture = _HERE / f"debug-{name}.svg"
    picture.write_text(done.stdout, encoding="utf-8")
    print(picture.relative_to(_HERE.parent))


def _main() -> None:
    copies = [
        Copy(_HERE.parent / "examples/hooks/smtp", PurePosixPath(_HOOK)),
        Copy(Path(__file__), PurePosixPath("/root/draw_pictures.py")),
    ]
    with boot(copies=copies) as sandbox:
        _draw_in(sandbox, "start", 20.0)
        sandbox.run(["systemctl", "kill", "--signal=STOP", "postfix@-"])
        _draw_in(sandbox, "monitor", 20.0)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(_draw_here(sys.argv[1], sys.argv[2], float(sys.argv[3])), end="")
    else:
        _main()
