"""Makes the project's description for package indexes: the README, which they show without the rest of the repository.

Hatchling calls this while it builds a distribution.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?![a-z]+:)[^)\s]+)\)")


def description(readme: str, address: str, version: str) -> str:
    """Return the README with relative links made absolute: they lead to the files of this version below `address`.

    Without an address, pictures are left out, and of a link remains its text.
    """

    def replaced(link: re.Match[str]) -> str:
        picture, text, target = link.groups()
        if not address:
            return "" if picture else text
        path = f"README.md{target}" if target.startswith("#") else target
        return f"{picture}[{text}]({address}/{'raw' if picture else 'blob'}/v{version}/{path})"

    return _LINK.sub(replaced, readme)


class Description(MetadataHookInterface):
    """Sets the project's description; the address is `Source` of `[project.urls]`."""

    def update(self, metadata: dict[str, object]) -> None:
        """Add the description to the metadata of the project."""
        urls = metadata.get("urls")
        address = urls.get("Source", "") if isinstance(urls, dict) else ""
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = description(readme, address, str(metadata["version"]))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
