#!/bin/sh
# Runs benchmarks and keeps their raw output under bench/results with the machine they ran on: bench.sh COMMIT GO-TEST-ARGUMENTS...
# bench/results/latest.txt is a copy of the newest result, for comparing; only the dated file is committed.
set -eu
commit=$1
shift
go=${GO:-go}

mkdir -p bench/results
short=$(printf '%.12s' "$commit")
result=bench/results/go-$(date -u +%Y%m%dT%H%M%SZ)-$short.txt
unfinished=bench/results/unfinished.txt
tools/machine.sh "$commit" >"$unfinished"
cat "$unfinished"

# A pipe to tee would lose go's exit status in a plain sh, so the status travels beside it.
{ $go test -run='^$' -benchmem -timeout=4h "$@" || echo "FAIL: go test exited with $?"; } | tee -a "$unfinished"
if grep -q '^FAIL' "$unfinished"; then
	echo "bench: failed; the output so far is in $unfinished" >&2
	exit 1
fi
mv "$unfinished" "$result"
cp "$result" bench/results/latest.txt
echo "bench: $result"
