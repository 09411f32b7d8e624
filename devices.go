package parley

import (
	"context"

	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/stack/view"
)

// Device is a device of this account.
type Device = view.Device

// Devices returns the devices of this account that are known, this one first.
// Another is known once it has been online with the account; both write to each
// other once they were paired on both.
func (c *Client) Devices(context.Context) ([]Device, error) {
	known, err := c.stack.Devices()
	if err != nil {
		return nil, err
	}
	all := make([]Device, 0, len(known))
	for _, d := range known {
		all = append(all, view.NewDevice(d))
	}
	return all, nil
}

// NameDevice gives this device a name, which our other devices are told.
func (c *Client) NameDevice(_ context.Context, name string) (Device, error) {
	return showDevice(c.stack.NameDevice(name))
}

// PairDevice lets this device write to another one of ours from now on: what is
// said here shows there, and the contacts are kept in step. The other is to be
// told likewise, on itself. which is its id, the beginning of it, or its name.
func (c *Client) PairDevice(_ context.Context, which string) (Device, error) {
	return showDevice(c.stack.PairDevice(which))
}

// UnpairDevice makes this device write to another one of ours no more; which is as
// for PairDevice. That device is to be told likewise, on itself.
func (c *Client) UnpairDevice(_ context.Context, which string) (Device, error) {
	return showDevice(c.stack.UnpairDevice(which))
}

func showDevice(d device.Device, err error) (Device, error) {
	if err != nil {
		return Device{}, err
	}
	return view.NewDevice(d), nil
}
