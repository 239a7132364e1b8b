#!/usr/bin/env bash
# Runs a cluster of three replicas on this machine: found it, write on one replica and read on another, kill the leader, bring it back,
# take a backup, and restore it into a new cluster. Needs consentd in $CONSENTD; leaves nothing behind. $PORT (7440) is where its ports
# begin.
set -euo pipefail

consentd=$(realpath "$(command -v "${CONSENTD:?set CONSENTD to the binary, or run make demo-cluster}")")
cd "$(dirname "$0")"
scratch=$(mktemp -d)
port=${PORT:-7440}
unset CONSENTD_ADDR

declare -A server
stop() {
	for id in "${!server[@]}"; do
		kill -TERM "${server[$id]}" 2>/dev/null || true
	done
	wait
	rm -rf "$scratch"
}
trap stop EXIT

bold= plain=
if [ -t 1 ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

# run COMMAND...: shows a command and runs it. A check that is denied ends with status 3, which is an answer like any other.
run() {
	printf '\n$ consentd'
	printf ' %s' "${@@Q}" | sed "s/'\([a-zA-Z0-9_./:@=,-]*\)'/\1/g"
	echo
	"$consentd" "$@" || [ $? = 3 ]
}

# api N, peers N: the addresses of replica N.
api() { echo "127.0.0.1:$((port + $1))"; }
peers() { echo "127.0.0.1:$((port + 10 + $1))"; }

# start N FLAG...: starts replica N in the background. What it says goes to a file.
start() {
	local n=$1
	shift
	printf '\n$ consentd serve --node-id n%s --listen %s --raft-listen %s %s\n' "$n" "$(api "$n")" "$(peers "$n")" "$*"
	"$consentd" serve --data-dir "$scratch/n$n" --node-id "n$n" --listen "$(api "$n")" --ops-listen 127.0.0.1:0 \
		--raft-listen "$(peers "$n")" --pseudonym-key-file "$scratch/pseudonym.key" --ready-file "$scratch/n$n.ready" "$@" \
		2>>"$scratch/n$n.log" &
	server[n$n]=$!
}

# ready N...: waits until replicas answer.
ready() {
	for n in "$@"; do
		for _ in $(seq 300); do
			[ -e "$scratch/n$n.ready" ] && break
			if ! kill -0 "${server[n$n]}" 2>/dev/null; then
				cat "$scratch/n$n.log" >&2
				exit 1
			fi
			sleep 0.1
		done
		[ -e "$scratch/n$n.ready" ] || { cat "$scratch/n$n.log" >&2; exit 1; }
	done
}

# expect REASON SUBJECT PERMISSION FLAG...: asks, shows the answer, and stops the demo if it is another one.
expect() {
	local reason=$1
	shift
	run check "$@" 2>&1 | tee "$scratch/answer"
	if ! grep -qw "$reason" "$scratch/answer"; then
		echo "demo: expected the reason $reason for: consentd check $*" >&2
		exit 1
	fi
}

# field NAME: the first value of a member of a JSON object on standard input.
field() { sed -n "s/^ *\"$1\": \"\([^\"]*\)\".*/\1/p" | head -n 1; }

say 'One key for all replicas: it turns the ids of subjects into pseudonyms'
run keys new "$scratch/pseudonym.key"

say 'Three replicas with the same flags found a cluster'
all=$(api 1),$(api 2),$(api 3)
for n in 1 2 3; do
	start $n --join "$all" --bootstrap-expect 3
done
ready 1 2 3
run cluster status --addr "$(api 1)"

say 'A policy and a withdrawal, written on one replica'
run policy apply ../shop/policy.yaml --addr "$(api 1)"
run record withdraw anna@example.com newsletter/email -o json --addr "$(api 1)" | tee "$scratch/written"
revision=$(field revision <"$scratch/written")

say 'Read on another one, at least as new as that write'
expect WITHDRAWN anna@example.com newsletter/email --at-least "$revision" --addr "$(api 2)"

leader=$("$consentd" cluster status -o json --addr "$(api 1)" | field leader)
lost=${leader#n}
others=$(printf '%s\n' 1 2 3 | grep -v "$lost")
alive=$(head -n 1 <<<"$others")
say "The leader, $leader, is killed: the other two go on"
kill -KILL "${server[$leader]}"
{ wait "${server[$leader]}"; } 2>/dev/null || true
rm -f "$scratch/$leader.ready"
run record withdraw berta@example.com newsletter/email --addr "$(api "$alive")"
expect WITHDRAWN anna@example.com newsletter/email --addr "$(api "$alive")"
run cluster status --addr "$(api "$alive")"

say "$leader comes back, with the same flags"
start "$lost" --join "$all" --bootstrap-expect 3
ready "$lost"
expect WITHDRAWN berta@example.com newsletter/email --fully-consistent --addr "$(api "$lost")"
run cluster status --addr "$(api "$lost")"

say 'A backup of the running cluster, verified while it is taken and without a server'
run cluster backup "$scratch/consentd.backup" --addr "$(api "$alive")"
run cluster inspect "$scratch/consentd.backup"

say 'Restored into a new cluster, which has the same key'
start 4
ready 4
run cluster restore "$scratch/consentd.backup" --addr "$(api 4)"
expect WITHDRAWN berta@example.com newsletter/email --addr "$(api 4)"

say 'Done'
