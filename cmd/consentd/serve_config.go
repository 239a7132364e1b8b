package main

import (
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// dangerFlag allows addresses that other machines can reach.
const dangerFlag = "allow-unauthenticated-network-access"

// serveConfig is what serve takes, from file, environment and flags.
type serveConfig struct {
	dataDir      string
	listen       []string
	opsListen    string
	policy       string
	keyFile      string
	maxStaleness time.Duration
	drainTimeout time.Duration
	readyFile    string
	logLevel     slog.Level
	pprof        bool
	anywhere     bool
	peers        peersConfig
}

func (s *serveConfig) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.dataDir, "data-dir", "", "the `DIR` that everything lies in; it is made if it isn't there")
	flags.StringSliceVar(&s.listen, "listen", []string{defaultAddr}, "the address to answer on: host:port or unix:///path; may be repeated")
	flags.StringVar(&s.opsListen, "ops-listen", "127.0.0.1:7434", "the address of /metrics, /livez and /readyz")
	flags.StringVar(&s.policy, "policy", "", "apply the policy in `FILE` for --tenant, if it differs from the newest")
	flags.StringVar(&s.keyFile, "pseudonym-key-file", "", "the `FILE` with the key of the pseudonyms; DIR/pseudonym.key if left out")
	flags.DurationVar(&s.maxStaleness, "max-staleness", 0,
		"how long a withdrawn consent may still be decided ALLOW at most; what the cluster was founded with if left out, 2s for a new one")
	flags.DurationVar(&s.drainTimeout, "drain-timeout", 30*time.Second, "how long calls may go on after a signal to stop")
	flags.StringVar(&s.readyFile, "ready-file", "", "the `FILE` to write the addresses to once ready; it is removed at the end")
	flags.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.BoolVar(&s.pprof, "pprof", false, "serve profiles on --ops-listen")
	flags.BoolVar(&s.anywhere, dangerFlag, false,
		"listen where other machines can connect: whoever reaches the address can read and change every record")
	s.peers.add(cmd)
}

// validate finds what is wrong before anything is opened.
func (s *serveConfig) validate() error {
	if s.dataDir == "" {
		return usageErrorf("name the directory that the data is in, or goes to: --data-dir DIR")
	}
	if len(s.listen) == 0 {
		return usageErrorf("--listen is empty: name an address")
	}
	for _, addr := range append(slices.Clone(s.listen), s.opsListen) {
		if _, err := dialTarget(addr); err != nil {
			return usageErrorf("%q can't be listened on: write host:port or unix:///path", addr)
		}
	}
	if s.maxStaleness != 0 && (s.maxStaleness < time.Second || s.maxStaleness > time.Hour) { // an election has to fit into the least
		return usageErrorf("--max-staleness %s must be between 1s and 1h", s.maxStaleness)
	}
	if s.drainTimeout <= 0 {
		return usageErrorf("--drain-timeout %s must be more than nothing", s.drainTimeout)
	}
	return s.peers.validate()
}
