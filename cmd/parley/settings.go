package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley/internal/fault"
)

// configName is the name of the config file in the data directory.
const configName = "config"

// envPrefix begins every environment variable that sets a flag.
const envPrefix = "PARLEY_"

// settle gives the flags that the command line left alone their values from
// the environment, else from the config file.
func (a *app) settle(cmd *cobra.Command) error {
	dir := cmd.Root().PersistentFlags().Lookup("data-dir")
	if env := os.Getenv(envName("data-dir")); !dir.Changed && env != "" {
		a.dataDir = env
	}
	if a.dataDir == "" {
		return fault.New(fault.Usage, "there is no home directory to keep data in").WithHint("give --data-dir")
	}
	path := filepath.Join(a.dataDir, configName)
	config, err := readConfig(path, configKeys(cmd.Root()))
	if err != nil {
		return err
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || !configurable(f) {
			return
		}
		for _, name := range []string{envName(qualified(cmd, f)), envName(f.Name)} {
			if value := os.Getenv(name); value != "" {
				err = set(f, "environment variable "+name, envName(qualified(cmd, f)), value)
				return
			}
		}
		for _, key := range []string{qualified(cmd, f), f.Name} {
			if entry, ok := config[key]; ok {
				err = set(f, fmt.Sprintf("%s:%d: %s", path, entry.line, key), qualified(cmd, f), entry.values...)
				return
			}
		}
	})
	return err
}

// envName is the environment variable of a flag or of a key of the config file.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key))
}

// qualified is the key that means one command's flag alone: run.listen. Global
// flags are the same for all.
func qualified(cmd *cobra.Command, f *pflag.Flag) string {
	if cmd.Root().PersistentFlags().Lookup(f.Name) == f {
		return f.Name
	}
	path := strings.Fields(cmd.CommandPath())[1:]
	return strings.Join(append(path, f.Name), ".")
}

// configurable leaves out what makes no sense but on a command line.
func configurable(f *pflag.Flag) bool {
	return !f.Hidden && !slices.Contains([]string{"help", "version", "data-dir", "print-config"}, f.Name)
}

// set gives a flag its value; lists have several, or commas between them. own
// is the name that means this flag alone.
func set(f *pflag.Flag, origin, own string, values ...string) error {
	err := func() error {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			var all []string
			for _, v := range values {
				for part := range strings.SplitSeq(v, ",") {
					if part = strings.TrimSpace(part); part != "" {
						all = append(all, part)
					}
				}
			}
			return list.Replace(all)
		}
		if len(values) > 1 {
			return errors.New("is set more than once")
		}
		return f.Value.Set(values[0])
	}()
	if err != nil {
		return &fault.Error{Kind: fault.Usage, Op: origin, Err: err, Hint: "if it was meant for another command: the name for this one alone is " + own}
	}
	f.Changed = true
	return nil
}

// visitFlags calls f for the global flags, with no command, and for the flags
// of every command.
func visitFlags(root *cobra.Command, f func(cmd *cobra.Command, flag *pflag.Flag)) {
	root.PersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if configurable(flag) {
			f(root, flag)
		}
	})
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return
		}
		if c != root {
			c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
				if configurable(flag) {
					f(c, flag)
				}
			})
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// configKeys are the keys that a config file may use.
func configKeys(root *cobra.Command) map[string]bool {
	keys := make(map[string]bool)
	visitFlags(root, func(c *cobra.Command, f *pflag.Flag) {
		keys[f.Name] = true
		keys[qualified(c, f)] = true
	})
	return keys
}

// configEntry is a key of the config file: where it is first set, and all its
// values.
type configEntry struct {
	line   int
	values []string
}

// readConfig reads lines of "key = value"; a line that begins with # is a
// comment. A file that is not there is empty.
func readConfig(path string, keys map[string]bool) (map[string]configEntry, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "reading the config file", err)
	}
	entries := make(map[string]configEntry)
	for i, line := range strings.Split(strings.TrimPrefix(string(raw), "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok || key == "":
			return nil, fault.New(fault.Usage, "%s:%d: not a line of the form key = value", path, i+1)
		case key == "data-dir":
			return nil, fault.New(fault.Usage, "%s:%d: the data directory cannot be set in a file that lies in it", path, i+1).
				WithHint("give --data-dir, or set %s", envName(key))
		case !keys[key]:
			return nil, fault.New(fault.Usage, "%s:%d: there is no setting %q", path, i+1, key).
				WithHint("see `parley run --print-config` for all there are")
		case value == "":
			return nil, fault.New(fault.Usage, "%s:%d: %s has no value", path, i+1, key)
		}
		entry := entries[key]
		if entry.line == 0 {
			entry.line = i + 1
		}
		entry.values = append(entry.values, value)
		entries[key] = entry
	}
	return entries, nil
}

// writeConfig writes a config file with every setting: those of the current
// command first and as they are now, all others as comments.
func writeConfig(w io.Writer, current *cobra.Command) error {
	var b strings.Builder
	b.WriteString("# Parley's config file. It lies in the data directory under the name \"config\".\n" +
		"# The command line and the environment (PARLEY_…) count before it.\n" +
		"# Lists are written with commas, or as several lines of the same key.\n" +
		"# Without its command in front, a setting counts for every command that has it.\n")
	section := func(wanted func(c *cobra.Command) bool) {
		command := ""
		visitFlags(current.Root(), func(c *cobra.Command, f *pflag.Flag) {
			if !wanted(c) {
				return
			}
			if path := c.CommandPath(); path != command {
				command = path
				if c == current.Root() {
					path = "every command"
				}
				fmt.Fprintf(&b, "\n# --- %s\n", path)
			}
			key, value, mark := qualified(c, f), f.DefValue, "#"
			if f.Changed && (c == current || c == current.Root()) {
				value, mark = f.Value.String(), ""
			}
			if _, list := f.Value.(pflag.SliceValue); list {
				value = strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
			}
			fmt.Fprintf(&b, "\n# %s\n%s%s = %s\n", f.Usage, mark, key, value)
		})
	}
	root := current.Root()
	section(func(c *cobra.Command) bool { return c == root })
	section(func(c *cobra.Command) bool { return c == current })
	section(func(c *cobra.Command) bool { return c != root && c != current })
	_, err := io.WriteString(w, b.String())
	return err
}
