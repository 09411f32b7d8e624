package view

import (
	"github.com/parley-im/parley/app/device"
)

// Device is a device of our own account.
type Device struct {
	// ID is its installation id, a UUID.
	ID string `json:"id"`
	// Name is what it calls itself, and Type is ios, android or desktop, or what
	// a later client says; both are absent for one that has not said so.
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
	// This is the device that says so.
	This bool `json:"this"`
	// Paired says that what is sent and done here goes to it, too. The other way
	// round, it has to be paired there.
	Paired bool `json:"paired"`
	// Asks says that it was paired with this one there, but not here with it.
	Asks bool `json:"asks,omitempty"`
	// Written says that messages are encrypted for it: those paired that were seen
	// last are, three at most.
	Written bool `json:"written"`
	// Seen is the time of its newest bundle of keys, in milliseconds, absent for
	// this device.
	Seen int64 `json:"seen,omitempty"`
}

// NewDevice shows a device.
func NewDevice(d device.Device) Device {
	v := Device{ID: d.ID, Name: d.Name, Type: d.Type, This: d.This, Paired: d.Paired, Asks: d.Asks, Written: d.Written}
	if !d.Seen.IsZero() {
		v.Seen = d.Seen.UnixMilli()
	}
	return v
}

// DeviceChange is a device with what has happened to it.
type DeviceChange struct {
	Device
	// Change is new, named, asks, paired or unpaired.
	Change string `json:"change"`
}
