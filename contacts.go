package parley

import (
	"context"
	"slices"
	"strings"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
)

// Person is somebody by their key, in both its forms.
type Person = view.Person

// Contact is somebody the account knows.
type Contact = view.Contact

func newPerson(pub key.Public) Person { return view.NewPerson(pub) }

// verified is the ENS name that was found to be the contact's.
func verified(c contact.Contact) string { return view.VerifiedENS(c) }

// named reports whether a person would call the contact so.
func named(c contact.Contact, name string) bool {
	if name == "" {
		return false
	}
	return strings.EqualFold(c.Nickname, name) || strings.EqualFold(verified(c), name) ||
		strings.EqualFold(c.DisplayName, name) || strings.EqualFold(account.Alias(c.Key), name)
}

// Contacts returns everybody the account knows, by name.
func (c *Client) Contacts(context.Context) ([]Contact, error) {
	all, err := c.stack.ShowContacts()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Contact) int {
		return strings.Compare(placeOfContact(a), placeOfContact(b))
	})
	return all, nil
}

// Contact returns one contact; who is addressed as Resolve reads it. A key
// that nothing is known of is a contact in state none.
func (c *Client) Contact(ctx context.Context, who string) (Contact, error) {
	return c.with(ctx, who, c.stack.Contact)
}

// AddContact sends a contact request with a text; a request that the other
// side has already sent is accepted with it.
func (c *Client) AddContact(ctx context.Context, who, text string) (Contact, error) {
	return c.with(ctx, who, func(pub key.Public) (contact.Contact, error) { return c.stack.AddContact(pub, text) })
}

// AcceptContact accepts a received request.
func (c *Client) AcceptContact(ctx context.Context, who string) (Contact, error) {
	return c.with(ctx, who, c.stack.AcceptContact)
}

// RejectContact declines a received request; the other side is not told.
func (c *Client) RejectContact(ctx context.Context, who string) (Contact, error) {
	return c.with(ctx, who, c.stack.DeclineContact)
}

// RemoveContact ends the contact, or takes a request back, and tells the other
// side.
func (c *Client) RemoveContact(ctx context.Context, who string) (Contact, error) {
	return c.with(ctx, who, c.stack.RemoveContact)
}

// BlockContact drops everything that comes from somebody.
func (c *Client) BlockContact(ctx context.Context, who string) (Contact, error) {
	return c.with(ctx, who, c.stack.BlockContact)
}

// UnblockContact takes a block back.
func (c *Client) UnblockContact(ctx context.Context, who string) (Contact, error) {
	return c.with(ctx, who, c.stack.UnblockContact)
}

// RenameContact gives somebody a name of our own; empty takes it back.
func (c *Client) RenameContact(ctx context.Context, who, nickname string) (Contact, error) {
	return c.with(ctx, who, func(pub key.Public) (contact.Contact, error) { return c.stack.RenameContact(pub, nickname) })
}

func (c *Client) with(ctx context.Context, who string, do func(key.Public) (contact.Contact, error)) (Contact, error) {
	pub, err := c.Resolve(ctx, who)
	if err != nil {
		return Contact{}, err
	}
	if pub == c.Self() {
		return Contact{}, errSelf()
	}
	known, err := do(pub)
	if err != nil {
		return Contact{}, err
	}
	return c.stack.ShowContact(known)
}

func errSelf() error { return fault.New(fault.Usage, "that is this account itself") }
