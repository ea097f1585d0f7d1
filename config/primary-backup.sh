#!/bin/sh
#
# primary-backup.sh - tell conntrackd what became of this node.
#
# Usage: primary-backup.sh primary|backup|fault
#
# For the notify scripts of keepalived (notify_master, notify_backup and
# notify_fault), or any other manager of virtual addresses. Copy it to
# /etc/conntrackd/ and adapt it where your setup asks for more.
#
# A step that fails is logged and the next one is tried: half a takeover is
# better than none. A step has failed when it ends with status 1.
#
# Ends with status 0; with 1 when the daemon could not be started or the
# state is none of the three.

CONNTRACKD_BIN="${CONNTRACKD_BIN:-/usr/sbin/conntrackd}"
CONNTRACKD_LOCK="${CONNTRACKD_LOCK:-/var/lock/conntrackd.lock}"
CONNTRACKD_CONFIG="${CONNTRACKD_CONFIG:-/etc/conntrackd/conntrackd.conf}"

state="$1"

complain() {
	logger -t primary-backup.sh -p daemon.err "$state: $1"
}

# step REQUEST MEANING: sends one request to the daemon.
step() {
	"$CONNTRACKD_BIN" -C "$CONNTRACKD_CONFIG" "$1"
	if [ $? -eq 1 ]; then
		complain "cannot $2 (conntrackd $1)"
		return 1
	fi
	return 0
}

become_primary() {
	# The states of the other node become entries of this kernel. This also
	# cancels a purge that is still waiting (-t).
	step -c "commit the external cache to the kernel"

	# Both caches start anew: all flows are ours from now on.
	step -f "flush the caches"

	# The internal cache becomes what the kernel has.
	step -R "read the kernel table"

	# The peers learn all of it.
	step -B "send the internal cache to the peers"
}

become_backup() {
	# Nobody answers: the daemon died, or was never started.
	if ! step -s "ask the daemon for statistics" > /dev/null; then
		# After a crash, the lock of other versions keeps them from starting
		# again. Ours knows a dead owner's lock, so this only helps.
		rm -f "$CONNTRACKD_LOCK"
		step -d "start the daemon" || exit 1
	fi

	# After PurgeTimeout, forget the flows: they belong to the new primary.
	step -t "schedule the purge of the kernel table"

	# Fetch everything the new primary knows.
	step -n "ask the peers for their states"
}

become_faulty() {
	# Somebody else takes over, so the flows are forgotten in a while.
	step -t "schedule the purge of the kernel table"
}

case "$state" in
primary)
	become_primary
	;;
backup)
	become_backup
	;;
fault)
	become_faulty
	;;
*)
	complain "unknown state"
	echo "usage: primary-backup.sh primary|backup|fault" >&2
	exit 1
	;;
esac

exit 0
