package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

func (a *app) messageCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "message",
		Short: "Edit, delete, retry, react to, pin and look at one message",
		Long: `Edit, delete, retry, react to, pin and look at one message. ID is its id 0x…, as
"parley send" and "parley messages --json" show it.`,
		Example: "  parley message edit 0x… \"What I meant\"\n  parley message react 0x… 👍",
	},
		a.messageEditCommand(), a.messageDeleteCommand(),
		a.messageVerb("retry", "Send a failed message once more", "Send a message of yours that failed once more. It is the same message: whoever has it after\nall does not see it twice.", (*client.Client).Resend),
		a.messageReactCommand("react", "Add an emoji to a message",
			"Add an emoji to a message, for everybody there.", (*client.Client).React),
		a.messageReactCommand("unreact", "Take your emoji from a message",
			"Take your emoji from a message, for everybody there.", (*client.Client).Unreact),
		a.messageVerb("pin", "Pin a message to the top of its chat", "Pin a message to the top of its chat, for everybody there. Three can be pinned.", (*client.Client).Pin),
		a.messageVerb("unpin", "Take a pin back", "Take the pin of a message back, for everybody there.", (*client.Client).Unpin),
		a.messageVerb("show", "Show a message", "Show a message as it is now, with what others made of it.", (*client.Client).Message),
		a.messageImageCommand(), a.messageTraceCommand(),
	)
}

// printMessage writes one message.
func (a *app) printMessage(ctx context.Context, c *client.Client, m parley.Message) error {
	p := &messagePrinter{app: a, client: c}
	if !a.json {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		p.self = s.Account
	}
	return p.print(ctx, m)
}

func (a *app) messageEditCommand() *cobra.Command {
	var options parley.EditOptions
	c := &cobra.Command{
		Use:   "edit ID [TEXT]",
		Short: "Give a message of yours another text",
		Long: `Give a message of yours another text, for everybody there; without TEXT it is read from
standard input.`,
		Example: "  parley message edit 0x… \"What I meant\"",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.text(args[1:])
			if err != nil {
				return err
			}
			if text == "" {
				return fault.New(fault.Usage, "the message is empty")
			}
			c := a.client()
			m, err := c.Edit(cmd.Context(), args[0], text, options)
			if err != nil {
				return err
			}
			return a.printMessage(cmd.Context(), c, m)
		},
	}
	c.Flags().BoolVar(&options.Preview, "preview", false, "look up where the links of the text lead")
	c.Flags().BoolVar(&options.Mention, "mention", false, "mention whom the text calls by @ and a name")
	return c
}

func (a *app) messageDeleteCommand() *cobra.Command {
	var forMe bool
	c := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a message",
		Long: `Delete a message for everybody: one of yours or, as an admin of a group, anybody's there.
With --for-me it is deleted from this account alone, whoever wrote it, and nobody is told.`,
		Example: "  parley message delete 0x…\n  parley message delete 0x… --for-me",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			do := c.Delete
			if forMe {
				do = c.DeleteForMe
			}
			m, err := do(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printMessage(cmd.Context(), c, m)
		},
	}
	c.Flags().BoolVar(&forMe, "for-me", false, "delete it from this account alone")
	return c
}

func (a *app) messageReactCommand(verb, short, long string, do func(c *client.Client, ctx context.Context, id, emoji string) (parley.Message, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " ID EMOJI",
		Short:   short,
		Long:    long + " EMOJI is the emoji itself\nor its code points as 1f44d.",
		Example: fmt.Sprintf("  parley message %s 0x… 👍", verb),
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			m, err := do(c, cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.printMessage(cmd.Context(), c, m)
		},
	}
}

// messageVerb makes a command that does one thing to one message.
func (a *app) messageVerb(verb, short, long string, do func(*client.Client, context.Context, string) (parley.Message, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " ID",
		Short:   short,
		Long:    long,
		Example: fmt.Sprintf("  parley message %s 0x…", verb),
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			m, err := do(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printMessage(cmd.Context(), c, m)
		},
	}
}

// savedPicture is the result of `parley message image`.
type savedPicture struct {
	File   string `json:"file"`
	Type   string `json:"type"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Bytes  int    `json:"bytes"`
}

func (a *app) messageImageCommand() *cobra.Command {
	var side int
	c := &cobra.Command{
		Use:   "image ID FILE",
		Short: "Save the picture of a message",
		Long: `Save the picture of a message to a new file. It is decoded and encoded anew, as PNG or
JPEG, so that it is harmless whoever it came from; of an animation the first frame is kept.`,
		Example: "  parley message image 0x… picture.jpg",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if side < 0 {
				return fault.New(fault.Usage, "--side is below zero")
			}
			p, err := a.client().MessageImage(cmd.Context(), args[0], side)
			if err != nil {
				return err
			}
			if err := writeNew(args[1], func(w io.Writer) error { _, err := w.Write(p.Data); return err }); err != nil {
				return err
			}
			return a.print(savedPicture{args[1], p.Type, p.Width, p.Height, len(p.Data)}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s  %s, %d×%d\n", args[1], p.Type, p.Width, p.Height)
				return err
			})
		},
	}
	c.Flags().IntVar(&side, "side", 0, "no side longer than so many pixels; 0 is as it is")
	return c
}

func (a *app) messageTraceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "trace ID",
		Short: "Tell what happened to a message",
		Long: `Tell what happened to a message, as far as this account knows: when it was made or came,
how far it got and who acknowledged it, what was done to it, and which envelopes of it still
wait to be published.`,
		Example: "  parley message trace 0x…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			trace, err := c.Trace(ctx, args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(trace)
			}
			return a.writeTrace(ctx, c, trace)
		},
	}
}

func (a *app) writeTrace(ctx context.Context, c *client.Client, trace parley.Trace) error {
	if err := a.printMessage(ctx, c, trace.Message); err != nil {
		return err
	}
	p, now := &messagePrinter{app: a, client: c}, time.Now()
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, step := range trace.Steps {
		row := []string{localTime(time.UnixMilli(step.Time), now), fmt.Sprintf("event %d", step.Seq), shownName(step.What, step.State), "", step.Emoji + step.Why}
		if step.Peers > 0 {
			row[3] = "to " + count(step.Peers, "peer", "peers")
		}
		if step.ByKey != "" {
			name := "me"
			if step.By.String() != s.Account {
				if name, err = p.name(ctx, step.ByKey); err != nil {
					return err
				}
			}
			row[3] = "by " + name
		}
		if step.Of > 0 {
			row[4] = fmt.Sprintf("%d of %s, %s", step.Done, count(step.Of, "segment", "segments"), step.State)
		}
		rows = append(rows, row)
	}
	for _, w := range trace.Waiting {
		next := "to be published at once"
		if w.NotBefore > 0 {
			next = "to be published at " + localTime(time.UnixMilli(w.NotBefore), now)
		}
		rows = append(rows, []string{"", "envelope", w.Hash.String(), next, count(int(w.Attempts), "attempt", "attempts") + " so far"})
	}
	return table(a.out, rows...)
}
