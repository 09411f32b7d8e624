package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

// app is what every command shares: the streams and the global flags.
type app struct {
	in       io.Reader
	out, err io.Writer

	dataDir  string
	api      string
	json     bool
	logLevel string
	// logFormat is text or json.
	logFormat string

	// args is the command line, onNode what "parley node" does instead of
	// running a node: both for reading the settings again.
	args   []string
	onNode func(cmd *cobra.Command, f nodeFlags) error

	// started: arguments and flags are right, the command itself runs.
	started bool
}

// run executes a command line and returns its exit code.
func (a *app) run(ctx context.Context, args []string) int {
	a.args = args
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if _, known := errors.AsType[*fault.Error](err); err != nil && !known && !a.started {
		// What cobra itself refuses: unknown commands, flags, arguments.
		err = fault.New(fault.Usage, "%w", err).WithHint("see `parley --help`, or --help after a command")
	}
	if err != nil {
		fmt.Fprintf(a.err, "parley: %v\n", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintf(a.err, "hint: %s\n", hint)
		}
	}
	return fault.ExitCode(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "parley",
		Short: "Chat on Status from one small program",
		Long: `Parley is the protocol stack of the Status messenger as one program.

To talk to somebody, make an account, start the daemon, and use the other
commands while it runs:

  parley account create --name "Ada Lovelace"
  parley run
  parley contact add zQ3sh… --message "Ada here"
  parley send zQ3sh… "Hello"
  parley events --follow

Data goes to standard output, words to standard error. With --json every result
is one JSON object on a line.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 cannot reach the daemon, 4 not
allowed or wrong password, 5 not found, 6 timed out.

Every flag can also be set in the environment (--data-dir is PARLEY_DATA_DIR)
and in the file "config" of the data directory, which "parley run --print-config"
writes out. The command line counts first, then the environment, then the file.`,
		Example:       "  parley demo\n  parley account create --name \"Ada Lovelace\"\n  parley run",
		Version:       buildVersion().Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.started = true
			return a.settle(cmd)
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	flags := root.PersistentFlags()
	flags.StringVar(&a.dataDir, "data-dir", defaultDataDir(), "where accounts and messages are kept")
	flags.StringVar(&a.api, "api", "", "URL of the daemon's API (default: the daemon of the data directory)")
	flags.BoolVar(&a.json, "json", false, "print JSON, one object a line")
	flags.StringVar(&a.logLevel, "log-level", "warn", "what to log: debug, info, warn or error")
	flags.StringVar(&a.logFormat, "log-format", "text", "how to log: text or json, one record a line")
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Running:"},
		&cobra.Group{ID: groupTalk, Title: "Talking, through the running daemon:"},
		&cobra.Group{ID: groupTools, Title: "Tools:"},
	)
	root.SetHelpCommandGroupID(groupTools)
	root.SetCompletionCommandGroupID(groupTools)
	for _, part := range []struct {
		group    string
		commands []*cobra.Command
	}{
		{groupRun, []*cobra.Command{a.demoCommand(), a.accountCommand(), a.runCommand(), a.nodeCommand(), a.statusCommand(), a.doctorCommand()}},
		{groupTalk, []*cobra.Command{
			a.contactCommand(), a.sendCommand(), a.messagesCommand(), a.messageCommand(), a.chatCommand(), a.groupCommand(), a.communityCommand(),
			a.searchCommand(), a.activityCommand(), a.profileCommand(), a.deviceCommand(), a.eventsCommand(),
		}},
		{groupTools, []*cobra.Command{a.inspectCommand(), a.storeCommand(), a.benchCommand(), a.manCommand(), a.versionCommand()}},
	} {
		for _, c := range part.commands {
			c.GroupID = part.group
			root.AddCommand(c)
		}
	}
	return root
}

const (
	groupRun   = "run"
	groupTalk  = "talk"
	groupTools = "tools"
)

// group makes a noun whose verbs are commands of their own.
func group(c *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	c.Args = cobra.NoArgs
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(cmd.ErrOrStderr())
		if err := cmd.Help(); err != nil {
			return err
		}
		return fault.New(fault.Usage, "%s needs a command", cmd.CommandPath())
	}
	c.AddCommand(verbs...)
	return c
}

// print writes a result: as one line of JSON with --json, else by text.
func (a *app) print(v any, text func(w io.Writer) error) error {
	if a.json {
		return a.printJSON(v)
	}
	return text(a.out)
}

func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// say writes words for people, which are no part of the result.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// client calls the daemon.
func (a *app) client() *client.Client {
	return client.New(client.Config{DataDir: a.dataDir, URL: a.api, OnRetry: func(err error) {
		a.say("%v; waiting for it to come back", err)
	}})
}

// logger returns a log to standard error.
func (a *app) logger() (*slog.Logger, error) {
	_, log, err := a.adjustableLogger()
	return log, err
}

// adjustableLogger returns a log to standard error and its level.
func (a *app) adjustableLogger() (*slog.LevelVar, *slog.Logger, error) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return nil, nil, fault.New(fault.Usage, "--log-level %q is not debug, info, warn or error", a.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch a.logFormat {
	case "text":
		return level, slog.New(slog.NewTextHandler(a.err, options)), nil
	case "json":
		return level, slog.New(slog.NewJSONHandler(a.err, options)), nil
	}
	return nil, nil, fault.New(fault.Usage, "--log-format %q is neither text nor json", a.logFormat)
}
