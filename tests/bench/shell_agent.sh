#!/bin/bash
# The base of the bench: a resource agent in shell, with the two steps of the agent this project started from: ask
# systemctl, then the hook. Its start and stop wait a second between looks.
# shellcheck disable=SC2154  # parameters come by the environment

: "${OCF_FUNCTIONS:=$OCF_ROOT/resource.d/heartbeat/.ocf-shellfuncs}"
# shellcheck source=/dev/null
. "$OCF_FUNCTIONS"

meta_data() {
	cat <<-END
	<?xml version="1.0"?>
	<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
	<resource-agent name="shellwrap" version="1.0">
	<version>1.0</version>
	<longdesc lang="en">A systemd unit, and a hook that says whether it works.</longdesc>
	<shortdesc lang="en">unit and hook</shortdesc>
	<parameters>
	<parameter name="unit" required="1">
	<longdesc lang="en">The systemd unit.</longdesc>
	<shortdesc lang="en">unit</shortdesc>
	<content type="string"/>
	</parameter>
	<parameter name="monitor_hook">
	<longdesc lang="en">The hook; none: the unit's state alone counts.</longdesc>
	<shortdesc lang="en">hook</shortdesc>
	<content type="string"/>
	</parameter>
	</parameters>
	<actions>
	<action name="start" timeout="20s"/>
	<action name="stop" timeout="20s"/>
	<action name="monitor" timeout="20s" interval="10s" depth="0"/>
	<action name="validate-all" timeout="20s"/>
	<action name="meta-data" timeout="5s"/>
	</actions>
	</resource-agent>
	END
}

look() {
	local hook=$OCF_RESKEY_monitor_hook code

	systemctl is-active --quiet "$OCF_RESKEY_unit" || return "$OCF_NOT_RUNNING"
	[[ -n $hook ]] || return "$OCF_SUCCESS"
	if [[ ! -x $hook ]]; then
		ocf_exit_reason "no executable: $hook"
		return "$OCF_ERR_INSTALLED"
	fi
	"$hook"
	code=$?
	case $1/$code in
	*/0 | monitor/7 | stop/7) ;;
	*) ocf_exit_reason "$hook says $code in $1" ;;
	esac
	return "$code"
}

case $1 in
meta-data) meta_data ;;
validate-all) ;;
monitor) look monitor ;;
start)
	systemctl start "$OCF_RESKEY_unit" || exit "$OCF_ERR_GENERIC"
	until look start; do sleep 1; done
	;;
stop)
	systemctl stop "$OCF_RESKEY_unit" || exit "$OCF_ERR_GENERIC"
	while look stop; do sleep 1; done
	;;
*)
	ocf_exit_reason "no such action: $1"
	exit "$OCF_ERR_UNIMPLEMENTED"
	;;
esac
exit $?
