"""A fence agent for nodes that are sandboxes: it requests the tests outside to end one.

Installed on the nodes as /usr/sbin/fence_sandbox; options come on standard input, as fenced gives them.
"""

import socket
import sys

SOCKET = "/run/fencing.socket"
_TIMEOUT_S = 15.0
_METADATA = """\
<?xml version="1.0" ?>
<resource-agent name="fence_sandbox" shortdesc="Ends sandboxes">
  <longdesc>Ends sandboxes.</longdesc>
  <parameters>
    <parameter name="action" required="1"><content type="string" default="off"/></parameter>
    <parameter name="port" required="1"><content type="string"/></parameter>
  </parameters>
  <actions>
    <action name="on"/>
    <action name="off"/>
    <action name="reboot"/>
    <action name="monitor"/>
    <action name="metadata"/>
  </actions>
</resource-agent>
"""


def main() -> int:
    """Perform the action in the options and return the exit code."""
    given = sys.stdin.read().splitlines() + [word.removeprefix("--") for word in sys.argv[1:]]
    options = dict(line.split("=", 1) for line in given if "=" in line)
    match options.get("action", "off"):
        case "metadata":
            sys.stdout.write(_METADATA)
            return 0
        case "off" | "reboot":
            return 0 if _request(options.get("port", "")) == b"ended" else 1
        case "monitor" | "status":
            return 0
        case _:
            return 1


def _request(node: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(SOCKET)
        connection.sendall(f"{node}\n".encode())
        return connection.recv(16)


if __name__ == "__main__":
    sys.exit(main())
