package parley

import (
	"cmp"
	"context"

	"rsc.io/qr"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
)

// Profile is what others are told about us.
type Profile = view.Profile

// Profile returns what others are told about us.
func (c *Client) Profile(context.Context) (Profile, error) { return c.stack.ShowProfile() }

// ProfileQR returns the link by which others add us as a QR code, a PNG, for
// them to scan.
func (c *Client) ProfileQR(ctx context.Context) (Picture, error) {
	p, err := c.Profile(ctx)
	if err != nil {
		return Picture{}, err
	}
	code, err := qr.Encode(p.Link, qr.L)
	if err != nil {
		return Picture{}, fault.Wrap(fault.Internal, "making the QR code", err)
	}
	side := code.Image().Bounds()
	return Picture{picture.PNG.MIME(), side.Dx(), side.Dy(), code.PNG()}, nil
}

// ProfileChange is what is to be told about us from now on; nil stays as it is.
type ProfileChange struct {
	Name *string `json:"name,omitempty"`
	Bio  *string `json:"bio,omitempty"`
	// Color is the word for a customisation colour, empty for none.
	Color *string `json:"color,omitempty"`
}

// SetProfile changes what others are told about us, and tells them.
func (c *Client) SetProfile(ctx context.Context, change ProfileChange) (Profile, error) {
	p := c.stack.Profile()
	if change.Name != nil {
		p.DisplayName = *change.Name
	}
	if change.Bio != nil {
		p.Bio = *change.Bio
	}
	if change.Color != nil {
		p.Color = 0
		if name := *change.Color; name != "" {
			id, ok := contact.ColorID(name)
			if !ok {
				return Profile{}, fault.New(fault.Usage, "%q is no colour of a profile", name)
			}
			p.Color = id
		}
	}
	if _, err := c.stack.SetProfile(p.DisplayName, p.Bio, p.Color); err != nil {
		return Profile{}, err
	}
	return c.Profile(ctx)
}

// SetPicture gives our profile a picture, PNG, JPEG, WebP or GIF, of which the
// middle is shown, to everyone, contacts or nobody.
func (c *Client) SetPicture(ctx context.Context, data []byte, showTo string) (Profile, error) {
	if err := c.stack.SetPicture(data, picture.ShowTo(showTo)); err != nil {
		return Profile{}, err
	}
	return c.Profile(ctx)
}

// ClearPicture takes the picture of our profile away.
func (c *Client) ClearPicture(ctx context.Context) (Profile, error) {
	if err := c.stack.ClearPicture(); err != nil {
		return Profile{}, err
	}
	return c.Profile(ctx)
}

// SetPresence tells all who listen whether we are there: automatic,
// do_not_disturb, always_online or inactive, and a word about it.
func (c *Client) SetPresence(ctx context.Context, presence, text string) (Profile, error) {
	if _, err := c.stack.SetStatus(contact.Presence(presence), text); err != nil {
		return Profile{}, err
	}
	return c.Profile(ctx)
}

// ownName is what we are called.
func (c *Client) ownName() string {
	return cmp.Or(c.stack.Profile().DisplayName, account.Alias(c.Self()))
}

// Settings are what the account's owner decides.
type Settings struct {
	// ContactsOnly refuses messages of those who are no contacts, but for
	// contact requests.
	ContactsOnly bool `json:"contacts_only"`
	// PresenceUpdates tells all who listen every five minutes that we are
	// there.
	PresenceUpdates bool `json:"presence_updates"`
}

// Settings returns the account's settings.
func (c *Client) Settings(context.Context) (s Settings, err error) {
	if s.ContactsOnly, err = c.stack.ContactsOnly(); err != nil {
		return s, err
	}
	s.PresenceUpdates, err = c.stack.StatusUpdates()
	return s, err
}

// SetContactsOnly refuses messages of strangers from now on, or no longer.
func (c *Client) SetContactsOnly(ctx context.Context, on bool) (Settings, error) {
	if err := c.stack.SetContactsOnly(on); err != nil {
		return Settings{}, err
	}
	return c.Settings(ctx)
}

// SetPresenceUpdates tells all who listen every five minutes that we are there,
// or no longer.
func (c *Client) SetPresenceUpdates(ctx context.Context, on bool) (Settings, error) {
	if err := c.stack.SetStatusUpdates(on); err != nil {
		return Settings{}, err
	}
	return c.Settings(ctx)
}
