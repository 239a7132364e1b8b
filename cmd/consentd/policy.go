package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/consent"
)

// maxPolicyBytes is how long a document may be.
const maxPolicyBytes = 1 << 20

func newPolicyCommand(c *cli) *cobra.Command {
	return newGroup("policy", "Validate, apply and show a tenant's policies",
		newPolicyValidateCommand(c), newPolicyApplyCommand(c), newPolicyShowCommand(c), newPolicyListCommand(c))
}

// readPolicy reads a document; "-" is standard input.
func (c *cli) readPolicy(path string) ([]byte, error) {
	in := c.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	document, err := io.ReadAll(io.LimitReader(in, maxPolicyBytes+1))
	if err != nil {
		return nil, err
	}
	if len(document) > maxPolicyBytes {
		return nil, fmt.Errorf("%s is longer than 1 MiB, and can't be a policy", path)
	}
	return document, nil
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageErrorf("name one file, or - for standard input")
	}
	return nil
}

type validateOutput struct {
	File        string        `json:"file"`
	Valid       bool          `json:"valid"`
	Permissions []string      `json:"permissions"`
	Faults      []faultOutput `json:"faults"`
}

type faultOutput struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"` // of keys; empty for the document as a whole
	Message string `json:"message"`
}

// at is how compilers say it, so that editors find the place.
func (f faultOutput) at(file string) string {
	if f.Path == "" {
		return fmt.Sprintf("%s:%d: %s", file, f.Line, f.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", file, f.Line, f.Path, f.Message)
}

// faultsOf returns what is wrong with a document, or the error if it is another one.
func faultsOf(err error) ([]faultOutput, error) {
	var invalid *consent.PolicyError
	if !errors.As(err, &invalid) {
		return []faultOutput{}, err
	}
	faults := make([]faultOutput, 0, len(invalid.Faults))
	for _, fault := range invalid.Faults {
		faults = append(faults, faultOutput{Line: fault.Line, Column: fault.Column, Path: fault.Path, Message: fault.Message})
	}
	return faults, nil
}

func newPolicyValidateCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a policy, without a server",
		Long: `Check a policy, without a server. Every fault is printed as FILE:LINE: message, and the exit code is 1
if there is any.`,
		Example: "  consentd policy validate policy.yaml",
		Args:    oneFile,
		RunE: c.does(func(_ *cobra.Command, args []string) error {
			return c.validatePolicy(args[0])
		}),
	}
}

func (c *cli) validatePolicy(path string) error {
	document, err := c.readPolicy(path)
	if err != nil {
		return err
	}
	policy, err := consent.ParsePolicy(document)
	out := validateOutput{File: path, Valid: err == nil, Permissions: []string{}}
	if out.Faults, err = faultsOf(err); err != nil {
		return err
	}
	if out.Valid {
		for _, permission := range policy.Permissions {
			out.Permissions = append(out.Permissions, permission.Name)
		}
	}
	if err := c.print(out, out.table); err != nil {
		return err
	}
	if !out.Valid {
		return quietly(exitFailed)
	}
	return nil
}

func (out *validateOutput) table(w io.Writer) {
	if out.Valid {
		fmt.Fprintf(w, "%s is valid: %s\n", out.File, strings.Join(out.Permissions, ", "))
	}
	for _, fault := range out.Faults {
		fmt.Fprintln(w, fault.at(out.File))
	}
}
