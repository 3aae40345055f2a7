"""The agent's side of the resident server: it asks for an action and passes on the answer; and the words between them.

It is loaded for every action, by an interpreter that has imported nothing: what it imports itself is built in.

An agent sends one request: its length in four bytes, then fields with a NUL between them: its version, the action, the
name it was called by, its umask, its working directory, and its environment, a variable a field. Who it is, and since
when it runs, the server learns from the kernel. Later it sends the numbers of the signals it receives, a byte each.

The server sends frames: a letter, the payload's length in four bytes, the payload. First its version as a greeting,
pulses while the action runs, and an answer: the exit code in one byte, and what belongs on standard error.
"""

import _signal  # type: ignore[import-not-found]  # typeshed has signal, which imports enum
import _socket
import posix

from ocf_systemd import __version__

SOCKET = "/run/ocf-systemd.socket"
VERSION = __version__.encode()
SERVED = ("monitor", "validate-all")
"""The actions that the server performs: those that change nothing.

A server that was frozen would carry out a start after a later stop had returned 0. What changes something runs in the
process that Pacemaker started, and ends with it.
"""

SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)

GREETING, PULSE, ANSWER = b"G", b"P", b"A"
HEAD = 5
"""Bytes of a frame before its payload."""

GREETED_WITHIN_S = (0.25, 1.0)
"""Bounds of the seconds after which an agent that was not greeted acts by itself: a twentieth of its timeout."""

SILENCE_S = (1.0, 3.0)
"""Bounds of the seconds without a pulse after which it does so later on: a quarter of its timeout."""

_CHUNK = 64 * 1024
# A trace is written by the process that is traced, wherever it is to go.
_TRACED = (b"OCF_TRACE_RA", b"OCF_RESKEY_trace_ra")


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """Return a frame as the server sends it."""
    return kind + len(payload).to_bytes(4, "big") + payload


def request_action(arguments: list[str], path: str = SOCKET) -> int | None:
    """Have the resident server perform the action of a command line, and write what it has to say of it.

    Returns the exit code; None: this process is to perform the action itself, for no server answers, or not to this
    version. What one has begun all the same ends with the connection.
    """
    if arguments[1:2] == [] or arguments[1] not in SERVED or any(name in posix.environ for name in _TRACED):
        return None
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    signals = Signals(server)
    before = [_signal.signal(number, signals.receive) for number in SIGNALS]
    try:
        code = _request_result(server, signals, arguments, path)
    except OSError:  # time that is up is one too
        code = None
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            _signal.signal(number, handler)
        server.close()
    if code is None and signals.first:
        _signal.signal(signals.first, _signal.SIG_DFL)
        posix.kill(posix.getpid(), signals.first)  # it was to end, and nobody was there to end it in good order
    return code


class Signals:
    """The signals that this process receives while it asks: the server is told of them, once it has the request."""

    def __init__(self, server: _socket.socket) -> None:
        self.first = 0
        self.is_forwarding = False
        self._server = server
        self._pending = bytearray()

    def receive(self, number: int, _: object) -> None:
        """Be the handler of a signal."""
        self.first = self.first or number
        self._pending.append(number)
        if self.is_forwarding:
            self.forward()

    def forward(self) -> None:
        """Tell of what has come, and of all that comes from now on: in the midst of a request it would be lost."""
        self.is_forwarding = True
        numbers, self._pending = self._pending, bytearray()
        try:  # noqa: SIM105  # contextlib is not imported here
            self._server.send(numbers)
        except OSError:  # it has gone, which is found by who reads from it
            pass


def _request_result(server: _socket.socket, signals: Signals, arguments: list[str], path: str) -> int | None:
    if server.fileno() <= 2:  # noqa: PLR2004  # a standard stream is closed, and would be the connection from here on
        return None
    greeted_within_s, silence_s = patience()
    server.settimeout(greeted_within_s)
    server.connect(path)
    server.sendall(_request(arguments))
    signals.forward()
    buffer = b""
    while chunk := server.recv(_CHUNK):
        buffer += chunk
        while len(buffer) >= HEAD and len(buffer) >= (end := HEAD + int.from_bytes(buffer[1:HEAD], "big")):
            kind, payload, buffer = buffer[:1], buffer[HEAD:end], buffer[end:]
            if kind == GREETING:
                if payload != VERSION:
                    return None
                server.settimeout(silence_s)
            elif kind == ANSWER:
                _write(payload[1:])
                return payload[0]
    return None


def _request(arguments: list[str]) -> bytes:
    umask = posix.umask(0o077)
    posix.umask(umask)
    name = arguments[0].rpartition("/")[2].encode(errors="surrogateescape")
    fields = [VERSION, arguments[1].encode(), name, b"%o" % umask, posix.getcwdb()]
    body = b"\0".join(fields + [b"%b=%b" % variable for variable in posix.environ.items()])
    return len(body).to_bytes(4, "big") + body


def patience() -> tuple[float, float]:
    """Return how many seconds to wait for a greeting, and for a pulse later on."""
    timeout = posix.environ.get(b"OCF_RESKEY_CRM_meta_timeout", b"")
    timeout_s = int(timeout) / 1000 if timeout.isdigit() and len(timeout) < 10 else 20.0  # noqa: PLR2004  # the default
    return _clamp(GREETED_WITHIN_S, timeout_s / 20), _clamp(SILENCE_S, timeout_s / 4)


def _clamp(bounds: tuple[float, float], seconds: float) -> float:
    return min(max(seconds, bounds[0]), bounds[1])


def _write(text: bytes) -> None:
    try:
        while text:
            text = text[posix.write(2, text) :]
    except OSError:  # whoever would read it may be gone
        pass
