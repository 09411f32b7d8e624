package parley

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
)

// Person is a key in both its forms: Key prints as zQ3sh…, PublicKey is the
// same as 0x04….
type Person struct {
	Key       key.Public `json:"key"`
	PublicKey string     `json:"public_key"`
}

func newPerson(pub key.Public) Person { return Person{pub, pub.Hex()} }

func newPeople(keys []key.Public) []Person {
	var all []Person
	for _, k := range keys {
		all = append(all, newPerson(k))
	}
	return all
}

// Contact is somebody the account knows, as API and command line show it.
type Contact struct {
	// Key prints as zQ3sh…; PublicKey is the same as 0x04….
	Key       key.Public `json:"key"`
	PublicKey string     `json:"public_key"`
	// Name is the nickname given here, else a verified ENS name, else the name
	// the contact gives, else the alias.
	Name        string `json:"name"`
	Alias       string `json:"alias"`
	Nickname    string `json:"nickname,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	// ENSName is what the contact claims; it is theirs only if ENSVerified.
	ENSName     string `json:"ens_name,omitempty"`
	ENSVerified bool   `json:"ens_verified,omitempty"`
	Bio         string `json:"bio,omitempty"`
	// Color is the word for the contact's customisation colour.
	Color string `json:"color,omitempty"`
	// Trust is trusted or untrustworthy, as we have marked them; empty for
	// neither.
	Trust string `json:"trust,omitempty"`
	// Presence is automatic, do_not_disturb, always_online, inactive or
	// unknown; empty for somebody who has not said anything for long.
	Presence     contact.Presence `json:"presence,omitempty"`
	PresenceText string           `json:"presence_text,omitempty"`
	// AddedAt is when we first asked or accepted, Unix time in milliseconds.
	AddedAt int64 `json:"added_at,omitempty"`
	// State is sent, received, mutual or none.
	State   contact.State `json:"state"`
	Blocked bool          `json:"blocked"`
	// Declined tells that we declined the contact's request.
	Declined bool `json:"declined,omitempty"`
}

func newContact(c contact.Contact, now time.Time) Contact {
	alias := account.Alias(c.Key)
	shown := Contact{
		Key:         c.Key,
		PublicKey:   c.Key.Hex(),
		Name:        cmp.Or(c.Nickname, verified(c), c.DisplayName, alias),
		Alias:       alias,
		Nickname:    c.Nickname,
		DisplayName: c.DisplayName,
		ENSName:     c.ENSName,
		ENSVerified: c.ENSVerified,
		Bio:         c.Bio,
		Presence:    c.Status.Shown(now),
		State:       c.State(),
		Blocked:     c.Blocked,
		Declined:    c.IsDismissed(),
	}
	if c.Color != 0 {
		shown.Color = contact.ColorName(c.Color)
	}
	if c.Trust != contact.TrustUnknown {
		shown.Trust = c.Trust.String()
	}
	if shown.Presence != "" {
		shown.PresenceText = c.Status.Text
	}
	if !c.AddedAt.IsZero() {
		shown.AddedAt = c.AddedAt.UnixMilli()
	}
	return shown
}

// verified is the ENS name that was found to be the contact's.
func verified(c contact.Contact) string {
	if c.ENSVerified {
		return c.ENSName
	}
	return ""
}

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
	known, err := c.stack.Contacts()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	all := make([]Contact, 0, len(known))
	for _, k := range known {
		all = append(all, newContact(k, now))
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
		return Contact{}, errSelf()
	}
	known, err := do(pub)
	if err != nil {
		return Contact{}, err
	}
	return newContact(known, time.Now()), nil
}

func errSelf() error { return fault.New(fault.Usage, "that is this account itself") }
