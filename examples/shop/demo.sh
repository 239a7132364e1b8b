#!/usr/bin/env bash
# Walks through the main job with the lists of an example shop: start a replica, put a policy, import and audit old lists, record a
# double opt-in, withdraw it. Needs consentd in $CONSENTD, and Go for the last step; leaves nothing behind.
set -euo pipefail

consentd=$(realpath "$(command -v "${CONSENTD:?set CONSENTD to the binary, or run make demo}")")
cd "$(dirname "$0")"
scratch=$(mktemp -d)
export CONSENTD_ADDR=unix://$scratch/consentd.sock

server=
stop() {
	if [ -n "$server" ]; then
		kill -TERM "$server" 2>/dev/null && wait "$server" || true
	fi
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
	printf ' %s' "${@@Q}" | sed "s/'\([a-zA-Z0-9_./:@=-]*\)'/\1/g"
	echo
	"$consentd" "$@" || [ $? = 3 ]
}

# expect REASON SUBJECT PERMISSION: asks, shows the answer, and stops the demo if it is another one.
expect() {
	local reason=$1
	shift
	run check "$@" 2>&1 | tee "$scratch/answer"
	if ! grep -qw "$reason" "$scratch/answer"; then
		echo "demo: expected the reason $reason for: consentd check $*" >&2
		exit 1
	fi
}

say 'A replica: one process, its data in a temporary directory'
"$consentd" serve --data-dir "$scratch/data" --listen "$CONSENTD_ADDR" --ops-listen 127.0.0.1:0 --ready-file "$scratch/ready" \
	2>"$scratch/log" &
server=$!
for _ in $(seq 300); do
	[ -e "$scratch/ready" ] && break
	if ! kill -0 "$server" 2>/dev/null; then
		cat "$scratch/log" >&2
		exit 1
	fi
	sleep 0.1
done
[ -e "$scratch/ready" ] || { cat "$scratch/log" >&2; exit 1; }
echo "listening on $CONSENTD_ADDR"

say 'The policy: which permissions exist, and what each rests on'
run policy validate policy.yaml
run policy apply policy.yaml

say 'Before anything is imported: who on these old lists may still be written to?'
run audit mailchimp.zip --format mailchimp --permission newsletter/email --notice-version 3 --out "$scratch/audit.csv"
echo
echo 'audit.csv is the list with its own columns and these more, to sort and filter by:'
head -n 1 "$scratch/audit.csv" | tr -d '\r' | sed 's/.*,\(decision,.*\)/\1/'
echo

say 'Import the lists as they were exported; the second time, nothing changes'
run import mailchimp.zip --format mailchimp --permission newsletter/email --notice-version 3
run import mailchimp.zip --format mailchimp --permission newsletter/email --notice-version 3

say 'Nobody asked: denied. A grant without proof: denied. Proven, but not confirmed: denied. Confirmed: allowed'
expect NO_CONSENT demo@example.com newsletter/email
run record grant demo@example.com newsletter/email --at 2026-01-10T09:00:00Z --notice-version 3
expect UNPROVEN demo@example.com newsletter/email
run record evidence demo@example.com newsletter/email --at 2026-01-10T09:00:01Z --method web_form --source checkout --proof forms/8812
expect UNCONFIRMED demo@example.com newsletter/email
run record confirm demo@example.com newsletter/email --at 2026-01-10T09:05:00Z
expect CONSENT demo@example.com newsletter/email

say 'Why? The walk through the decision table'
run check demo@example.com newsletter/email --explain

say 'An address is the same in any spelling, and a withdrawal takes effect at once'
run record withdraw '  Demo@Example.COM ' newsletter/email
expect WITHDRAWN demo@example.com newsletter/email

say 'Post to customers needs no opt-in, but an objection ends it'
run record set demo@example.com relationship=customer
expect LEGITIMATE_INTEREST demo@example.com newsletter/post
run record object demo@example.com --marketing --all
expect OBJECTED_MARKETING demo@example.com newsletter/post

say 'E-mail to an existing customer: similar goods, an address from a sale, and a notice how to object'
run record set kunde@example.com relationship=customer address_from_sale=true opt_out_notice_given=true
expect EXISTING_CUSTOMER kunde@example.com newsletter/email --similar-goods
expect NO_CONSENT kunde@example.com newsletter/email

say 'A recommender asks for everything at once; the history proves it'
run check demo@example.com
run subject history demo@example.com

say 'Ten thousand checks, the client on the same machine'
(cd ../.. && "${GO:-go}" run ./examples/latency --addr "$CONSENTD_ADDR" --subject demo@example.com --checks 10000)

say 'Done'
