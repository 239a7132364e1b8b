package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// profile fetches profiles of all servers into a folder: of their processors over the time, and of their heap at its end. The channel gets what
// went wrong, or nil.
func (l *load) profile(ctx context.Context, folder string, over time.Duration) chan error {
	done := make(chan error, 1)
	seconds := int(math.Max(1, math.Floor(over.Seconds())))
	ctx = context.WithoutCancel(ctx) // the window's end mustn't cut the profile's
	go func() {
		var all errgroup.Group
		for i, address := range l.o.Ops {
			all.Go(func() error {
				path := filepath.Join(folder, fmt.Sprintf("%s-server%d", l.scenario.Name, i+1))
				if err := fetch(ctx, over+10*time.Second, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", opsURL(address), seconds), path+".cpu.pprof"); err != nil {
					return err
				}
				return fetch(ctx, 10*time.Second, opsURL(address)+"/debug/pprof/heap", path+".heap.pprof")
			})
		}
		done <- all.Wait()
	}()
	return done
}

// fetch writes what an address returns to a file.
func fetch(ctx context.Context, within time.Duration, url, path string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close() //nolint:errcheck // it was read
	if reply.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s: the server serves no profiles: start it with --pprof", url)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, reply.Status)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, reply.Body); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
