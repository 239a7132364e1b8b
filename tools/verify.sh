#!/bin/sh
# Checks what is written down twice: the generated code is what buf generates, the go.mod files are tidy, and the contract breaks
# nothing that was there before. The commit compared with is the argument, or else the last release, or else the commit before.
set -eu
go=${GO:-go}
buf=.tools/buf
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

generated() {
	(cd "$1" && find . -name '*.pb.go' | LC_ALL=C sort)
}

check_generated() {
	$buf generate -o "$scratch/now"
	generated proto >"$scratch/committed"
	generated "$scratch/now/proto" >"$scratch/wanted"
	if ! diff "$scratch/committed" "$scratch/wanted"; then
		echo "verify: files were added or left over: run make generate, and remove what no proto makes" >&2
		return 1
	fi
	while read -r file; do
		if ! diff "proto/$file" "$scratch/now/proto/$file"; then
			echo "verify: proto/$file isn't current: run make generate" >&2
			return 1
		fi
	done <"$scratch/wanted"
	echo "verify: generated code is current ($(wc -l <"$scratch/wanted" | tr -d ' ') files)"
}

check_tidy() {
	for module in . bench/rivals tools tools/protoc; do
		if ! $go -C "$module" mod tidy -diff; then
			echo "verify: run go mod tidy in $module" >&2
			return 1
		fi
	done
	echo "verify: go.mod files are tidy"
}

check_contract() {
	against=${1:-}
	if [ -z "$against" ]; then
		against=$(git describe --tags --abbrev=0 HEAD~1 2>/dev/null || git rev-parse --quiet --verify HEAD~1 2>/dev/null || true)
	fi
	if [ -z "$against" ] || ! git cat-file -e "$against:proto/consent" 2>/dev/null; then
		echo "verify: no earlier contract to compare with"
		return
	fi
	mkdir "$scratch/before"
	git archive "$against" buf.yaml proto | tar -x -C "$scratch/before"
	if ! $buf breaking --against "$scratch/before"; then
		echo "verify: callers of $against would break: add to the contract, and reserve what goes" >&2
		return 1
	fi
	echo "verify: the contract breaks nothing of $against"
}

check_generated
check_tidy
check_contract "$@"
