module github.com/consentd/consentd/bench/rivals

go 1.26.8

require (
	github.com/consentd/consentd v0.0.0
	github.com/dchest/siphash v1.2.3
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dgraph-io/ristretto/v2 v2.4.2 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/maypok86/otter/v2 v2.4.0
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/consentd/consentd => ../..
