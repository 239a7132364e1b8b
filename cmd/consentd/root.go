package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/consent"
)

const (
	defaultAddr   = "127.0.0.1:7433"
	defaultTenant = "default"
)

// newRootCommand puts the command line together.
func newRootCommand(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "consentd",
		Short: "May we pursue this purpose, for this person, over this channel, right now, and why?",
		Long: `consentd answers whether a purpose may be pursued for a data subject over a channel, and why.

A permission is written purpose/channel, as newsletter/email, or purpose alone where the policy
gives it no channels, as crm_storage.

Settings come from a YAML file (--config), from the environment (CONSENTD_ADDR for --addr, and so
on) and from flags; each overrides the one before.`,
		Example: `  consentd serve --data-dir ./data --policy policy.yaml
  consentd record grant anna@example.com newsletter/email --method web_form --source checkout --proof forms/8812
  consentd check anna@example.com newsletter/email --explain`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       currentVersion().Version,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		}),
	}
	root.SetVersionTemplate(currentVersion().line())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return plainFlagError(err) })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := missingFlag(cmd); err != nil {
			return err
		}
		return c.applySettings(root, cmd)
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)

	flags := root.PersistentFlags()
	flags.StringVar(&c.addr, "addr", defaultAddr, "the server to ask: host:port or unix:///path")
	flags.StringVar(&c.tenant, "tenant", defaultTenant, "the controller or brand")
	flags.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long to wait for an answer, as 500ms or 1m")
	flags.StringVar(&c.config, "config", "", "a YAML `FILE` with settings")
	c.format = formatTable
	flags.VarP(&c.format, "output", "o", "how to print: table, json or yaml")

	root.AddCommand(
		newServeCommand(c),
		newSidecarCommand(c),
		newPolicyCommand(c),
		newRecordCommand(c),
		newCheckCommand(c),
		newSegmentCommand(c),
		newImportCommand(c),
		newAuditCommand(c),
		newSubjectCommand(c),
		newClusterCommand(c),
		newKeysCommand(c),
		newBenchCommand(c),
		newVersionCommand(c),
	)
	return root
}

// newGroup makes a command that only holds others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
	}
	group.AddCommand(commands...)
	group.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageErrorf("say what to do: %s", strings.Join(commandNames(cmd), ", "))
		}
		return unknownCommand(cmd, args[0])
	}
	return group
}

// unknownCommand names the command that may have been meant, and all that there are.
func unknownCommand(parent *cobra.Command, name string) error {
	names, meant := commandNames(parent), ""
	if nearest := consent.Nearest(name, names); nearest != "" {
		meant = fmt.Sprintf(" (did you mean %s?)", nearest)
	}
	return usageErrorf("unknown command %q%s: choose %s", name, meant, strings.Join(names, ", "))
}

func commandNames(parent *cobra.Command) []string {
	var names []string
	for _, command := range parent.Commands() {
		if command.IsAvailableCommand() {
			names = append(names, command.Name())
		}
	}
	return names
}
