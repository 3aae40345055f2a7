#!/bin/sh
# Boots systemd as PID 1 of new namespaces, with a copy-on-write view of this host.
#
# usage: unshare --mount --pid -- sh boot.sh supervise HIERARCHY CGROUP NAME SYSTEMD DIRECTORY...
#
# stdin   a pipe: the sandbox ends when the last writer has closed it or died
# stdout  the host's PID of the sandbox's PID 1, written before systemd starts; then closed
# stderr  a terminal, which becomes /dev/console of the sandbox
#
# It runs in two stages, because the process that cleans up must stay outside. The first argument
# names the stage.

set -eu
umask 022

die() {
	echo "$*" >&2
	exit 1
}

# Outside: the first child is PID 1 of the new PID namespace. This process is its parent, so that the
# PID is not reused before it has been waited for.
supervise() {
	hierarchy=$1 cgroup=$2
	shift 2
	enter_namespaces "$@" </dev/null &
	pid=$!
	exec >&2
	# Only the end of the owner ends the sandbox. Ctrl-C and the end of a session reach the owner too.
	trap '' HUP INT TERM
	read -r _ || :
	# Some shells reap their children early: check that the PID is still that of our child.
	if read -r _ _ _ parent _ <"/proc/$pid/stat" && [ "$parent" = $$ ]; then
		kill -KILL "$pid"
	fi 2>/dev/null
	wait "$pid" || :
	# Without a PID 1 the namespace allows no fork, but it allows exec.
	exec find "$hierarchy/$cgroup" -depth -type d -delete
}

# cgroup_namespaces(7): the cgroup of the process that unshares becomes the namespace's root.
enter_namespaces() {
	[ -w "$hierarchy/cgroup.procs" ] || mount -t cgroup2 cgroup2 "$hierarchy" ||
		die "cannot mount a writable cgroup2 file system"
	mkdir "$hierarchy/$cgroup" || die "cannot create a cgroup"
	echo 0 >"$hierarchy/$cgroup/cgroup.procs"
	# The kernel has one clock and one set of modules: the sandbox must not change them.
	exec setpriv --pdeathsig KILL --bounding-set -sys_module,-sys_time \
		unshare --cgroup --mount --uts --ipc --net -- sh "$0" become_init "$@"
}

# Inside: PID 1 of the namespaces builds its root directory, moves there and becomes systemd.
become_init() {
	name=$1 systemd=$2
	shift 2
	read -r pid _ </proc/self/stat # /proc is still that of the host, so this is the host's PID
	# The scratch space needs a mount point that exists everywhere and is not needed yet: /sys.
	mount -t tmpfs -o mode=0755 sandbox /sys
	box=/sys/root layers=0
	build_tree "$@"
	build_dev
	mkdir "$box/tmp/host"
	pivot_root "$box" "$box/tmp/host"
	cd /
	mount_kernel_file_systems
	umount -l /tmp/host
	rmdir /tmp/host
	mount --make-rshared /
	identify
	choose_units
	echo "$pid"
	exec env -i PATH="$PATH" TERM=dumb container=ocf-systemd \
		"$systemd" --system --unit=sandbox.target >&2
}

build_tree() {
	overlay / || die "cannot mount an overlay file system"
	mount -t tmpfs -o mode=0755 run "$box/run"
	mount -t tmpfs -o mode=1777 tmp "$box/tmp"
	mount -t tmpfs -o mode=0755 dev "$box/dev"
	# Some file systems, such as vfat, cannot be the lower layer of an overlay: mount them read-only.
	for directory; do
		overlay "$directory" || mount --bind -o ro "$directory" "$box$directory"
	done
}

# Mounts the host's directory $1 at the same path in the sandbox, copy-on-write.
overlay() {
	if [ ! -d "$1" ]; then # a single file that is mounted, such as a container's /etc/hosts
		cp --preserve "$1" "$box$1"
		return
	fi
	layers=$((layers + 1))
	upper=/sys/upper$layers work=/sys/work$layers
	mkdir -p "$upper" "$work" "$box$1"
	chown --reference="$1" "$upper"
	chmod --reference="$1" "$upper"
	# The lower layer is named by the working directory, because a path would need escaping.
	(cd "$1" && mount -t overlay -o "lowerdir=.,upperdir=$upper,workdir=$work" overlay "$box$1")
}

build_dev() {
	for node in null zero full random urandom tty; do
		: >"$box/dev/$node"
		mount --bind "/dev/$node" "$box/dev/$node"
	done
	: >"$box/dev/console"
	mount --bind "$(tty <&2)" "$box/dev/console"
	mkdir "$box/dev/pts"
	mount -t devpts -o newinstance,mode=0620,gid=5,ptmxmode=0666 devpts "$box/dev/pts"
	ln -s pts/ptmx "$box/dev/ptmx"
}

# As in systemd-nspawn(1): files that would change the host's kernel are read-only, the network
# settings are those of the sandbox. A read-only /sys also tells systemd not to start udev.
mount_kernel_file_systems() {
	mount -t proc proc /proc
	for path in /proc/sys /proc/sysrq-trigger; do
		[ ! -e "$path" ] || mount --bind -o ro "$path" "$path"
	done
	mount --bind /proc/sys/net /proc/sys/net
	mount -o remount,bind,rw /proc/sys/net
	mount -t sysfs -o ro sysfs /sys
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# A new machine ID: without one systemd(1) would apply presets as on a first boot, and with that of the
# host journalctl would show the host's journal.
identify() {
	rm -f /etc/machine-id /etc/hostname
	tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
	echo "$name" >/etc/hostname
	hosts=$(cat /etc/hosts) || hosts=
	printf '127.0.0.1 localhost %s\n%s\n' "$name" "$hosts" >/etc/hosts
}

# The same few units start on every host: sandbox.target is booted, and no other unit that the host or
# a package has enabled. All units can still be started.
choose_units() {
	find /etc/systemd/system /usr/local/lib/systemd/system \
		/usr/lib/systemd/system /lib/systemd/system \
		\( -path '*.target.wants/*' -o -path '*.target.requires/*' \) \
		! -name systemd-journald.service ! -name systemd-journald.socket \
		! -name systemd-journald-dev-log.socket ! -name systemd-tmpfiles-setup.service \
		-delete 2>/dev/null || : # no distribution has all these directories
	rm -f /etc/fstab /etc/crypttab /etc/veritytab /etc/integritytab
	mkdir -p /run/systemd/system
	cat >/run/systemd/system/sandbox.target <<-EOF
		[Unit]
		Description=Sandbox
		Requires=basic.target
		Wants=dbus.socket systemd-logind.service systemd-user-sessions.service
		After=basic.target
		AllowIsolate=yes
	EOF
}

"$@"
