package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const environmentPrefix = "CONSENTD_"

// applySettings gives every flag that wasn't given the value of the environment, or else of the file. What can be set that way are the
// flags that all commands share and those of serve and sidecar: a setting of one call alone, as --dry-run, must not hide in a file.
func (c *cli) applySettings(root, cmd *cobra.Command) error {
	known := settingNames(root)
	environment := koanf.New(".")
	if err := environment.Load(c.environmentSettings(known), nil); err != nil {
		return usageErrorf("the environment can't be read: %w", err)
	}
	if path := environment.String("config"); path != "" && !cmd.Flags().Changed("config") {
		c.config = path
	}
	fromFile, err := c.fileSettings(known)
	if err != nil {
		return err
	}
	var faults error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		name := settingName(flag.Name)
		if flag.Changed || faults != nil || !slices.Contains(known, name) {
			return
		}
		switch {
		case environment.Exists(name):
			if err := setFlag(flag, environment.Get(name)); err != nil {
				faults = usageErrorf("%s: %w", environmentPrefix+strings.ToUpper(name), err)
			}
		case fromFile.Exists(name):
			if err := setFlag(flag, fromFile.Get(name)); err != nil {
				faults = usageErrorf("%s: %s: %w", c.config, name, err)
			}
		}
	})
	if faults == nil && c.timeout <= 0 {
		return usageErrorf("--timeout %s must be more than nothing", c.timeout)
	}
	return faults
}

// settingNames are the keys of the file, and of the environment in upper case.
func settingNames(root *cobra.Command) []string {
	var names []string
	add := func(flag *pflag.Flag) {
		if name := settingName(flag.Name); name != "help" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	root.PersistentFlags().VisitAll(add)
	for _, command := range root.Commands() {
		if name := command.Name(); name == "serve" || name == "sidecar" {
			command.Flags().VisitAll(add)
		}
	}
	slices.Sort(names)
	return names
}

func settingName(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// environmentSettings reads the known variables. Others that begin alike are left alone: a cluster that runs a service named consentd
// sets some of its own.
func (c *cli) environmentSettings(known []string) koanf.Provider {
	return env.Provider(".", env.Opt{
		Prefix:      environmentPrefix,
		EnvironFunc: c.environ,
		TransformFunc: func(key, value string) (string, any) {
			name := strings.ToLower(strings.TrimPrefix(key, environmentPrefix))
			if !slices.Contains(known, name) || key != environmentPrefix+strings.ToUpper(name) {
				return "", nil
			}
			return name, value
		},
	})
}

// fileSettings reads the file, whose every key must be known: a misspelt setting isn't passed over.
func (c *cli) fileSettings(known []string) (*koanf.Koanf, error) {
	settings := koanf.New(".")
	if c.config == "" {
		return settings, nil
	}
	if err := settings.Load(file.Provider(c.config), yaml.Parser()); err != nil {
		return nil, usageErrorf("the settings in %s can't be read: %w", c.config, err)
	}
	for _, key := range settings.Keys() {
		if key == "config" || !slices.Contains(known, key) {
			others := slices.DeleteFunc(slices.Clone(known), func(name string) bool { return name == "config" })
			return nil, usageErrorf("%s: there is no setting %q; there are %s", c.config, key, strings.Join(others, ", "))
		}
	}
	return settings, nil
}

// setFlag sets a flag to a value of the environment, where lists are separated by commas, or of a file.
func setFlag(flag *pflag.Flag, value any) error {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		list, ok := flag.Value.(pflag.SliceValue)
		if !ok {
			return fmt.Errorf("%v is a list, and one value is asked for", value)
		}
		if len(value) == 0 {
			return errors.New("the list is empty: name what is to be in it, or leave the setting out")
		}
		items := make([]string, 0, len(value))
		for _, item := range value {
			items = append(items, fmt.Sprint(item))
		}
		return list.Replace(items)
	case map[string]any:
		return fmt.Errorf("%v holds settings of its own, and one value is asked for", value)
	default:
		text := fmt.Sprint(value)
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			return list.Replace(strings.Split(text, ","))
		}
		if err := flag.Value.Set(text); err != nil {
			return plainValueError(flag, text, err)
		}
		return nil
	}
}
