package client

import (
	"context"

	"github.com/parley-im/parley"
)

// Devices returns the devices of this account that are known, this one first.
func (c *Client) Devices(ctx context.Context) ([]parley.Device, error) {
	return get[[]parley.Device](ctx, c, "/devices", nil)
}

// NameDevice gives the device of the daemon a name, which our other devices are
// told.
func (c *Client) NameDevice(ctx context.Context, name string) (parley.Device, error) {
	return post[parley.Device](ctx, c, "/devices/name", map[string]string{"name": name})
}

// PairDevice lets the daemon's device write to another one of ours from now on;
// which is its id, the beginning of it, or its name.
func (c *Client) PairDevice(ctx context.Context, which string) (parley.Device, error) {
	return post[parley.Device](ctx, c, place("devices", which, "pair"), nil)
}

// UnpairDevice makes the daemon's device write to another one of ours no more.
func (c *Client) UnpairDevice(ctx context.Context, which string) (parley.Device, error) {
	return post[parley.Device](ctx, c, place("devices", which, "unpair"), nil)
}
