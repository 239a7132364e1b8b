#!/bin/sh
# Says on what machine and from which commit a measurement was taken, as the "key: value" lines that benchmark files begin with.
set -eu
go=${GO:-go}

# Prints the first non-empty answer of the commands given.
first() {
	for command; do
		answer=$(eval "$command" 2>/dev/null || true)
		if [ -n "$answer" ]; then
			printf '%s\n' "$answer"
			return
		fi
	done
	echo unknown
}

memory_linux="awk '/^MemTotal/ { printf \"%.1f GiB\", \$2 / 1048576 }' /proc/meminfo"
memory_bsd="sysctl -n hw.memsize | awk '{ printf \"%.1f GiB\", \$1 / 1073741824 }'"

echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
echo "commit: ${1:-unknown}"
echo "toolchain: $($go env GOVERSION)"
echo "kernel: $(uname -srm)"
echo "processor: $(first "awk -F ': ' '/^model name/ { print \$2; exit }' /proc/cpuinfo" 'sysctl -n machdep.cpu.brand_string' 'uname -m')"
echo "processors: $(first nproc 'sysctl -n hw.ncpu')"
echo "memory: $(first "$memory_linux" "$memory_bsd")"
echo "load: $(first "cut -d ' ' -f 1-3 /proc/loadavg" 'sysctl -n vm.loadavg')"
