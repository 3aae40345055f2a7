"""Leaves out tests of packages that the release of this host does not have."""

from tests.versions import RELEASE

collect_ignore = [] if RELEASE.has_cts else ["test_cts_exec.py"]
