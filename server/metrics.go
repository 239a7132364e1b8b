package server

import (
	"context"
	"sync/atomic"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// latencyBuckets begin at 10 µs: the client library's begin at 5 ms, which no check should ever take.
var latencyBuckets = []float64{
	10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 5,
}

// callMetrics are the metrics of calls, under the names that go-grpc-middleware gives them, which dashboards know. Its own collector
// looks up labels five times a call; here each method's are looked up once, when the server is built.
type callMetrics struct {
	started, handled *prometheus.CounterVec
	received, sent   *prometheus.CounterVec
	seconds          *prometheus.HistogramVec
	methods          map[methodName]*methodMetrics
	strange          *methodMetrics // of methods that aren't here, which a caller could invent without end
	slow             func(method string, err error, took time.Duration)
	untimed          map[string]bool // services of which slow isn't told: others take the time
}

type methodName struct{ service, method string }

func newCallMetrics(slow func(string, error, time.Duration)) *callMetrics {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &callMetrics{
		started:  counter("grpc_server_started_total", "Calls started.", labels),
		handled:  counter("grpc_server_handled_total", "Calls ended, by status.", append([]string{"grpc_code"}, labels...)),
		received: counter("grpc_server_msg_received_total", "Messages received.", labels),
		sent:     counter("grpc_server_msg_sent_total", "Messages sent.", labels),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_server_handling_seconds", Help: "How long calls took, in seconds.", Buckets: latencyBuckets,
		}, labels),
		slow: slow, untimed: map[string]bool{consentv1.ClusterService_ServiceDesc.ServiceName: true},
	}
}

// resolve looks up the metrics of every method that a server has. It comes before the first call.
func (m *callMetrics) resolve(services map[string]grpc.ServiceInfo) {
	m.methods = map[methodName]*methodMetrics{}
	for service, info := range services {
		for _, method := range info.Methods {
			kind := interceptors.Unary
			switch {
			case method.IsClientStream && method.IsServerStream:
				kind = interceptors.BidiStream
			case method.IsClientStream:
				kind = interceptors.ClientStream
			case method.IsServerStream:
				kind = interceptors.ServerStream
			}
			m.methods[methodName{service, method.Name}] = m.of(kind, service, method.Name)
		}
	}
	m.strange = m.of(interceptors.BidiStream, "unknown", "unknown")
}

func (m *callMetrics) of(kind interceptors.GRPCType, service, method string) *methodMetrics {
	labels := []string{string(kind), service, method}
	return &methodMetrics{
		all: m, labels: labels, name: service + "/" + method,
		timed:   kind == interceptors.Unary && !m.untimed[service],
		started: m.started.WithLabelValues(labels...), received: m.received.WithLabelValues(labels...),
		sent: m.sent.WithLabelValues(labels...), seconds: m.seconds.WithLabelValues(labels...),
	}
}

// ServerReporter implements interceptors.ServerReportable. A method's reporter is the same for all its calls.
func (m *callMetrics) ServerReporter(ctx context.Context, call interceptors.CallMeta) (interceptors.Reporter, context.Context) {
	method := m.methods[methodName{call.Service, call.Method}]
	if method == nil {
		method = m.strange
	}
	method.started.Inc()
	return method, ctx
}

func (m *callMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.started, m.handled, m.received, m.sent, m.seconds}
}

// methodMetrics implements interceptors.Reporter for one method.
type methodMetrics struct {
	all                     *callMetrics
	labels                  []string
	timed                   bool // how long it takes says something of this server: streams and changes of the cluster take their time
	name                    string
	started, received, sent prometheus.Counter
	seconds                 prometheus.Observer
	handled                 [codes.Unauthenticated + 1]atomic.Pointer[prometheus.Counter]
}

// PostCall counts a call that ended.
func (m *methodMetrics) PostCall(err error, took time.Duration) {
	m.handledWith(status.Code(err)).Inc()
	m.seconds.Observe(took.Seconds())
	if m.timed {
		m.all.slow(m.name, err, took)
	}
}

// handledWith returns the counter of a code, which exists from its first use on.
func (m *methodMetrics) handledWith(code codes.Code) prometheus.Counter {
	if int(code) >= len(m.handled) {
		code = codes.Unknown
	}
	if found := m.handled[code].Load(); found != nil {
		return *found
	}
	counter := m.all.handled.WithLabelValues(append([]string{code.String()}, m.labels...)...)
	m.handled[code].Store(&counter)
	return counter
}

// PostMsgSend counts a message sent.
func (m *methodMetrics) PostMsgSend(_ any, err error, _ time.Duration) {
	if err == nil {
		m.sent.Inc()
	}
}

// PostMsgReceive counts a message received.
func (m *methodMetrics) PostMsgReceive(_ any, err error, _ time.Duration) {
	if err == nil {
		m.received.Inc()
	}
}
