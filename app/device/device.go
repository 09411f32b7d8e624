// Package device is what the devices of one person say to each other: who they
// are, and what they know of contacts. It holds rules and values only.
//
// Sources: 62/STATUS-PAYLOADS, SyncPairInstallation and
// SyncInstallationContactV2; 54/WAKU2-X3DH-SESSIONS, Pairing, for what a device
// is. What the specifications leave open is as deployed clients (status-go) have
// it.
package device

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Limits of what a device says of itself. Deployed clients have none.
const (
	// MaxName and MaxType are in characters, MaxID is in bytes: that of the
	// encryption layer.
	MaxName = 100
	MaxType = 32
	MaxID   = 64
)

// The types of devices that 62/STATUS-PAYLOADS names.
const (
	IOS     = "ios"
	Android = "android"
	Desktop = "desktop"
)

// Errors of what is said of a device.
var (
	ErrName = errors.New("not the name of a device")
	ErrType = errors.New("not a type of device")
	ErrID   = errors.New("not the id of a device")
)

// TypeOf returns the type of a device that runs an operating system, by the
// name that Go has for it.
func TypeOf(goos string) string {
	switch goos {
	case "ios":
		return IOS
	case "android":
		return Android
	}
	return Desktop
}

// Metadata is what a device says of itself.
type Metadata struct {
	Name string `json:"name"`
	// Type is ios, android or desktop, or what a later client says.
	Type string `json:"type"`
	// Clock is when it said so, in milliseconds.
	Clock uint64 `json:"clock"`
}

// CheckName checks the name of a device: something that can be shown, of 100
// characters at most. It returns the name without the space around it.
func CheckName(name string) (string, error) { return check(name, MaxName, ErrName) }

// check checks a text that has to say something, on one line.
func check(text string, most int, bad error) (string, error) {
	text = strings.TrimSpace(text)
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		return "", fmt.Errorf("%w: it is blank", bad)
	case n > most:
		return "", fmt.Errorf("%w: %d characters, at most %d", bad, n, most)
	case !utf8.ValidString(text):
		return "", fmt.Errorf("%w: no UTF-8", bad)
	}
	for _, r := range text {
		if !unicode.IsGraphic(r) && r != zeroWidthJoiner {
			return "", fmt.Errorf("%w: %q cannot be shown", bad, r)
		}
	}
	return text, nil
}

// zeroWidthJoiner holds emoji of several parts together.
const zeroWidthJoiner = '\u200d'

func checkID(id string) error {
	switch {
	case strings.TrimSpace(id) == "", !utf8.ValidString(id):
		return fmt.Errorf("%w: %q", ErrID, id)
	case len(id) > MaxID:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrID, len(id), MaxID)
	}
	return nil
}

// Announcement is a SyncPairInstallation: a device says who it is.
type Announcement struct {
	ID string
	Metadata
	// Target is the device that it was paired with there, empty for none.
	Target string
}

// Message returns the announcement as it goes over the wire.
func (a Announcement) Message() *apppb.SyncPairInstallation {
	return &apppb.SyncPairInstallation{
		Clock: a.Clock, InstallationId: a.ID, DeviceType: a.Type, Name: a.Name, TargetInstallationId: a.Target,
	}
}

// Read checks a SyncPairInstallation: its clock against the time of the Waku
// message, and that it has an id, a name and a type. Errors: ErrID, ErrName,
// ErrType and those of message.CheckClock.
func Read(m *apppb.SyncPairInstallation, wakuTime time.Time) (a Announcement, err error) {
	if err := message.CheckClock(m.GetClock(), wakuTime); err != nil {
		return a, err
	}
	if err := checkID(m.GetInstallationId()); err != nil {
		return a, err
	}
	if m.GetTargetInstallationId() != "" {
		if err := checkID(m.GetTargetInstallationId()); err != nil {
			return a, err
		}
	}
	name, err := CheckName(m.GetName())
	if err != nil {
		return a, err
	}
	kind, err := check(m.GetDeviceType(), MaxType, ErrType)
	if err != nil {
		return a, err
	}
	return Announcement{m.GetInstallationId(), Metadata{name, kind, m.GetClock()}, m.GetTargetInstallationId()}, nil
}

// Receive takes over what a device said of itself if it is newer.
func (m Metadata) Receive(newer Metadata) Metadata {
	if newer.Clock > m.Clock {
		return newer
	}
	return m
}

// Device is a device of ours.
type Device struct {
	// ID is its installation id, a UUID.
	ID string
	// Name and Type are empty for one that has not said them.
	Name, Type string
	// This is the device that we are on.
	This bool
	// Paired says that what is sent here goes to it, too, and Asks that it has
	// been paired there with this one, but not here with it.
	Paired, Asks bool
	// Written says that messages are encrypted for it: of those paired, to the
	// ones that were seen last.
	Written bool
	// Seen is the time of its newest bundle; zero for this one.
	Seen time.Time
}

// Sort orders devices for being shown: this one, those that are paired, those
// that were seen last.
func Sort(all []Device) {
	first := func(a, b bool) int {
		switch {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	}
	slices.SortFunc(all, func(a, b Device) int {
		return cmp.Or(first(a.This, b.This), first(a.Paired, b.Paired), b.Seen.Compare(a.Seen), cmp.Compare(a.ID, b.ID))
	})
}

// Errors of Find.
var (
	ErrUnknown   = errors.New("no such device")
	ErrAmbiguous = errors.New("several devices are called so")
)

// minPrefix is how much of an id names a device at least.
const minPrefix = 4

// Find finds a device by its id, the beginning of it, or its name. Errors:
// ErrUnknown, ErrAmbiguous.
func Find(all []Device, who string) (Device, error) {
	for _, is := range []func(d Device) bool{
		func(d Device) bool { return d.ID == who },
		func(d Device) bool { return d.Name != "" && strings.EqualFold(d.Name, strings.TrimSpace(who)) },
		func(d Device) bool {
			return len(who) >= minPrefix && len(who) <= len(d.ID) && strings.EqualFold(d.ID[:len(who)], who)
		},
	} {
		var found []Device
		for _, d := range all {
			if is(d) {
				found = append(found, d)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return Device{}, fmt.Errorf("%w: %q", ErrAmbiguous, who)
		}
	}
	return Device{}, fmt.Errorf("%w: %q", ErrUnknown, who)
}
