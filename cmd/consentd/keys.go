package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/cluster"
)

func newKeysCommand(c *cli) *cobra.Command {
	return newGroup("keys", "Make the key that a cluster names its subjects with", newKeysNewCommand(c))
}

type keyOutput struct {
	File string `json:"file"`
}

func newKeysNewCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "new FILE",
		Short: "Make a pseudonym key for a new cluster",
		Long: `Make a pseudonym key for a new cluster, in a file that only its owner can read. One that is there is never
overwritten. Every replica needs the same key: copy the file to each, and keep a copy in a safe place,
apart from the backups. Without it no record can be found again.`,
		Example: "  consentd keys new /etc/consentd/pseudonym.key",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usageErrorf("name one file to make")
			}
			return nil
		},
		RunE: c.does(func(_ *cobra.Command, args []string) error {
			if err := cluster.NewKeyFile(args[0]); err != nil {
				return err
			}
			out := keyOutput{File: args[0]}
			return c.print(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s is made: copy it to every replica, and keep a copy in a safe place\n", out.File)
			})
		}),
	}
}
