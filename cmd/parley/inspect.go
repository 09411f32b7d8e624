package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/inspect"
)

// inspectCommand takes things apart that people paste: keys, topics, messages,
// links. It needs no account and no network.
func (a *app) inspectCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "inspect",
		Short: "Take keys, topics, messages and links apart",
		Long: `Take keys, topics, messages and links apart, without an account or a network.

What is inspected is an argument, or is read from standard input when there is
none or it is "-". BYTES are hexadecimal, with or without 0x, or base64; white
space does not count. Arguments that begin with - go behind --.

Results are readable text, or one line of JSON with --json. Bytes are written as
0x and hexadecimal digits, people's keys as zQ3sh… with the 0x04… form beside
them, times as they are on the wire. Secrets are read from files or standard
input only.

Exit code 1 means that the input is not what it should be, 2 that it cannot be
read at all.`,
		Example: `  parley inspect key zQ3shuKb2nzoiBgTtu9USEk16k6gkUvP2iSU6D1qJUFCwdAeG
  parley inspect topic status
  xxd -p message.bin | parley inspect layers --json`,
	},
		a.inspectKeyCommand(),
		a.inspectMnemonicCommand(),
		a.inspectTopicCommand(),
		a.inspectTopicsCommand(),
		a.inspectWakuMessageCommand(),
		a.inspectPayloadCommand(),
		a.inspectLayersCommand(),
		a.inspectURLCommand(),
		a.inspectENRCommand(),
		a.inspectMultiaddrCommand(),
		a.inspectBundleCommand(),
	)
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fault.New(fault.Usage, "%w", err).
			WithHint("%s --help shows the flags; an argument that begins with - goes behind --", cmd.CommandPath())
	})
	return c
}

// showInspected prints a result.
func (a *app) showInspected(v any) error {
	return a.print(v, func(w io.Writer) error { return inspect.WriteText(w, v) })
}

// showJudged prints a result that says itself whether it is valid, and then
// returns why it is not. Of an input that cannot be read there is no result.
func (a *app) showJudged(v any, invalid error) error {
	if fault.KindOf(invalid) == fault.Usage {
		return invalid
	}
	if err := a.showInspected(v); err != nil {
		return err
	}
	return invalid
}

// input returns the argument, or standard input when there is none or it is
// "-", at most limit bytes long.
func (a *app) input(args []string, limit int) (string, error) {
	if len(args) > 0 && args[0] != "-" {
		return args[0], nil
	}
	if _, ok := a.terminal(); ok {
		a.say("reading from the terminal; end with ctrl-d")
	}
	b, err := io.ReadAll(io.LimitReader(a.in, int64(limit)+1))
	if err != nil {
		return "", fault.Wrap(fault.Internal, "reading standard input", err)
	}
	if len(b) > limit {
		return "", fault.New(fault.Usage, "standard input: %w: more than %d bytes", inspect.ErrTooLarge, limit)
	}
	return string(b), nil
}

// inputBytes returns the argument, or standard input, decoded.
func (a *app) inputBytes(args []string) ([]byte, error) {
	text, err := a.input(args, inspect.MaxInput)
	if err != nil {
		return nil, err
	}
	return inspect.Bytes(text)
}

// withoutBreak removes the line break that editors and echo put behind a text.
func withoutBreak(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }
