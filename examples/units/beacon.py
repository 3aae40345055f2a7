#!/usr/bin/python3 -I
"""A small web service to try the agent with: it listens two seconds after its start."""

import contextlib
import http.server
import os
import signal
import time
from types import FrameType


class Lamp(http.server.BaseHTTPRequestHandler):
    """Answers every GET with one line."""

    timeout = 5
    reloads = 0

    def handle(self) -> None:
        """Ignore clients that close the connection, as a hook does at its time limit."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:  # the name is http.server's
        """Answer one request."""
        body = f"beacon is lit, {Lamp.reloads} reloads\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Keep the journal free of a line per monitor."""


def count_reload(_number: int, _frame: FrameType | None) -> None:
    """Count a SIGHUP as a reload."""
    Lamp.reloads += 1


def main() -> None:
    """Wait, then serve until SIGTERM."""
    signal.signal(signal.SIGHUP, count_reload)
    time.sleep(float(os.environ.get("BEACON_WARM_UP", "2")))
    address = ("127.0.0.1", int(os.environ.get("BEACON_PORT", "8025")))
    with http.server.ThreadingHTTPServer(address, Lamp) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
