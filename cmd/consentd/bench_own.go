package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/cluster"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	// ownPatience is how long a process of its own may take to be ready.
	ownPatience = time.Minute
	mostOwn     = 9
	killsLeader = "leader-kill"
)

// ownConfig is what bench starts if no server is named.
type ownConfig struct {
	replicas    int
	sidecars    int
	processors  int
	maxInFlight int
}

func (o *ownConfig) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&o.replicas, "replicas", 0, "how many replicas to start: 1 if left out, 3 for leader-kill")
	flags.IntVar(&o.sidecars, "sidecars", 0, "how many sidecars to start, and ask in place of the replicas")
	flags.IntVar(&o.processors, "server-processors", 0, "how many processors each of them may use; all if left out")
	flags.IntVar(&o.maxInFlight, "server-max-in-flight", 0, "the --max-in-flight of each of them")
}

func (o *ownConfig) validate() error {
	switch {
	case o.replicas < 1 || o.replicas > mostOwn:
		return usageErrorf("--replicas %d must be 1 to %d", o.replicas, mostOwn)
	case o.sidecars < 0 || o.sidecars > mostOwn:
		return usageErrorf("--sidecars %d must be 0 to %d", o.sidecars, mostOwn)
	case o.processors < 0:
		return usageErrorf("--server-processors %d must be 1 at least", o.processors)
	case o.maxInFlight < 0:
		return usageErrorf("--server-max-in-flight %d must be 1 at least", o.maxInFlight)
	}
	return nil
}

// changed returns a flag of its own that was given.
func (o *ownConfig) changed(cmd *cobra.Command) string {
	for _, name := range []string{"replicas", "sidecars", "server-processors", "server-max-in-flight"} {
		if cmd.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// own are processes that bench has started, and their files.
type own struct {
	cli      *cli
	dir      string
	replicas []*ownProcess
	sidecars []*ownProcess
}

// ownProcess is a replica or a sidecar.
type ownProcess struct {
	name   string
	args   []string
	env    []string
	log    string
	ready  string
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	at     readyOutput
}

// startOwn starts what the scenario is asked of.
func (c *cli) startOwn(ctx context.Context, b *benchConfig) (_ *own, err error) {
	o := b.own
	if o.replicas == 0 {
		o.replicas = 1
		if b.Scenario == killsLeader {
			o.replicas = 3
		}
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "consentd-bench-")
	if err != nil {
		return nil, err
	}
	all := &own{cli: c, dir: dir}
	defer func() {
		if err != nil {
			all.stop()
		}
	}()
	if err := all.prepare(o, b.Profiles != ""); err != nil {
		return nil, err
	}
	for _, group := range [][]*ownProcess{all.replicas, all.sidecars} {
		for _, p := range group {
			if err := p.start(); err != nil {
				return nil, err
			}
		}
		for _, p := range group {
			if err := p.await(ctx); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// prepare says how each process is to be started.
func (o *own) prepare(config ownConfig, profiles bool) error {
	var common []string
	if profiles {
		common = append(common, "--pprof")
	}
	if config.maxInFlight > 0 {
		common = append(common, "--max-in-flight", strconv.Itoa(config.maxInFlight))
	}
	key := filepath.Join(o.dir, "key")
	if err := cluster.NewKeyFile(key); err != nil {
		return err
	}
	addresses, err := freeAddresses(2 * config.replicas)
	if err != nil {
		return err
	}
	api, peers := addresses[:config.replicas], addresses[config.replicas:]
	for i := range config.replicas {
		name := fmt.Sprintf("n%d", i+1)
		args := append([]string{
			"serve", "--data-dir", filepath.Join(o.dir, name), "--node-id", name, "--pseudonym-key-file", key, "--listen", o.socket(name),
		}, common...)
		if config.replicas > 1 {
			args = append(args, "--listen", api[i], "--raft-listen", peers[i], "--join", strings.Join(api, ","),
				"--bootstrap-expect", strconv.Itoa(config.replicas))
		}
		o.replicas = append(o.replicas, o.process(name, config.processors, args))
	}
	var upstream []string
	for _, p := range o.replicas {
		upstream = append(upstream, o.socket(p.name))
	}
	for i := range config.sidecars {
		name := fmt.Sprintf("s%d", i+1)
		args := append([]string{"sidecar", "--upstream", strings.Join(upstream, ","), "--listen", o.socket(name)}, common...)
		o.sidecars = append(o.sidecars, o.process(name, config.processors, args))
	}
	return nil
}

func (o *own) socket(name string) string { return "unix://" + filepath.Join(o.dir, name+".sock") }

func (o *own) process(name string, processors int, args []string) *ownProcess {
	p := &ownProcess{name: name, log: filepath.Join(o.dir, name+".log"), ready: filepath.Join(o.dir, name+".ready"), env: ownEnvironment()}
	p.args = slices.Concat(args, []string{"--ops-listen", "127.0.0.1:0", "--ready-file", p.ready})
	if processors > 0 {
		p.env = append(p.env, "GOMAXPROCS="+strconv.Itoa(processors))
	}
	return p
}

// ownEnvironment is the own one without settings of consentd, which are meant for others.
func ownEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(setting string) bool { return strings.HasPrefix(setting, environmentPrefix) })
}

// freeAddresses returns addresses that nobody listens on now.
func freeAddresses(n int) (all []string, err error) {
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it takes no time
		if err != nil {
			return nil, err
		}
		defer listener.Close() //nolint:errcheck,gocritic // nobody has connected; all are held until all are found
		all = append(all, listener.Addr().String())
	}
	return all, nil
}

// start starts the process, in a group of its own: an interrupt from the terminal is for bench, which ends it in good order.
func (p *ownProcess) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own
	_ = os.Remove(p.ready)
	p.cmd, p.exited = exec.Command(self, p.args...), make(chan struct{}) //nolint:gosec,noctx // itself; it is ended in good order
	p.cmd.Stderr, p.cmd.Env, p.cmd.SysProcAttr = log, p.env, apart()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		_ = cmd.Wait()
	}(p.cmd, p.exited)
	return nil
}

// await waits until the process answers.
func (p *ownProcess) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ownPatience)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		text, err := os.ReadFile(p.ready)
		if err == nil {
			return json.Unmarshal(text, &p.at)
		}
		select {
		case <-look.C:
		case <-p.exited:
			return fmt.Errorf("%s of its own ended before it was ready: %s", p.name, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s of its own isn't ready: %w: %s", p.name, context.Cause(ctx), p.lastWords())
		}
	}
}

// lastWords are the end of the process's log.
func (p *ownProcess) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return "it said nothing"
	}
	const most = 1000
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// stop ends all in good order, those who would miss others first, and removes their files.
func (o *own) stop() {
	for _, group := range [][]*ownProcess{o.sidecars, o.replicas} {
		for _, p := range group {
			if p.cmd != nil {
				_ = p.cmd.Process.Signal(os.Interrupt)
			}
		}
		for _, p := range group {
			p.end()
		}
	}
	if err := os.RemoveAll(o.dir); err != nil {
		o.cli.messagef("%s couldn't be removed: %v", o.dir, err)
	}
}

// end waits for the process, and not for ever.
func (p *ownProcess) end() {
	if p.cmd == nil {
		return
	}
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// aim has the load go to the sidecars, or the replicas if there are none.
func (o *own) aim(b *benchConfig) {
	asked := o.sidecars
	if len(asked) == 0 {
		asked = o.replicas
	}
	var targets []string
	for _, p := range asked {
		targets = append(targets, o.socket(p.name))
	}
	b.Target = strings.Join(targets, ",")
	for _, p := range slices.Concat(o.replicas, o.sidecars) {
		b.Ops, b.Reach = append(b.Ops, p.at.OpsListen), append(b.Reach, o.socket(p.name))
	}
	if len(o.replicas) > 1 {
		b.Cluster = o
	}
	if b.Scenario == killsLeader {
		b.Ops = nil // the processor time of one that was killed is lost
	}
}

// KillLeader kills the replica that leads.
func (o *own) KillLeader() (string, error) {
	c := *o.cli
	c.addr = o.socket(o.replicas[0].name)
	var leader string
	err := c.call(context.Background(), func(ctx context.Context, server *connection) error {
		status, err := server.cluster.GetClusterStatus(ctx, &consentv1.GetClusterStatusRequest{})
		leader = status.GetLeader()
		return err
	})
	if err != nil {
		return "", err
	}
	p := o.replica(leader)
	if p == nil {
		return "", errors.New("nobody leads")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return "", err
	}
	<-p.exited
	return leader, nil
}

// Restart starts a replica again that was killed.
func (o *own) Restart(name string) error {
	p := o.replica(name)
	if err := p.start(); err != nil {
		return err
	}
	return p.await(context.Background())
}

func (o *own) replica(name string) *ownProcess {
	for _, p := range o.replicas {
		if p.name == name {
			return p
		}
	}
	return nil
}
