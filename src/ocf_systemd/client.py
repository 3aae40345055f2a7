"""The client of the resident server: sends it an action, and passes on the exit code and the exit reason.

The agent file imports this module for every action, before anything else. To load fast, the module itself imports only
the version of the package, and modules of the standard library that are written in C.

Protocol, over a Unix stream socket:

1. The client sends one request: its length in four bytes (big-endian), then fields separated by NUL: the client's
   version, the action, the name of the agent file, the umask in octal, the working directory, and one field
   `NAME=VALUE` for each environment variable. The kernel gives the server the process ID, user and start time of the
   client.
2. The server sends frames: one byte for the kind, the length of the payload in four bytes (big-endian), the payload.
   The first frame is GREETING with the server's version; a client of another version then disconnects. PULSE frames
   follow at short intervals while the action runs. The last frame is ANSWER: the exit code in one byte, then the text
   for standard error.
3. After the request the client sends one byte for each signal that it receives: the signal's number. The server then
   ends the action as the agent itself would.

If there is no server, or GREETING or PULSE is late, the client disconnects, the server cancels the action, and the
agent runs the action in its own process. docs/design/server.md describes the life of a request.
"""

import _signal  # type: ignore[import-not-found]  # typeshed has signal, which imports enum
import _socket
import posix

from ocf_systemd import __version__

SOCKET = "/run/ocf-systemd.socket"
VERSION = __version__.encode()
SERVED = ("monitor", "validate-all")
"""The actions that the server runs: those that change nothing.

A server that was frozen could run a start after a later stop has returned 0. An action that changes something
therefore runs in the process that Pacemaker started, and ends with that process.
"""

SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)

GREETING, PULSE, ANSWER = b"G", b"P", b"A"
GREETING_TIMEOUT_S = (0.25, 1.0)
"""The least and the most seconds to wait for GREETING; in between, a twentieth of the action's timeout."""

PULSE_TIMEOUT_S = (1.0, 3.0)
"""The least and the most seconds to wait for each further frame; in between, a quarter of the action's timeout."""

_READ_BYTES = 64 * 1024
_HEADER = 5  # bytes of a frame before its payload
# With one of these variables set, the agent's own process runs the action, and writes the trace.
_TRACE_VARIABLES = (b"OCF_TRACE_RA", b"OCF_RESKEY_trace_ra")


def encode_frame(kind: bytes, payload: bytes = b"") -> bytes:
    """Return a frame as the server sends it."""
    return kind + len(payload).to_bytes(4, "big") + payload


def request_action(arguments: list[str], path: str = SOCKET) -> int | None:
    """Request the action of a command line from the resident server; write the server's text to standard error.

    Returns the exit code, or None if this process must run the action itself: the server does not run this action,
    cannot be reached, is too slow, or has another version.
    """
    if arguments[1:2] == [] or arguments[1] not in SERVED or any(name in posix.environ for name in _TRACE_VARIABLES):
        return None
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    signals = SignalForwarder(server)
    before = [_signal.signal(number, signals.handle) for number in SIGNALS]
    try:
        code = _exchange(server, signals, arguments, path)
    except OSError:  # a timeout included
        code = None
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            _signal.signal(number, handler)
        server.close()
    if code is None and signals.first:
        # The server gave no result after this signal: the signal ends this process, as it does without a handler.
        _signal.signal(signals.first, _signal.SIG_DFL)
        posix.kill(posix.getpid(), signals.first)
    return code


class SignalForwarder:
    """Forwards the signals that this process receives to the server, once the whole request has been sent."""

    def __init__(self, server: _socket.socket) -> None:
        self.first = 0
        self.is_forwarding = False
        self._server = server
        self._pending = bytearray()

    def handle(self, number: int, _: object) -> None:
        """Forward a signal; keep it while the request is being sent, as its byte would become part of the request."""
        self.first = self.first or number
        self._pending.append(number)
        if self.is_forwarding:
            self.forward()

    def forward(self) -> None:
        """Send the signals received so far, and from now on each one at once."""
        self.is_forwarding = True
        numbers, self._pending = self._pending, bytearray()
        try:  # noqa: SIM105  # contextlib is not imported here
            self._server.send(numbers)
        except OSError:  # the server has disconnected: recv() reports it
            pass


def _exchange(server: _socket.socket, signals: SignalForwarder, arguments: list[str], path: str) -> int | None:
    if server.fileno() <= 2:  # noqa: PLR2004  # the socket must not take the place of a closed standard stream
        return None
    greeting_timeout_s, pulse_timeout_s = server_timeouts_s()
    server.settimeout(greeting_timeout_s)
    server.connect(path)
    server.sendall(_encode_request(arguments))
    signals.forward()
    buffer = b""
    while chunk := server.recv(_READ_BYTES):
        buffer += chunk
        while len(buffer) >= _HEADER and len(buffer) >= (end := _HEADER + int.from_bytes(buffer[1:_HEADER], "big")):
            kind, payload, buffer = buffer[:1], buffer[_HEADER:end], buffer[end:]
            if kind == GREETING:
                if payload != VERSION:
                    return None
                server.settimeout(pulse_timeout_s)
            elif kind == ANSWER:
                _write_to_stderr(payload[1:])
                return payload[0]
    return None


def _encode_request(arguments: list[str]) -> bytes:
    umask = posix.umask(0o077)
    posix.umask(umask)
    name = arguments[0].rpartition("/")[2].encode(errors="surrogateescape")
    fields = [VERSION, arguments[1].encode(), name, b"%o" % umask, posix.getcwdb()]
    body = b"\0".join(fields + [b"%b=%b" % variable for variable in posix.environ.items()])
    return len(body).to_bytes(4, "big") + body


def server_timeouts_s() -> tuple[float, float]:
    """Return how many seconds to wait for GREETING, and for each further frame."""
    timeout = posix.environ.get(b"OCF_RESKEY_CRM_meta_timeout", b"")
    timeout_s = int(timeout) / 1000 if timeout.isdigit() and len(timeout) < 10 else 20.0  # noqa: PLR2004  # the default
    return _clamp(GREETING_TIMEOUT_S, timeout_s / 20), _clamp(PULSE_TIMEOUT_S, timeout_s / 4)


def _clamp(bounds: tuple[float, float], seconds: float) -> float:
    return min(max(seconds, bounds[0]), bounds[1])


def _write_to_stderr(text: bytes) -> None:
    try:
        while text:
            text = text[posix.write(2, text) :]
    except OSError:  # the reader may have closed its end
        pass
