"""A server of a line protocol: its greeting, and its reply to each command.

line_server.py PORT GREETING [COMMAND=ANSWER]...; it prints its port, and serves until it is killed.
"""

import socketserver
import sys

_PORT, _GREETING, *_ANSWERS = sys.argv[1:]


class Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            self._converse()
        except ConnectionError:
            return

    def _converse(self) -> None:
        self._send(_GREETING)
        for line in self.rfile:
            for answer in _ANSWERS:
                command, _, text = answer.partition("=")
                if line.decode().startswith(command):
                    self._send(text)

    def _send(self, text: str) -> None:
        if text:
            self.wfile.write(text.encode() + b"\r\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(_PORT)), Conversation) as server:
        print(server.server_address[1], flush=True)  # noqa: T201  # the port is its only output
        server.serve_forever()
