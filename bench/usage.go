package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// cpu is processor time of a process, or several.
type cpu struct {
	seconds float64
	known   bool
}

func (c cpu) since(before cpu, units uint64) Usage {
	u := Usage{CPUSeconds: c.seconds - before.seconds}
	if units > 0 {
		u.PerUnit = 1e6 * u.CPUSeconds / float64(units)
	}
	return u
}

// usages are what generator and servers have used until a time.
type usages struct{ own, servers cpu }

func (u usages) serversSince(before usages, units uint64) *Usage {
	if !u.servers.known || !before.servers.known {
		return nil
	}
	used := u.servers.since(before.servers, units)
	return &used
}

// usages asks the servers, and doesn't wait long for one that is gone.
func (l *load) usages(ctx context.Context) usages {
	u := usages{own: ownCPU(), servers: cpu{known: len(l.o.Ops) > 0}}
	for _, address := range l.o.Ops {
		seconds, err := serverCPU(ctx, address)
		if err != nil {
			l.o.Message("the processor time of %s isn't known: %v", address, err)
			u.servers.known = false
			break
		}
		u.servers.seconds += seconds
	}
	return u
}

// serverCPU returns how many seconds of a processor a server has used.
func serverCPU(ctx context.Context, address string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	const name = "process_cpu_seconds_total"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, opsURL(address)+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close() //nolint:errcheck // it was read
	if reply.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("/metrics: %s", reply.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(reply.Body)
	if err != nil {
		return 0, err
	}
	for _, m := range families[name].GetMetric() {
		return m.GetCounter().GetValue(), nil
	}
	return 0, errors.New("/metrics has no " + name)
}

func opsURL(address string) string {
	if strings.Contains(address, "://") {
		return strings.TrimSuffix(address, "/")
	}
	return "http://" + address
}
