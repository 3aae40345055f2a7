"""A rehearsal in a terminal: the list of scenes, as they are played; then what came of them."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live

from ocf_systemd.display.terminal import hide_ctrl_c
from ocf_systemd.rehearse.progress import Record, Step
from ocf_systemd.rehearse.rich_view import played, playing

_REFRESHES_PER_S = 12


@dataclass(slots=True)
class LiveView:
    """Draws a rehearsal while it goes on, and leaves what came of it on the screen."""

    console: Console
    _drawing: ExitStack = field(default_factory=ExitStack, init=False)

    def begin(self, record: Record) -> None:
        """Begin to draw; where nobody watches, as in a pipe, only the last picture is drawn."""
        if not self.console.file.isatty():
            return
        self._drawing.enter_context(hide_ctrl_c())
        self._drawing.enter_context(
            Live(
                console=self.console,
                get_renderable=lambda: playing(record),
                refresh_per_second=_REFRESHES_PER_S,
                transient=True,
            )
        )

    def ended(self, record: Record, step: Step) -> None:
        """Leave it to the drawing, which looks at the record."""

    def close(self, record: Record) -> None:
        """Leave what came of it."""
        self._drawing.close()
        self.console.print(played(record))
