#!/bin/sh
# Measures what near caches, sidecars and the SDK are held to, keeps the raw output as bench.sh does, and prints beside each figure what was
# asked and what was reached: figures.sh COMMIT. On a machine with nothing else to do it takes some five minutes. With redis-server in the path
# (Debian: apt-get install redis-server) Redis is measured as well.
set -eu
commit=$1
go=${GO:-go}
measured=$(mktemp)
trap 'rm -f "$measured"' EXIT

# measure HOW-OFTEN BENCHMARKS PACKAGE [GO]
measure() {
	GO=${4:-$go} tools/bench.sh "$commit" -timeout=10m -benchtime="$1" -bench="$2" "$3"
	cat bench/results/latest.txt >>"$measured"
}
measure 10x 'NearCacheHit|SidecarHit|SharedStream|ChangeStream' ./bench
measure 300x 'Withdrawn' ./bench
measure 10x 'HitRatio' . "$go -C bench/rivals"

awk -F '|' '
	FNR == NR { split($0, words, " "); sub(/-[0-9]+$/, "", words[1])
		for (i = 3; words[i + 1] != ""; i += 2) reached[words[1], words[i + 1]] = words[i]
		next }
	!/./ { next }
	FNR == 1 { printf "%-66s %10s %10s\n", "figure", "asked", "reached" }
	{ key = "Benchmark" $1 SUBSEP $2; got = (key in reached) ? reached[key] : "-"
		verdict = got == "-" ? "not measured" : ($3 == "<=" ? got + 0 <= $4 : got + 0 >= $4) ? "" : "NOT REACHED"
		printf "%-66s %10s %10s %s\n", $5, $3 " " $4, got, verdict }
' "$measured" - <<'FIGURES'
NearCacheHit/subjects=10000|ratio|<=|2|near-cache hit beside map hit, hash and clock; 10,000 subjects
NearCacheHit/subjects=1000000|ratio|<=|2|the same; a million subjects
NearCacheHit/subjects=10000|B/hit|<=|8|bytes allocated by a hit
SidecarHit/callers=1|ratio|>=|0.9|hit through a unix socket beside an empty handler; 1 caller
SidecarHit/callers=64|ratio|>=|0.9|the same; 64 callers
SharedStream/unix/unary|ratio|>=|3.5|64 callers on a shared stream beside unary; unix socket
SharedStream/tcp/unary|ratio|>=|3.5|the same; TCP
SharedStream/unix/redis|ratio|>=|2|64 callers on a shared stream beside Redis GET; unix socket
SharedStream/tcp/redis|ratio|>=|2|the same; TCP
Withdrawn|p50-ms|<=|5|withdrawal acknowledged to last ALLOW on 4 sidecars, p50 ms
Withdrawn|p99-ms|<=|20|the same, p99 ms
HitRatio/idle|points-behind|<=|3|hit ratio behind otter at equal memory, points; idle
HitRatio/import|points-behind|<=|3|the same; under import
ChangeStream/subjects=1|B/change|<=|16|bytes a change, 10,000 changes/s; one subject a write
ChangeStream/subjects=256|B/change|<=|16|the same; 256 subjects a command
FIGURES
