package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/consentd/consentd/server"
)

// listenError names the flag that allows what was refused.
func listenError(addr string, err error) error {
	if errors.Is(err, server.ErrNotLoopback) {
		return usageErrorf("%s can be reached from other machines, and there is no authentication yet: whoever reaches it can read and "+
			"change every record.\nListen on 127.0.0.1, [::1] or a unix socket, or say --%s", addr, dangerFlag)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken by another process: stop that, or name another address with --listen or --ops-listen", addr)
	}
	return fmt.Errorf("%s can't be listened on: %w", addr, err)
}

// addrOf is the address as --addr takes it, with the port that the system chose for 0.
func addrOf(listener net.Listener) string {
	if listener.Addr().Network() == "unix" {
		return "unix://" + listener.Addr().String()
	}
	return listener.Addr().String()
}

// closeAll closes listeners that nobody will serve.
func closeAll(listeners []net.Listener) {
	for _, listener := range listeners {
		_ = listener.Close() // the process ends
	}
}
