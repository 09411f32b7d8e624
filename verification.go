package parley

import (
	"cmp"
	"context"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/verify"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
)

// Verification is a question that one contact has asked another to make sure of
// them, and what became of it.
type Verification = view.Verification

// Verifications returns the questions between us and somebody, oldest first.
func (c *Client) Verifications(ctx context.Context, who string) ([]Verification, error) {
	pub, err := c.Resolve(ctx, who)
	if err != nil {
		return nil, err
	}
	known, err := c.stack.Verifications(pub)
	if err != nil {
		return nil, err
	}
	all := make([]Verification, 0, len(known))
	for _, r := range known {
		all = append(all, view.NewVerification(r))
	}
	slices.SortFunc(all, func(a, b Verification) int { return cmp.Compare(a.AskedClock, b.AskedClock) })
	return all, nil
}

// AskVerification asks a mutual contact something that only they can answer.
func (c *Client) AskVerification(ctx context.Context, who, challenge string) (Verification, error) {
	return c.verification(ctx, who, func(pub key.Public) (verify.Request, error) { return c.stack.AskVerification(pub, challenge) })
}

// AnswerVerification answers what a contact asked last.
func (c *Client) AnswerVerification(ctx context.Context, who, response string) (Verification, error) {
	return c.verification(ctx, who, func(pub key.Public) (verify.Request, error) { return c.stack.AnswerVerification(pub, response) })
}

// DeclineVerification declines what a contact asked last, and tells them so.
func (c *Client) DeclineVerification(ctx context.Context, who string) (Verification, error) {
	return c.verification(ctx, who, c.stack.DeclineVerification)
}

// CancelVerification takes our question back.
func (c *Client) CancelVerification(ctx context.Context, who string) (Verification, error) {
	return c.verification(ctx, who, c.stack.CancelVerification)
}

func (c *Client) verification(ctx context.Context, who string, do func(key.Public) (verify.Request, error)) (Verification, error) {
	pub, err := c.Resolve(ctx, who)
	if err != nil {
		return Verification{}, err
	}
	if pub == c.Self() {
		return Verification{}, errSelf()
	}
	r, err := do(pub)
	if err != nil {
		return Verification{}, err
	}
	return view.NewVerification(r), nil
}

// Trust marks somebody as trusted, untrustworthy, or unknown, which is neither.
// It is the verdict on what they answered, if they did. Nobody is told.
func (c *Client) Trust(ctx context.Context, who, mark string) (Contact, error) {
	var trust contact.Trust
	if err := trust.UnmarshalText([]byte(mark)); err != nil {
		return Contact{}, fault.Wrap(fault.Usage, "marking the contact", err)
	}
	return c.with(ctx, who, func(pub key.Public) (contact.Contact, error) { return c.stack.Trust(pub, trust) })
}
