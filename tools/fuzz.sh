#!/bin/sh
# Runs every fuzz target of the main module, one after the other, each for the time given.
set -eu
time=${1:-30s}
go=${GO:-go}

# go test -list prints the names of a package's targets, then a line "ok package time".
listing=$($go test -list '^Fuzz' ./...)
targets=$(printf '%s\n' "$listing" | awk '
	/^Fuzz/ { names[++n] = $1 }
	/^ok/   { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')

if [ -z "$targets" ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
printf '%s\n' "$targets" | while read -r package target; do
	echo "fuzz: $package $target, $time"
	$go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x "$package" </dev/null
done
