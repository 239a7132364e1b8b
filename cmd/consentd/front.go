package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/consentd/consentd/server"
)

// dangerFlag allows addresses that other machines can reach.
const dangerFlag = "allow-unauthenticated-network-access"

// frontConfig is what every process takes that serves.
type frontConfig struct {
	listen       []string
	opsListen    string
	drainTimeout time.Duration
	readyFile    string
	logLevel     slog.Level
	pprof        bool
	anywhere     bool
	maxInFlight  int
}

func (f *frontConfig) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.listen, "listen", []string{defaultAddr}, "the address to answer on: host:port or unix:///path; may be repeated")
	flags.StringVar(&f.opsListen, "ops-listen", "127.0.0.1:7434", "the address of /metrics, /livez and /readyz")
	flags.DurationVar(&f.drainTimeout, "drain-timeout", 30*time.Second, "how long calls may go on after a signal to stop")
	flags.StringVar(&f.readyFile, "ready-file", "", "the `FILE` to write the addresses to once ready; it is removed at the end")
	flags.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.BoolVar(&f.pprof, "pprof", false, "serve profiles on --ops-listen")
	flags.IntVar(&f.maxInFlight, "max-in-flight", server.DefaultInFlight,
		"how many calls to answer at a time; what comes beyond is refused with OVERLOADED, large batches first")
	flags.BoolVar(&f.anywhere, dangerFlag, false,
		"listen where other machines can connect: whoever reaches the address can read and change every record")
}

func (f *frontConfig) validate() error {
	if len(f.listen) == 0 {
		return usageErrorf("--listen is empty: name an address")
	}
	for _, addr := range append(slices.Clone(f.listen), f.opsListen) {
		if _, err := dialTarget(addr); err != nil {
			return usageErrorf("%q can't be listened on: write host:port or unix:///path", addr)
		}
	}
	if f.maxInFlight < 1 {
		return usageErrorf("--max-in-flight %d must be 1 at least", f.maxInFlight)
	}
	if f.drainTimeout <= 0 {
		return usageErrorf("--drain-timeout %s must be more than nothing", f.drainTimeout)
	}
	return nil
}

// front is what a process that serves shows to others: its addresses, metrics, probes and ready file.
type front struct {
	config    *frontConfig
	log       *slog.Logger
	listeners []net.Listener
	opsSocket net.Listener
	metrics   *prometheus.Registry
	stopping  atomic.Bool
}

func (c *cli) newFront(config *frontConfig) front {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return front{config: config, log: c.newLogger(config.logLevel), metrics: metrics}
}

// listen opens every address, or none.
func (f *front) listen(ctx context.Context) error {
	for _, addr := range append(slices.Clone(f.config.listen), f.config.opsListen) {
		listener, err := server.Listen(ctx, addr, server.ListenOptions{AllowNonLoopback: f.config.anywhere})
		if err != nil {
			closeAll(f.listeners)
			return listenError(addr, err)
		}
		f.listeners = append(f.listeners, listener)
	}
	last := len(f.listeners) - 1
	f.listeners, f.opsSocket = f.listeners[:last], f.listeners[last]
	return nil
}

// abandon closes the addresses, which nobody will serve.
func (f *front) abandon() { closeAll(append(f.listeners, f.opsSocket)) }

// serveOps answers long before the process is ready, so that whoever started it can tell slow from dead.
func (f *front) serveOps(ready func() error) *http.Server {
	ops := &http.Server{
		Handler:           server.OpsHandler(server.OpsOptions{Gatherer: f.metrics, Ready: ready, Profiling: f.config.pprof}),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(f.log.Handler(), slog.LevelWarn),
	}
	go func() {
		if err := ops.Serve(f.opsSocket); !errors.Is(err, http.ErrServerClosed) {
			f.log.Error("the ops address can't be served", "error", err)
		}
	}()
	return ops
}

// announce tells whoever waits for it that the process answers now, and where.
func (f *front) announce() error {
	ready := readyOutput{OpsListen: addrOf(f.opsSocket), PID: os.Getpid()}
	for _, listener := range f.listeners {
		ready.Listen = append(ready.Listen, addrOf(listener))
	}
	if err := writeReadyFile(f.config.readyFile, ready); err != nil {
		return err
	}
	f.log.Info("ready", "listen", ready.Listen, "ops_listen", ready.OpsListen, "version", version)
	return nil
}

// drain finishes what runs. Calls that take too long are cut off, which is no fault of the process.
func (f *front) drain(services *server.Server) error {
	f.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), f.config.drainTimeout)
	defer cancel()
	err := services.Drain(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		f.log.Warn("calls were cut off that still ran", "after", f.config.drainTimeout.String())
		return nil
	}
	return err
}
