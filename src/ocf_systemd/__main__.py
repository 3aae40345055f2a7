"""`python -m ocf_systemd` is `ocf-systemd`: for units, which need not know where the script of that name stands."""

from ocf_systemd.commands import main

main()
