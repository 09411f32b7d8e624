package client

import (
	"context"

	"github.com/parley-im/parley"
)

// Profile returns what others are told about us.
func (c *Client) Profile(ctx context.Context) (parley.Profile, error) {
	return get[parley.Profile](ctx, c, "/profile", nil)
}

// ProfileQR returns the link by which others add us as a QR code, a PNG.
func (c *Client) ProfileQR(ctx context.Context) (parley.Picture, error) {
	return c.picture(ctx, "/profile/qr", nil)
}

// SetProfile changes what others are told about us, and tells them.
func (c *Client) SetProfile(ctx context.Context, change parley.ProfileChange) (parley.Profile, error) {
	return post[parley.Profile](ctx, c, "/profile", change)
}

// SetPicture gives our profile a picture, shown to everyone, contacts or
// nobody.
func (c *Client) SetPicture(ctx context.Context, data []byte, showTo string) (parley.Profile, error) {
	return post[parley.Profile](ctx, c, "/profile/picture", struct {
		Image  []byte `json:"image"`
		ShowTo string `json:"show_to"`
	}{data, showTo})
}

// ClearPicture takes the picture of our profile away.
func (c *Client) ClearPicture(ctx context.Context) (parley.Profile, error) {
	return post[parley.Profile](ctx, c, "/profile/picture/clear", nil)
}

// SetPresence tells all who listen whether we are there: automatic,
// do_not_disturb, always_online or inactive, and a word about it.
func (c *Client) SetPresence(ctx context.Context, presence, text string) (parley.Profile, error) {
	return post[parley.Profile](ctx, c, "/profile/presence", struct {
		Presence string `json:"presence"`
		Text     string `json:"text,omitempty"`
	}{presence, text})
}

// Settings returns the account's settings.
func (c *Client) Settings(ctx context.Context) (parley.Settings, error) {
	return get[parley.Settings](ctx, c, "/settings", nil)
}

// SetContactsOnly refuses messages of strangers from now on, or no longer.
func (c *Client) SetContactsOnly(ctx context.Context, on bool) (parley.Settings, error) {
	return post[parley.Settings](ctx, c, "/settings", map[string]bool{"contacts_only": on})
}

// SetPresenceUpdates tells all who listen every five minutes that we are there,
// or no longer.
func (c *Client) SetPresenceUpdates(ctx context.Context, on bool) (parley.Settings, error) {
	return post[parley.Settings](ctx, c, "/settings", map[string]bool{"presence_updates": on})
}
