#!/bin/sh
# Measures what is promised of speed, keeps the raw output as bench.sh does, and prints beside each figure what was asked and what was reached:
# figures.sh COMMIT near, of near caches, sidecars and the SDK, in some four minutes; figures.sh COMMIT speed, of replicas, in some twenty, with ten
# million subjects, which take 12 GB of disk. Nothing else should run on the machine. With redis-server in the path (Debian: apt-get install
# redis-server) Redis is measured as well.
set -eu
commit=$1
group=$2
go=${GO:-go}
measured=$(mktemp)
trap 'rm -f "$measured"' EXIT

# measure HOW-OFTEN BENCHMARKS PACKAGE [GO]
measure() {
	GO=${4:-$go} tools/bench.sh "$commit" -timeout=40m -benchtime="$1" -bench="$2" "$3"
	cat bench/results/latest.txt >>"$measured"
}
case $group in
near)
	measure 10x 'NearCacheHit|SidecarHit|SharedStream|ChangeStream' ./bench
	measure 300x 'Withdrawn' ./bench
	measure 10x 'HitRatio' . "$go -C bench/rivals"
	;;
speed)
	measure 10x 'Unary$|SharedStream/unix' ./bench
	measure 10x 'HalfOfPeak|BesideImport' ./bench
	measure 3x 'Overload' ./bench
	measure 10s 'Decisions' ./bench
	;;
esac

awk -F '|' -v group="$group" '
	FNR == NR { split($0, words, " "); sub(/-[0-9]+$/, "", words[1])
		for (i = 3; words[i + 1] != ""; i += 2) reached[words[1], words[i + 1]] = words[i]
		next }
	!/./ || $6 != group { next }
	!headed++ { printf "%-66s %10s %10s\n", "figure", "asked", "reached" }
	{ key = "Benchmark" $1 SUBSEP $2; got = (key in reached) ? reached[key] : "-"
		verdict = got == "-" ? "not measured" : ($3 == "<=" ? got + 0 <= $4 : got + 0 >= $4) ? "" : "NOT REACHED"
		printf "%-66s %10s %10s %s\n", $5, $3 " " $4, got, verdict }
' "$measured" - <<'FIGURES'
NearCacheHit/subjects=10000|ratio|<=|2|near-cache hit beside map hit, hash and clock; 10,000 subjects|near
NearCacheHit/subjects=1000000|ratio|<=|2|the same; a million subjects|near
NearCacheHit/subjects=10000|B/hit|<=|8|bytes allocated by a hit|near
SidecarHit/callers=1|ratio|>=|0.9|hit through a unix socket beside an empty handler; 1 caller|near
SidecarHit/callers=64|ratio|>=|0.9|the same; 64 callers|near
SharedStream/unix/unary|ratio|>=|3.5|64 callers on a shared stream beside unary; unix socket|near
SharedStream/tcp/unary|ratio|>=|3.5|the same; TCP|near
SharedStream/unix/redis|ratio|>=|2|64 callers on a shared stream beside Redis GET; unix socket|near
SharedStream/tcp/redis|ratio|>=|2|the same; TCP|near
Withdrawn|p50-ms|<=|5|withdrawal acknowledged to last ALLOW on 4 sidecars, p50 ms|near
Withdrawn|p99-ms|<=|20|the same, p99 ms|near
HitRatio/idle|points-behind|<=|3|hit ratio behind otter at equal memory, points; idle|near
HitRatio/import|points-behind|<=|3|the same; under import|near
ChangeStream/subjects=1|B/change|<=|16|bytes a change, 10,000 changes/s; one subject a write|near
ChangeStream/subjects=256|B/change|<=|16|the same; 256 subjects a command|near
Unary|ratio|>=|0.9|Check through a unix socket beside an empty handler; 64 callers|speed
HalfOfPeak|p99-µs|<=|1000|p99 of Check through a unix socket at half of the peak, µs|speed
SharedStream/unix/unary|ratio|>=|4|64 callers on a shared stream beside unary|speed
SharedStream/unix/redis|ratio|>=|2.5|the same beside Redis GET|speed
SharedStream/unix/empty|ratio|>=|0.8|the same beside an empty shared stream|speed
Decisions/segment/held=10000000|decisions/CPU-s|>=|3000000|decisions of segments for a second of the server's processors|speed
Decisions/segment/held=10000000|p99-ms|<=|10|p99 of a chunk of 10,000, ms|speed
Decisions/batch/held=10000000|decisions/CPU-s|>=|1000000|the same of batches of 100|speed
BesideImport|ratio|<=|2|p99 of checks beside an import, of that without|speed
Overload|2x-goodput|>=|0.9|goodput at 2 times the peak, of the peak|speed
Overload|2x-p99|<=|5|p99 at 2 times the peak, of the calm p99|speed
Overload|10x-goodput|>=|0.9|goodput at 10 times the peak, of the peak|speed
Overload|10x-p99|<=|5|p99 at 10 times the peak, of the calm p99|speed
Overload|normal-after|<=|5|seconds until all is normal again|speed
FIGURES
