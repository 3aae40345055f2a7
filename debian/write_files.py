"""Writes the files that depend on where Python finds the package: the agent file, and the resident server's units.

debian/rules runs it with the Python of the built package, whose directory is the argument.
"""

import sys
from pathlib import Path

from ocf_systemd.install.agent_file import AgentFile, agent_text
from ocf_systemd.install.server_units import THIS_HOST, unit_texts

MARK = "# Part of the Debian package ocf-systemd."

root = sys.argv[1]
agent = AgentFile(Path(root, "usr/lib/ocf")).path
texts = {path.name: text for path, text in zip(THIS_HOST.files, unit_texts(MARK, THIS_HOST.socket), strict=True)}
agent.parent.mkdir(parents=True)
agent.write_text(agent_text().replace(root, ""), encoding="utf-8")
agent.chmod(0o755)
for name, text in texts.items():
    Path("debian", name).write_text(text.replace(root, ""), encoding="utf-8")
