package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/cluster"
)

func newClusterInspectCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "Verify a backup and say what it holds, without a server",
		Long: `Verify a backup from its first byte to its last and say what it holds, without a server; - is standard
input. The exit code is 1 if the file isn't whole or was altered.`,
		Example: "  consentd cluster inspect consentd-2026-01-10.backup",
		Args:    oneBackup,
		RunE: c.does(func(_ *cobra.Command, args []string) error {
			return c.inspectBackup(args[0])
		}),
	}
}

// backupOutput is what a backup holds.
type backupOutput struct {
	File      string         `json:"file"`
	MadeAt    string         `json:"made_at"`
	ClusterID string         `json:"cluster_id"`
	Epoch     string         `json:"epoch"` // in hexadecimal digits, as it is too long a number for some readers of JSON
	Index     uint64         `json:"index"`
	KeyCheck  string         `json:"key_check"` // tells which key it needs, and nothing else of the key
	Bytes     int64          `json:"bytes"`
	Tenants   []tenantOutput `json:"tenants"`
	Subjects  int            `json:"subjects"`
	Events    int            `json:"events"`
	Policies  int            `json:"policies"` // versions
}

type tenantOutput struct {
	Name          string `json:"name"`
	PolicyVersion int64  `json:"policy_version"` // the newest; 0 for none
}

func (c *cli) inspectBackup(path string) error {
	in := c.stdin
	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // whoever calls it names the file
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	info, err := cluster.Inspect(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return c.printBackup(path, info)
}

func (c *cli) printBackup(path string, info *cluster.BackupInfo) error {
	out := backupOutput{
		File: path, MadeAt: timeText(info.MadeAt), ClusterID: info.ClusterID, Epoch: fmt.Sprintf("%016x", info.Epoch), Index: info.Index,
		KeyCheck: hex.EncodeToString(info.KeyCheck[:]), Bytes: info.Bytes, Tenants: []tenantOutput{}, Subjects: info.Subjects,
		Events: info.Events, Policies: info.Policies,
	}
	for _, tenant := range info.Tenants {
		out.Tenants = append(out.Tenants, tenantOutput{Name: tenant.Name, PolicyVersion: tenant.Policy})
	}
	return c.print(out, out.table)
}

func (out *backupOutput) table(w io.Writer) {
	fmt.Fprintf(w, "%s is whole: %d subjects, %d events, %s\n", out.File, out.Subjects, out.Events, bytesText(out.Bytes))
	fmt.Fprintf(w, "made at %s of cluster %s, at index %d of epoch %s\n", out.MadeAt, out.ClusterID, out.Index, out.Epoch)
	if len(out.Tenants) == 0 {
		return
	}
	fmt.Fprint(w, "\nTENANT\tPOLICY VERSION\n")
	for _, tenant := range out.Tenants {
		fmt.Fprintf(w, "%s\t%d\n", tenant.Name, tenant.PolicyVersion)
	}
}
