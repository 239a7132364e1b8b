package client

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/resolver"
)

// ErrTarget is returned for a target that names nothing that can be asked.
var ErrTarget = errors.New("name what to ask as host:port, dns:///host:port, unix:///path, or several of them with commas between")

const (
	unixScheme = "unix:"
	dnsScheme  = "dns:///"
	listScheme = "consentd" // of what is resolved here; nobody writes it
)

// target is what a connection leads to: one place, or a list of them.
type target struct{ places []place }

// place is a unix socket, or a name or address with its port.
type place struct {
	socket     string // an absolute path; else
	host, port string
}

// parseTarget returns the places that a target names, or ErrTarget.
func parseTarget(text string) (target, error) {
	var t target
	for part := range strings.SplitSeq(text, ",") {
		p, err := parsePlace(strings.TrimSpace(part))
		if err != nil {
			return target{}, fmt.Errorf("target %q: %w", text, err)
		}
		t.places = append(t.places, p)
	}
	return t, nil
}

func parsePlace(text string) (place, error) {
	if path, found := strings.CutPrefix(text, unixScheme); found {
		path, isURL := strings.CutPrefix(path, "//")
		absolute, err := filepath.Abs(path)
		if path == "" || err != nil {
			return place{}, fmt.Errorf("%q names no socket: %w", text, ErrTarget)
		}
		if isURL && !filepath.IsAbs(path) {
			return place{}, fmt.Errorf("%q lacks a slash before the path, or is a relative path, which is written unix:%s: %w", text, path, ErrTarget)
		}
		return place{socket: absolute}, nil
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(text, dnsScheme))
	if err != nil || host == "" || port == "" || strings.Contains(host, "/") {
		return place{}, fmt.Errorf("%q is no address: %w", text, ErrTarget)
	}
	if _, err := net.LookupPort("tcp", port); err != nil { //nolint:noctx // ports have names in a file
		return place{}, fmt.Errorf("%q has no port, which is a number up to 65535: %w", text, ErrTarget)
	}
	return place{host: host, port: port}, nil
}

// isLocal reports whether nothing that is sent there leaves this machine.
func (p place) isLocal() bool {
	if p.socket != "" || p.host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(p.host)
	return err == nil && address.IsLoopback()
}

func (p place) String() string {
	if p.socket != "" {
		return unixScheme + p.socket
	}
	return net.JoinHostPort(p.host, p.port)
}

// remote returns a place on another machine, if there is one.
func (t target) remote() (p place, found bool) {
	for _, p := range t.places {
		if !p.isLocal() {
			return p, true
		}
	}
	return place{}, false
}

// name is what the library calls the target. A name alone is looked up again as its addresses change, and each of them is a replica; a
// list is what it says.
func (t target) name() string {
	switch one := t.places[0]; {
	case len(t.places) > 1:
		return listScheme + ":///list"
	case one.socket != "":
		return one.String()
	default:
		return dnsScheme + one.String()
	}
}

// list resolves a target of several places: each is one replica to be balanced over.
type list struct{ target }

// Scheme returns what the library knows the list by.
func (l list) Scheme() string { return listScheme }

// OverrideAuthority returns the name by which servers are called.
func (l list) OverrideAuthority(resolver.Target) string { return l.places[0].authority() }

func (p place) authority() string {
	if p.socket != "" {
		return "localhost"
	}
	return p.String()
}

// Build gives the library the list, once and for all.
func (l list) Build(_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	var state resolver.State
	for _, p := range l.places {
		address := resolver.Address{Addr: p.String(), ServerName: p.authority()}
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
	}
	return list{}, conn.UpdateState(state)
}

// ResolveNow does nothing: a list stays as it is, and the names in it are looked up whenever one is dialed.
func (list) ResolveNow(resolver.ResolveNowOptions) {}

// Close does nothing.
func (list) Close() {}
