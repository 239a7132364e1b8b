#!/bin/sh
# Measures consentd beside others, keeps the raw output as bench.sh does, and makes of it the picture and the tables bench/results/rivals.svg and
# rivals.md: rivals.sh COMMIT. It takes some six minutes. Of redis-server and etcd (Debian: apt-get install redis-server etcd-server) the one that
# isn't in the path is left out.
set -eu
commit=$1
go=${GO:-go}
for server in redis-server etcd; do
	command -v "$server" >/dev/null || echo "rivals: $server isn't in the path, and is left out" >&2
done
GO="$go -C bench/rivals" tools/bench.sh "$commit" -timeout=20m -benchtime=10x -bench='Services|CacheHit|HitRatio' .
$go -C bench/rivals run ./chart ../results/latest.txt ../results/rivals.svg ../results/rivals.md
echo "rivals: bench/results/rivals.md"
