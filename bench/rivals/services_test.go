package rivals

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// rival is one of those who answer. It skips the benchmark if what it needs isn't installed.
type rival struct {
	name string
	side func(b *testing.B, s *servers, callers int) side
}

// rivals are asked by callers in another process, but for near-cache and opa, which answer in the caller's own.
var rivals = []rival{
	{"empty/unix", func(_ *testing.B, s *servers, _ int) side { return s.empty().unary() }},
	{"consentd/check/tcp", func(b *testing.B, s *servers, _ int) side { return s.consentd().unary(b, "tcp") }},
	{"consentd/stream/unix", func(b *testing.B, s *servers, _ int) side { return s.consentd().sdk(b) }},
	{"consentd/batch/unix", func(b *testing.B, s *servers, _ int) side { return s.consentd().batch(b) }},
	{"redis/get/unix", func(b *testing.B, s *servers, callers int) side { return s.redis(b).bare(b, callers, 1) }},
	{"redis/pipeline/unix", func(b *testing.B, s *servers, callers int) side { return s.redis(b).bare(b, callers, batch) }},
	{"go-redis/get/unix", func(b *testing.B, s *servers, callers int) side { return s.redis(b).usual(b, callers, 1) }},
	{"go-redis/pipeline/unix", func(b *testing.B, s *servers, callers int) side { return s.redis(b).usual(b, callers, batch) }},
	{"etcd/linearizable/tcp", func(b *testing.B, s *servers, _ int) side { return s.etcd(b).get(b, false) }},
	{"etcd/serializable/tcp", func(b *testing.B, s *servers, _ int) side { return s.etcd(b).get(b, true) }},
	{"consentd/near-cache", func(b *testing.B, s *servers, _ int) side { return s.consentd().near(b) }},
	{"opa", func(b *testing.B, _ *servers, _ int) side { return newOPA(b) }},
}

// servers are started when they are first asked for, and run until all is measured.
type servers struct {
	empty      func() checks
	consentd   func() consentd
	startRedis func() redisServer
	startEtcd  func() etcdServer
}

func newServers(b *testing.B) *servers {
	return &servers{
		empty:      sync.OnceValue(func() checks { return startEmpty(b) }),
		consentd:   sync.OnceValue(func() consentd { return startConsentd(b) }),
		startRedis: sync.OnceValue(func() redisServer { return startRedis(b) }),
		startEtcd:  sync.OnceValue(func() etcdServer { return startEtcd(b) }),
	}
}

func (s *servers) redis(b *testing.B) redisServer {
	b.Helper()
	installed(b, "redis-server", "redis-server")
	return s.startRedis()
}

func (s *servers) etcd(b *testing.B) etcdServer {
	b.Helper()
	installed(b, "etcd", "etcd-server")
	return s.startEtcd()
}

// installed skips the benchmark if a program isn't in the path, and says which package of Debian's has it.
func installed(b *testing.B, program, debian string) {
	b.Helper()
	if _, err := exec.LookPath(program); err != nil {
		b.Skipf("%s isn't installed: apt-get install %s", program, debian)
	}
}

// versions are said once, although the function that benchmarks runs may run more often.
var versions sync.Map

// say prints which version of a server is measured, as a line of the result's.
func say(b *testing.B, program, flag string) {
	b.Helper()
	if _, said := versions.LoadOrStore(program, true); said {
		return
	}
	if out, err := exec.Command(program, flag).Output(); err == nil {
		line, _, _ := strings.Cut(string(out), "\n")
		fmt.Printf("%s: %s\n", program, line)
	}
}

// BenchmarkServices measures each of them beside a unary Check of `consentd serve` over a unix socket, which has all its interceptors.
func BenchmarkServices(b *testing.B) {
	s := newServers(b)
	say(b, "redis-server", "--version")
	say(b, "etcd", "--version")
	for _, callers := range []int{1, 64} {
		for _, r := range rivals {
			b.Run(fmt.Sprintf("%s/callers=%d", r.name, callers), func(b *testing.B) {
				pairs(b, callers, r.side(b, s, callers), s.consentd().unary(b, "unix"))
			})
		}
	}
}

// TestServicesInProcess: those that need no server answer right, and are found out when they don't.
func TestServicesInProcess(t *testing.T) {
	for name, s := range map[string]side{"empty": startEmpty(t).unary(), "opa": newOPA(t)} {
		allowed := make([]bool, 1)
		for n := range 100 {
			err := s.ask(0, []int{n}, allowed)
			if err == nil {
				err = verify([]int{n}, allowed)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := verify([]int{1}, []bool{true}); err == nil || !strings.Contains(err.Error(), "want false") {
		t.Errorf("a wrong answer is found out as %v", err)
	}
}
