"""README's own lines, so that what it tells people is what is tested."""

import re

from .util import ROOT


def block(name, mirror=None):
    """The fenced block directly under `<!-- test: name -->`; with a mirror's address in place of README's."""
    found = re.search(rf"<!-- test: {name} -->\s*\n```\w*\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found, f"README.md has no fenced block directly under <!-- test: {name} -->"
    assert not mirror or "mirror:5000" in found[1], f"the block {name} of README.md does not name mirror:5000"
    return found[1].replace("mirror:5000", mirror or "mirror:5000")
