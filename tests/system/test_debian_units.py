"""doctor and units of Debian's packages: a table of what it finds, and what its fixes leave unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocf_systemd.doctor import dependency_checks, exec_checks, lifetime_checks, service_checks, unit_checks
from ocf_systemd.sandbox import boot
from tests.system.debian_units import HOOK, DebianUnits, Findings
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator


# The checks of a unit's own settings and of what starts it.
CHECKS = frozenset(check.name for check in (*unit_checks.CHECKS, *service_checks.CHECKS))

# For each service: what these checks find as its package installs it, without a hook; and what is left after doctor's
# commands, with a hook and longer timeouts: what only the administrator can decide.
TABLE = {
    "apache2": ("enabled main-process", ""),
    "apcupsd": ("enabled kill-mode", "kill-mode"),
    "autofs": ("enabled start-timeout stop-timeout", ""),
    "avahi-daemon": ("enabled triggered", ""),
    "ceph-mds@n1": ("enabled part-of readiness", "part-of"),
    "ceph-mon@n1": ("enabled part-of readiness", "part-of"),
    "ceph-osd@0": ("enabled part-of readiness", "part-of"),
    "chrony": ("enabled", ""),
    "clamav-daemon": ("enabled triggered readiness start-timeout", ""),
    "containerd": ("enabled wanted kill-mode", "kill-mode"),
    "corosync-qnetd": ("enabled", ""),
    "cron": ("enabled readiness kill-mode", "kill-mode"),
    "cups": ("enabled triggered", ""),
    "dnsmasq": ("enabled", ""),
    "docker": ("enabled triggered kill-mode start-timeout", "kill-mode"),
    "dovecot": ("enabled", ""),
    "ejabberd": ("enabled start-timeout stop-timeout", ""),
    "etcd": ("enabled", ""),
    "fetchmail": ("wanted", ""),
    "freeradius": ("enabled", ""),
    "glusterd": ("start-timeout stop-timeout", ""),
    "haproxy": ("enabled", ""),
    "isc-dhcp-server": ("wanted", ""),
    "iscsid": ("triggered", ""),
    "kea-dhcp4-server": ("enabled readiness", ""),
    "keepalived": ("enabled", ""),
    "knot": ("enabled stop-timeout", ""),
    "krb5-kdc": ("enabled", ""),
    "libvirt-guests": ("enabled stop-timeout", ""),
    "libvirtd": ("enabled triggered kill-mode", "kill-mode"),
    "lighttpd": ("enabled readiness", ""),
    "lxc@a": ("enabled readiness stop-timeout", ""),
    "mailman3": ("enabled", ""),
    "mariadb": ("enabled wanted send-sigkill start-timeout stop-timeout", ""),
    "memcached": ("enabled readiness", ""),
    "mosquitto": ("enabled", ""),
    "multipathd": ("enabled triggered", ""),
    "named": ("enabled", ""),
    "nfs-idmapd": ("wanted main-process", ""),
    "nfs-mountd": ("wanted main-process", ""),
    "nfs-server": ("enabled", ""),
    "nfs-utils": ("placeholder", "placeholder"),
    "nginx": ("enabled", ""),
    "nmbd": ("enabled", ""),
    "nsd": ("enabled", ""),
    "ntpsec": ("enabled", ""),
    "nut-driver-enumerator": ("enabled part-of remain-after-exit", "part-of remain-after-exit"),
    "nut-driver@ups": ("enabled part-of main-process", "part-of"),
    "nut-monitor": ("enabled wanted part-of readiness", "wanted part-of"),
    "nut-server": ("enabled wanted part-of readiness", "wanted part-of"),
    "open-iscsi": ("enabled", ""),
    "opendkim": ("enabled", ""),
    "openvpn-server@a": ("enabled kill-mode", "kill-mode"),
    "openvpn": ("enabled placeholder", "placeholder"),
    "openvpn@a": ("enabled part-of kill-mode", "kill-mode"),
    "patroni": ("enabled readiness kill-mode", "kill-mode"),
    "pdns-recursor": ("enabled", ""),
    "pdns": ("enabled", ""),
    "pgbouncer": ("enabled", ""),
    "php8.2-fpm": ("enabled", ""),
    "postfix": ("enabled placeholder", "placeholder"),
    "postfix@-": ("wanted part-of main-process", ""),
    "postgresql": ("enabled placeholder", "placeholder"),
    "postgresql@15-main": ("wanted part-of start-timeout stop-timeout", ""),
    "prometheus-node-exporter": ("enabled readiness send-sigkill", ""),
    "prometheus": ("enabled readiness send-sigkill", ""),
    "prosody": ("enabled readiness", ""),
    "rabbitmq-server": ("enabled start-timeout", ""),
    "rbdmap": ("enabled", ""),
    "redis-server": ("enabled stop-timeout", ""),
    "rpc-gssd": ("wanted main-process", "wanted"),
    "rpc-statd": ("wanted", ""),
    "rpcbind": ("enabled triggered kill-mode", "triggered kill-mode"),
    "rsyslog": ("enabled", ""),
    "rtslib-fb-targetctl": ("enabled", ""),
    "slapd": ("wanted", ""),
    "smbd": ("enabled", ""),
    "snmpd": ("enabled", ""),
    "sogo": ("enabled", ""),
    "spamd": ("enabled readiness", ""),
    "squid": ("enabled", ""),
    "ssh": ("enabled kill-mode", "kill-mode"),
    "sssd-nss": ("triggered readiness", "triggered"),
    "sssd": ("enabled", ""),
    "strongswan-starter": ("enabled readiness", ""),
    "stunnel4": ("wanted", ""),
    "stunnel@web": ("enabled part-of readiness", "part-of"),
    "tgt": ("enabled", ""),
    "tomcat10": ("enabled readiness", ""),
    "unbound": ("enabled", ""),
    "uwsgi": ("wanted", ""),
    "varnish": ("enabled readiness", ""),
    "virtlogd": ("triggered readiness", "triggered"),
    "vsftpd": ("enabled readiness", ""),
    "wg-quick@wg0": ("enabled", ""),
    "winbind": ("enabled", ""),
    "zabbix-agent": ("enabled readiness", ""),
    "zabbix-server": ("enabled readiness", ""),
}
# The same of the checks of dependencies, programs and lifetime, except for `no-hook`; nothing in the other services.
DEPENDENCIES = frozenset(
    check.name for module in (dependency_checks, exec_checks, lifetime_checks) for check in module.CHECKS
) - {"no-hook"}
DEPENDING = {
    "avahi-daemon": ("own-trigger", ""),
    "clamav-daemon": ("own-trigger", ""),
    "docker": ("own-trigger", "helpers"),
    "ejabberd": ("requires", "requires"),
    "fetchmail": ("lsb-script", ""),
    "isc-dhcp-server": ("lsb-script", ""),
    "libvirt-guests": ("stays-active", ""),
    "libvirtd": ("own-trigger", ""),
    "mailman3": ("", "helpers"),
    "nfs-idmapd": ("requires", "requires"),
    "nfs-server": ("helpers stays-active", "helpers"),
    "open-iscsi": ("stays-active", ""),
    "rbdmap": ("stays-active", ""),
    "rsyslog": ("own-trigger", ""),
    "rtslib-fb-targetctl": ("stays-active", ""),
    "slapd": ("lsb-script", ""),
    "sssd-nss": ("manual-start requires", "requires"),
    "stunnel4": ("lsb-script", ""),
    "uwsgi": ("lsb-script", ""),
    "virtlogd": ("own-trigger", ""),
    "wg-quick@wg0": ("stays-active", ""),
}
ALL = CHECKS | DEPENDENCIES
TIMEOUTS = {"start": 305.0, "stop": 405.0}


def as_services(*names: str) -> list[str]:
    return [f"{name}.service" for name in names]


@pytest.fixture(scope="module")
def debian() -> Iterator[DebianUnits]:
    """Boot a sandbox with the units of all packages, none of which runs."""
    with boot(name="debian-units") as sandbox:
        units = DebianUnits(sandbox)
        units.install(*as_services(*(name for name in TABLE if "@" in name)))
        yield units


@pytest.fixture(scope="module")
def shipped(debian: DebianUnits) -> dict[str, Findings]:
    return debian.check(as_services(*TABLE), ALL, {})


@pytest.fixture(scope="module")
def fixed(debian: DebianUnits, shipped: dict[str, Findings]) -> dict[str, Findings]:
    """Run the commands of doctor for all units, and return what it finds then."""
    debian.apply([command for found in shipped.values() for command in found.commands])
    return debian.check(as_services(*TABLE), ALL, TIMEOUTS, monitor_hook=HOOK)


class TestTable:
    def test_it_has_at_least_sixty_units(self) -> None:
        """The table is not about a few well-known units."""
        assert len(TABLE) >= 60

    @pytest.mark.parametrize("name", TABLE)
    def test_as_shipped(self, name: str, shipped: dict[str, Findings]) -> None:
        """It finds these problems in a unit, and no others."""
        assert shipped[f"{name}.service"].names == expected(name, 0)

    @pytest.mark.parametrize("name", TABLE)
    def test_after_its_fixes(self, name: str, fixed: dict[str, Findings]) -> None:
        """One round of commands is enough: what is left has none.

        It is an error only where another unit must be managed: this one runs nothing itself, or is a path's job.
        """
        found = fixed[f"{name}.service"]
        assert found.names == expected(name, 1)
        assert not found.commands
        assert found.errors <= ({"remain-after-exit"} if name == "nut-driver-enumerator" else {"placeholder"})


def expected(name: str, column: int) -> set[str]:
    """Return what doctor finds in a service as shipped (0), or after its fixes (1)."""
    return {*TABLE[name][column].split(), *DEPENDING.get(name, ("", ""))[column].split()}


# Services that run, with the units that start, stop or share something with them.
FAMILIES = (
    *("nfs-common", "nfs-kernel-server", "rpcbind", "docker.io", "containerd", "nut-client", "nut-server"),
    *("stunnel4", "postgresql-common", "ceph-common", "ceph-mon", "samba", "winbind"),
)
OTHERS = ("postgresql@15-main.service", "postgresql@15-other.service")  # next to the main cluster of this release
SIBLINGS = ("stunnel@web", "stunnel@mail", "postgresql@15-main", "postgresql@15-other", "ceph-mon@n1", "ceph-mon@n2")
RUNNING = ("nfs-server", "docker", "nut-monitor", "smbd", "nmbd", "winbind", "rpcbind", *SIBLINGS)
FIXED = (
    *("nfs-server", "docker", "containerd", "nut-server", "stunnel@web", "postgresql@15-main", "ceph-mon@n1"),
    "postgresql",  # which runs nothing, and groups the instances
    "rpcbind",  # which has a socket that others use, and Also= for it
)
# What starts a service itself, and so may be disabled for it.
TRIGGERS = {"docker": ["docker.socket"]}
# What stops with a service: what binds to it, its triggers, and helpers that only it starts.
STOPPED_WITH = {
    "docker": ["docker.socket"],
    "postgresql": [*{f"{RELEASE.postgresql}.service", *OTHERS}],
    "nfs-server": [f"{name}.service" for name in ("nfs-idmapd", "nfs-mountd", "nfsdcld", "rpc-svcgssd")],
}
States = dict[str, str]


@pytest.fixture(scope="module")
def running() -> Iterator[DebianUnits]:
    """Boot a sandbox in which services of several packages run."""
    with boot(name="debian-services") as sandbox:
        units = DebianUnits(sandbox, FAMILIES)
        units.install(*as_services(*SIBLINGS))
        units.sh('systemctl start nut.target ceph.target stunnel.target postgresql "$@"', *as_services(*RUNNING))
        yield units


@pytest.fixture(scope="module")
def found(running: DebianUnits) -> dict[str, Findings]:
    return running.check(as_services(*FIXED), ALL, {})


@pytest.fixture(scope="module")
def changes(running: DebianUnits, found: dict[str, Findings]) -> dict[str, tuple[States, States]]:
    """Run the commands of doctor for each service, and return all states before and after that."""
    states = {}
    for unit, each in found.items():
        before = running.states()
        running.sh("\n".join(each.commands))
        states[unit] = before, running.states()
    return states


class TestFixes:
    @pytest.mark.parametrize("name", FIXED)
    def test_they_leave_every_other_unit_as_it_was(
        self, name: str, found: dict[str, Findings], changes: dict[str, tuple[States, States]]
    ) -> None:
        """Nothing is stopped or restarted, the unit included; only the unit and its triggers are disabled."""
        unit = f"{name}.service"
        assert found[unit].commands
        before, after = changes[unit]
        assert unit in before
        own = {f"file of {each}" for each in (unit, *TRIGGERS.get(name, ()))}
        assert {each: state for each, state in after.items() if each not in own} == {
            each: state for each, state in before.items() if each not in own
        }

    @pytest.mark.usefixtures("changes")
    def test_one_round_is_enough(self, running: DebianUnits, found: dict[str, Findings]) -> None:
        """After these commands no error is left, except for a unit that runs nothing, and no command."""
        left = running.check(list(found), ALL, TIMEOUTS, monitor_hook=HOOK)
        assert {name: each.errors for name, each in left.items() if each.errors} == {
            "postgresql.service": {"placeholder"}
        }
        assert not any(each.commands for each in left.values())

    @pytest.mark.usefixtures("changes")
    @pytest.mark.parametrize("name", FIXED)
    def test_a_stop_leaves_every_other_unit_running(self, name: str, running: DebianUnits) -> None:
        """After these commands, the unit stops with its triggers, and with helpers that nothing else uses."""
        unit, before = f"{name}.service", running.states()
        running.sh('systemctl stop "$1"', unit)
        stopped = before.keys() - running.states().keys()
        assert {*stopped, *(each for each, state in running.states().items() if before.get(each) != state)} == {
            unit,
            *STOPPED_WITH.get(name, ()),
        }
        running.sh('systemctl start "$@"', *stopped)


# The checks whose settings the table above leaves out, and what they find in units of the packages on this host, of
# which some are for programs of other packages.
LEFT_OUT = DEPENDENCIES - {"conditions", "own-trigger", "requires", "helpers", "triggered-unit", "stays-active"}
INSTALLED = {
    "initrd-cleanup.service": "on-failure",
    "initrd-parse-etc.service": "on-failure",
    "initrd-switch-root.service": "on-failure",
    "initrd-udevadm-cleanup-db.service": "on-failure",
    "kmod-static-nodes.service": "programs",
    "pcsd-ruby.service": "stop-unneeded",
    "quotaon.service": "programs",
    "quotaon-root.service": "programs",
    "rc-local.service": "programs",
    "systemd-fsck-root.service": "on-failure",
    "systemd-tmpfiles-setup.service": "manual-start",
}


def test_installed_units() -> None:
    """The complete files of at least sixty services that Debian ships give no alarm that is not in the table."""
    with boot(name="debian-installed") as sandbox:
        units = DebianUnits(sandbox)
        listed = units.sh("systemctl list-unit-files --plain --no-legend --type=service,socket,timer,path,mount")
        shipped = [line.split()[0] for line in listed.splitlines() if line.split()[1] not in {"masked", "alias"}]
        names = [name for name in shipped if "@." not in name]
        found = units.check(names, LEFT_OUT, {})
    assert len([name for name in names if name.endswith(".service")]) >= 60
    assert {name: each.names for name, each in found.items() if each.names - set(INSTALLED.get(name, "").split())} == {}
