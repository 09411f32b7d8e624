package parley

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
)

// Contact is somebody the account knows, as API and command line show it.
type Contact struct {
	// Key prints as zQ3sh…; PublicKey is the same as 0x04….
	Key       key.Public `json:"key"`
	PublicKey string     `json:"public_key"`
	// Name is the nickname given here, else the name the contact gives, else
	// the alias.
	Name        string `json:"name"`
	Alias       string `json:"alias"`
	Nickname    string `json:"nickname,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	Bio         string `json:"bio,omitempty"`
	// State is sent, received, mutual or none.
	State   contact.State `json:"state"`
	Blocked bool          `json:"blocked"`
	// Declined tells that we declined the contact's request.
	Declined bool `json:"declined,omitempty"`
}

func newContact(c contact.Contact) Contact {
	alias := account.Alias(c.Key)
	return Contact{
		Key:         c.Key,
		PublicKey:   c.Key.Hex(),
		Name:        cmp.Or(c.Nickname, c.DisplayName, alias),
		Alias:       alias,
		Nickname:    c.Nickname,
		DisplayName: c.DisplayName,
		Bio:         c.Bio,
		State:       c.State(),
		Blocked:     c.Blocked,
		Declined:    c.IsDismissed(),
	}
}

// named reports whether a person would call the contact so.
func named(c contact.Contact, name string) bool {
	return name != "" && (strings.EqualFold(c.Nickname, name) || strings.EqualFold(c.DisplayName, name) || strings.EqualFold(account.Alias(c.Key), name))
}

// shareKey reads the key out of a user's share URL.
func shareKey(text string) (key.Public, bool) {
	u, err := share.Parse(text)
	if err != nil || u.Kind != share.User || u.Key.IsZero() {
		return key.Public{}, false
	}
	return u.Key, true
}

// Contacts returns everybody the account knows, by name.
func (c *Client) Contacts(context.Context) ([]Contact, error) {
	known, err := c.stack.Contacts()
	if err != nil {
		return nil, err
	}
	all := make([]Contact, 0, len(known))
	for _, k := range known {
		all = append(all, newContact(k))
	}
	slices.SortFunc(all, func(a, b Contact) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.PublicKey, b.PublicKey))
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
		return Contact{}, fault.New(fault.Usage, "that is this account itself")
	}
	known, err := do(pub)
	if err != nil {
		return Contact{}, err
	}
	return newContact(known), nil
}
