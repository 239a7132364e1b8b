package client

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// modules are all that a program takes on with the SDK, beside the standard library. A new one is a decision.
var modules = []string{
	"github.com/cespare/xxhash/v2", // ristretto's
	"github.com/consentd/consentd",
	"github.com/dchest/siphash",                 // keys of the near cache
	"github.com/dgraph-io/ristretto/v2",         // the near cache
	"github.com/dustin/go-humanize",             // ristretto's
	"github.com/google/uuid",                    // request ids
	"go.yaml.in/yaml/v3",                        // policies
	"golang.org/x/net",                          // grpc's
	"golang.org/x/sys",                          // grpc's
	"golang.org/x/text",                         // grpc's
	"google.golang.org/genproto/googleapis/api", // of the contract
	"google.golang.org/genproto/googleapis/rpc", // errors
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

func TestDependsOnLittle(t *testing.T) {
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	used := strings.Fields(string(list))
	for _, module := range used {
		if !slices.Contains(modules, module) {
			t.Errorf("the SDK depends on %s: is it worth it to all who use the SDK?", module)
		}
	}
	for _, module := range modules {
		if !slices.Contains(used, module) {
			t.Errorf("the SDK doesn't depend on %s any more: take it off the list", module)
		}
	}
}
