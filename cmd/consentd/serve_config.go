package main

import (
	"time"

	"github.com/spf13/cobra"
)

// serveConfig is what serve takes, from file, environment and flags.
type serveConfig struct {
	front        frontConfig
	dataDir      string
	policy       string
	keyFile      string
	maxStaleness time.Duration
	peers        peersConfig
}

func (s *serveConfig) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.dataDir, "data-dir", "", "the `DIR` that everything lies in; it is made if it isn't there")
	flags.StringVar(&s.policy, "policy", "", "apply the policy in `FILE` for --tenant, if it differs from the newest")
	flags.StringVar(&s.keyFile, "pseudonym-key-file", "", "the `FILE` with the key of the pseudonyms; DIR/pseudonym.key if left out")
	flags.DurationVar(&s.maxStaleness, "max-staleness", 0,
		"how long a withdrawn consent may still be decided ALLOW at most; what the cluster was founded with if left out, 2s for a new one")
	s.front.add(cmd)
	s.peers.add(cmd)
}

// validate finds what is wrong before anything is opened.
func (s *serveConfig) validate() error {
	if s.dataDir == "" {
		return usageErrorf("name the directory that the data is in, or goes to: --data-dir DIR")
	}
	if err := s.front.validate(); err != nil {
		return err
	}
	if s.maxStaleness != 0 && (s.maxStaleness < time.Second || s.maxStaleness > time.Hour) { // an election has to fit into the least
		return usageErrorf("--max-staleness %s must be between 1s and 1h", s.maxStaleness)
	}
	return s.peers.validate()
}
