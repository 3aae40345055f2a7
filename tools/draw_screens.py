"""Draws pictures of the output of `debug`, `doctor` and `rehearse` in a sandbox; `nox -s docs` runs this script.

The script runs each command for terminals of several widths, and converts the output into SVG pictures.
"""

import io
import sys
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.text import Text

from ocf_systemd.sandbox import Copy, Sandbox, boot

_ROOT = Path(__file__).resolve().parents[1]
_SCREENS = _ROOT / "docs/screens"
_HOOKS = "/usr/local/lib/ocf-systemd/hooks"
_PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
_WIDTHS = (60, 80, 120)  # columns
_NGINX = ("nginx", "--monitor-hook", f"{_HOOKS}/http")
# The journal in the picture then has one hang, and a hanging nginx would take ten seconds to restart.
_HANG = "systemctl kill --signal=CONT nginx && systemctl restart nginx && systemctl kill --signal=STOP nginx"
# The shell command that runs first, the picture's name, and the arguments of ocf-systemd for the picture.
_PICTURES = (
    ("systemctl enable nginx", "doctor", ("doctor", *_NGINX)),
    ("systemctl disable nginx", "rehearse", ("rehearse", *_NGINX, "-o", "monitor_hook_timeout=2s")),
    ("systemctl stop nginx", "debug-start", ("debug", "start", *_NGINX)),
    (_HANG, "debug-monitor", ("debug", "monitor", *_NGINX)),
)


def _draw(sandbox: Sandbox, name: str, arguments: tuple[str, ...], width: int) -> None:
    variables = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(width)}
    done = sandbox.run([_PROGRAM, *arguments], env=variables)
    if not done.stdout:
        raise SystemExit(done.stderr)
    console = Console(record=True, width=width, file=io.StringIO(), color_system="truecolor", highlight=False)
    for line in Text.from_ansi(done.stdout).split():  # a long line is broken as a terminal does it
        console.print(Text("\n").join(line.divide(range(width, len(line), width))), soft_wrap=True)
    picture = _SCREENS / f"{name}-{width}.svg"
    # The id occurs throughout the file, and one that rich chooses would differ each time.
    title = " ".join(("ocf-systemd", *arguments)).replace(f"{_HOOKS}/", "…/hooks/")
    picture.write_text(console.export_svg(title=title, unique_id=f"ocf-systemd-{picture.stem}"), encoding="utf-8")
    print(picture.relative_to(_ROOT))


def _main() -> None:
    _SCREENS.mkdir(exist_ok=True)
    examples = _ROOT / "examples/hooks"
    with boot(copies=[Copy(examples / "http", PurePosixPath(_HOOKS) / "http")]) as sandbox:
        sandbox.run([_PROGRAM, "install"])
        for before, name, arguments in _PICTURES:
            for width in _WIDTHS:
                sandbox.run(["sh", "-c", before])
                _draw(sandbox, name, arguments, width)


if __name__ == "__main__":
    _main()
