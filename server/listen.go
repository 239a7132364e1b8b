package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	unixScheme = "unix://"
	// socketMode lets the owner and the group in: who may connect may ask and write.
	socketMode = 0o660
)

var (
	// ErrNotLoopback is returned by Listen for an address that other machines could reach, because nothing authenticates callers yet.
	ErrNotLoopback = errors.New("the address isn't a loopback address, and nothing authenticates callers yet: " +
		"listen on 127.0.0.1, [::1] or a unix socket, or allow the danger explicitly")
	// ErrSocketInUse is returned by Listen for a unix socket that a living process listens on, and for a file that is none.
	ErrSocketInUse = errors.New("the path of the unix socket is taken: stop the process that listens there, or choose another path")
)

// ListenOptions say where Listen may listen.
type ListenOptions struct {
	AllowNonLoopback bool
}

// Listen listens on an address: host:port for TCP, unix:///path for a unix socket, which the owner and the group may use. A socket file
// that a dead process left behind is replaced.
func Listen(ctx context.Context, address string, o ListenOptions) (net.Listener, error) {
	if path, found := strings.CutPrefix(address, unixScheme); found {
		return listenUnix(ctx, path)
	}
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: give host:port or unix:///path: %w", address, err)
	}
	if !o.AllowNonLoopback && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("listening on %s: %w", address, ErrNotLoopback)
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", resolved.String())
}

func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("listening on unix://%s: give an absolute path, as unix:///run/consentd.sock", path)
	}
	if longest := len(syscall.RawSockaddrUnix{}.Path) - 1; len(path) > longest {
		return nil, fmt.Errorf("the path has %d bytes, and the system takes %d for a unix socket: choose a shorter one", len(path), longest)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s: make it, or choose another path: %w", filepath.Dir(path), fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is a file, and no socket: %w", path, ErrSocketInUse)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("%s: %w", path, ErrSocketInUse), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	default:
		return fmt.Errorf("%s: %w: %w", path, ErrSocketInUse, err)
	}
}
