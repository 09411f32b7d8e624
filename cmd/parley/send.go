package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

// maxText bounds what is read from standard input as one message, in bytes.
const maxText = 1 << 20

// sendFlags are the flags of `parley send`.
type sendFlags struct {
	reply, wait string
	timeout     time.Duration
	files       []string
	preview     bool
	mention     bool
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send TO [TEXT]",
		Short: "Send a message",
		Long: `Send a message to somebody, to a group or to a channel; without TEXT it is read from standard input,
unless there are pictures.

When the command returns, the message is safe with the daemon, in state pending:
the daemon sends it, again over restarts, until it is delivered. With --wait the
command returns when the message has come so far, and fails after --timeout; the
message goes on by itself all the same.

Each --file is a picture, PNG, JPEG, WebP or GIF, which is made smaller and loses its
metadata; several are an album. With --preview the daemon looks up where the links of the
text lead, for everybody to see; the sites linked to learn of it.

With --mention those whom the text calls by @ and a name are mentioned: @Ada Lovelace,
@ada.stateofus.eth, the three words of a key, @everyone.

TO is a key in any form, a share URL, the name of a contact, the id or name of a group, or
COMMUNITY/CHANNEL.`,
		Example: `  parley send zQ3sh… "Hello"
  uptime | parley send "Ada Lovelace"
  parley send "Book club" "The cover" --file cover.jpg
  parley send zQ3sh… "Are you there?" --wait delivered --timeout 30s`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeChat,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.wait != "" && f.wait != string(chat.Sent) && f.wait != string(chat.Delivered) {
				return fault.New(fault.Usage, "--wait %q is neither sent nor delivered", f.wait)
			}
			images, err := pictures(f.files)
			if err != nil {
				return err
			}
			text := ""
			if len(args) == 2 || len(images) == 0 {
				if text, err = a.text(args[1:]); err != nil {
					return err
				}
			}
			return a.send(cmd.Context(), args[0], text, images, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.reply, "reply", "", "id of the message this one answers")
	flags.StringArrayVar(&f.files, "file", nil, "a picture to send; may be repeated")
	flags.BoolVar(&f.preview, "preview", false, "look up where the links of the text lead")
	flags.BoolVar(&f.mention, "mention", false, "mention whom the text calls by @ and a name")
	flags.StringVar(&f.wait, "wait", "", "wait until the message is sent or delivered")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long --wait waits")
	c.RegisterFlagCompletionFunc("wait", cobra.FixedCompletions([]cobra.Completion{"sent", "delivered"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// pictures reads the files that are to be sent.
func pictures(files []string) (all [][]byte, err error) {
	if len(files) > chat.MaxAlbum {
		return nil, fault.New(fault.Usage, "%d pictures are too many for one message, %d at most", len(files), chat.MaxAlbum)
	}
	for _, name := range files {
		data, err := readPicture(name)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "--file", err)
		}
		all = append(all, data)
	}
	return all, nil
}

func readPicture(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	most := picture.Input().Bytes
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return data, err
}

// text is the argument, else standard input without the line break at its end.
func (a *app) text(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	if _, ok := a.terminal(); ok {
		a.say("Write the message; end it with ctrl-d.")
	}
	raw, err := io.ReadAll(io.LimitReader(a.in, maxText+1))
	if err != nil {
		return "", fault.Wrap(fault.Usage, "reading the message from standard input", err)
	}
	if len(raw) > maxText {
		return "", fault.New(fault.Usage, "the message on standard input has more than %d bytes", maxText)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"), nil
}

func (a *app) send(ctx context.Context, to, text string, images [][]byte, f sendFlags) error {
	if strings.TrimSpace(text) == "" && len(images) == 0 {
		return fault.New(fault.Usage, "the message is empty")
	}
	c, wait := a.client(), chat.State(f.wait)
	var since uint64
	if wait != "" {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		since = s.LastEvent
	}
	m, err := c.Send(ctx, to, text, parley.SendOptions{ReplyTo: f.reply, Images: images, Preview: f.preview, Mention: f.mention})
	if err != nil {
		return err
	}
	var waited error
	if wait != "" {
		m.State, waited = await(ctx, c, since, m, wait, f.timeout)
	}
	if err := a.print(m, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s\n", m.ID, m.State)
		return err
	}); err != nil {
		return err
	}
	return waited
}

// errReached ends the reading of events.
var errReached = errors.New("reached")

// await follows a message until it has come so far, and returns its state.
func await(ctx context.Context, c *client.Client, since uint64, m parley.Message, wait chat.State, timeout time.Duration) (chat.State, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	state := m.State
	err := c.Events(limited, since, true, func(e parley.Event) error {
		if e.Type != parley.EventMessageState {
			return nil
		}
		data, err := e.Decode()
		if err != nil {
			return err
		}
		change, ok := data.(*parley.StateChange)
		if !ok || change.ID != m.ID {
			return nil
		}
		state = change.State
		switch {
		case state == chat.Failed:
			return fault.New(fault.Internal, "the message could not be sent: %s", change.Why)
		case state == wait, state == chat.Delivered:
			return errReached
		}
		return nil
	})
	switch {
	case errors.Is(err, errReached):
		return state, nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return state, fault.New(fault.Timeout, "the message is %s, not %s, after %s", state, wait, timeout).
			WithHint("it goes on by itself; see `parley messages` and `parley doctor`")
	}
	return state, err
}
