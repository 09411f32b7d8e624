package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-im/parley"
)

// dialogue is what the two say, Alice first, in turn: twenty messages each.
var dialogue = []string{
	"Hi Bobby, can you read me?", "Loud and clear. Full client here?",
	"Yes, I relay for everybody. And you?", "Light: I filter and lightpush, nothing else.",
	"How many peers do you need for that?", "Two would be safe, one does in this demo.",
	"What does the network see of us?", "Sealed envelopes on a content topic.",
	"And which topic is ours?", "One that only we can compute, from our shared secret.",
	"So nobody reads along.", "And nobody writes in my name: everything is signed.",
	"Each message has a key of its own.", "The double ratchet. It turned when I answered.",
	"What if I lose the connection?", "Your messages wait in your outbox, on disk, sealed.",
	"And if you lose yours?", "I ask a store node for what I missed.",
	"Let us try: leave for a moment.", "Leaving now.",
	"Are you there?", "Back. I had your five messages at once.",
	"I kept talking to you.", "They came from the store, in order.",
	"You were gone.", "My database was on disk, so was my ratchet.",
	"It did not matter.", "No key was lost.",
	"See you.", "Here I am again.",
	"Did you get all five?", "All five, none twice.",
	"How do you know that I read this?", "I acknowledged it: your side says delivered.",
	"Is this the real protocol?", "Byte for byte, as deployed clients speak it.",
	"Without a server.", "Without a phone number.",
	"Good. Talk to you later!", "Later, Alice!",
}

// The lines that Alice says while Bobby is away: five in a row.
const (
	leaveAfter = 20
	awayLines  = 5
)

// Play runs the script: request, acceptance, twenty messages each way, one
// restart in the middle. It returns ErrLost unless every message arrived
// exactly once and was acknowledged.
func (d *Demo) Play(ctx context.Context) error {
	alice, bobby := d.people[0], d.people[1]
	if err := d.befriend(ctx, alice, bobby); err != nil {
		return err
	}
	var sent []*said
	speak := func(from, to *person, text string, arrives bool) error {
		s, err := d.say(ctx, from, to, text)
		if err != nil {
			return err
		}
		sent = append(sent, s)
		if arrives {
			return d.arrived(ctx, s)
		}
		return nil
	}
	for i, text := range dialogue[:leaveAfter] {
		from, to := alice, bobby
		if i%2 == 1 {
			from, to = bobby, alice
		}
		if err := speak(from, to, text, true); err != nil {
			return err
		}
	}
	d.step(Step{Kind: "restart", Who: "Bobby", Text: "stops"})
	if err := bobby.leave(); err != nil {
		return err
	}
	rest := dialogue[leaveAfter:]
	for i := range awayLines {
		if err := speak(alice, bobby, rest[2*i], false); err != nil {
			return err
		}
	}
	d.step(Step{Kind: "restart", Who: "Bobby", Text: "starts again from disk and asks the store node"})
	if err := bobby.arrive(ctx); err != nil {
		return err
	}
	for i := range awayLines {
		if err := speak(bobby, alice, rest[2*i+1], true); err != nil {
			return err
		}
	}
	for i, text := range rest[2*awayLines:] {
		from, to := alice, bobby
		if i%2 == 1 {
			from, to = bobby, alice
		}
		if err := speak(from, to, text, true); err != nil {
			return err
		}
	}
	return d.account(ctx, sent)
}

func (d *Demo) befriend(ctx context.Context, a, b *person) error {
	const hello = "It is me, Alice"
	if _, err := a.AddContact(ctx, b.Self().String(), hello); err != nil {
		return err
	}
	d.step(Step{Kind: "contact", Who: "Alice", Text: "asks Bobby to become a contact: " + hello})
	if err := until(ctx, b, "the contact request did not arrive", func(e parley.Event) bool { return e.Type == parley.EventContactRequest }); err != nil {
		return err
	}
	if _, err := b.AcceptContact(ctx, a.Self().String()); err != nil {
		return err
	}
	d.step(Step{Kind: "contact", Who: "Bobby", Text: "accepts"})
	err := until(ctx, a, "the acceptance did not arrive", func(parley.Event) bool {
		c, err := a.Contact(ctx, b.Self().String())
		return err == nil && c.State == "mutual"
	})
	if err == nil {
		d.step(Step{Kind: "contact", Who: "Alice", Text: "and Bobby are contacts"})
	}
	return err
}

// said is a message on its way.
type said struct {
	parley.Message
	from, to *person
}

func (d *Demo) say(ctx context.Context, from, to *person, text string) (*said, error) {
	m, err := from.Send(ctx, to.account.ID, text, parley.SendOptions{})
	if err != nil {
		return nil, err
	}
	d.step(Step{Kind: "said", Who: from.account.Name, Text: text})
	return &said{m, from, to}, nil
}

// arrived waits until the recipient has a message.
func (d *Demo) arrived(ctx context.Context, s *said) error {
	return until(ctx, s.to, fmt.Sprintf("%q did not arrive", s.Text), func(parley.Event) bool {
		_, err := s.to.Message(ctx, s.ID.String())
		return err == nil
	})
}

// account checks that nothing is lost, nothing is there twice and everything
// is acknowledged.
func (d *Demo) account(ctx context.Context, sent []*said) error {
	for _, s := range sent {
		if err := d.arrived(ctx, s); err != nil {
			return err
		}
		err := until(ctx, s.from, fmt.Sprintf("%q was not acknowledged", s.Text), func(parley.Event) bool {
			m, err := s.from.Message(ctx, s.ID.String())
			return err == nil && m.State == "delivered"
		})
		if err != nil {
			return err
		}
	}
	for _, p := range d.people {
		all, err := p.Messages(ctx, "", 0, 0)
		if err != nil {
			return err
		}
		if want := len(sent) + 1; len(all) != want { // and the request
			return fmt.Errorf("%w: %s has %d messages, %d were sent", ErrLost, p.account.Name, len(all), want)
		}
	}
	d.step(Step{Kind: "result", Text: fmt.Sprintf("%d messages, %d delivered and acknowledged, 0 lost, 0 twice, 1 restart", len(sent), len(sent))})
	return nil
}

// until follows a person's event stream until it is so.
func until(ctx context.Context, p *person, otherwise string, so func(parley.Event) bool) error {
	s, err := p.Status(ctx)
	if err != nil {
		return err
	}
	found := errors.New("found")
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// It may be so already: look once before following what happens next.
	if so(parley.Event{}) {
		return nil
	}
	since := s.LastEvent
	if since > 64 {
		since -= 64
	} else {
		since = 0
	}
	err = p.Events(wait, since, true, func(e parley.Event) error {
		if so(e) {
			return found
		}
		return nil
	})
	switch {
	case errors.Is(err, found):
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s within %v", ErrLost, otherwise, patience.Round(time.Second))
	}
	return err
}
