package stack

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// The devices of our own account (54/WAKU2-X3DH-SESSIONS, Pairing). They know of
// each other by the bundles of their contact codes, say to each other what they
// are called, and, once a person has paired them, write to each other as to
// everybody else. Pairing is done on each of two devices for itself, and so is
// taking it back.

// EventDevice means that another device of ours is known, or that one was named,
// paired or unpaired, or asks to be paired here, having been paired with this one
// there.
const EventDevice = "device"

// What has happened to a device, in events.
const (
	deviceNew      = "new"
	deviceNamed    = "named"
	deviceAsks     = "asks"
	devicePaired   = "paired"
	deviceUnpaired = "unpaired"
)

// deviceRecord is what is kept of a device beside what the encryption layer
// knows.
type deviceRecord struct {
	device.Metadata
	// Asks: it was paired with this one there.
	Asks bool `json:"asks,omitempty"`
	// Told: of this one, the others were told what it is called.
	Told bool `json:"told,omitempty"`
}

// errNoDevice means that a device says something of one that has not published
// its keys.
var errNoDevice = errors.New("of a device that is not known")

// ownDevice returns what this device is called.
func (s *Stack) ownDevice(tx *storage.Tx) (r deviceRecord, err error) {
	r, ok, err := storage.GetRecord[deviceRecord](tx, storage.Devices, s.session.InstallationID)
	if err == nil && !ok {
		r.Metadata = device.Metadata{Name: "Parley on " + runtime.GOOS, Type: device.TypeOf(runtime.GOOS)}
	}
	return r, err
}

// devices lists our devices, this one first. The encryption layer writes to
// those that are enabled, the MaxTargets of them that were seen last.
func (s *Stack) devices(tx *storage.Tx) ([]device.Device, error) {
	own, err := s.ownDevice(tx)
	if err != nil {
		return nil, err
	}
	all := []device.Device{{ID: s.session.InstallationID, Name: own.Name, Type: own.Type, This: true}}
	known, err := s.session.Installations(tx.Core("session"), s.Self())
	if err != nil {
		return nil, err
	}
	targets := 0
	for _, i := range known {
		r, _, err := storage.GetRecord[deviceRecord](tx, storage.Devices, i.ID)
		if err != nil {
			return nil, err
		}
		d := device.Device{ID: i.ID, Name: r.Name, Type: r.Type, Paired: i.Enabled, Asks: r.Asks && !i.Enabled, Seen: i.LastSeen}
		if i.Enabled {
			targets++
			d.Written = targets <= session.MaxTargets
		}
		all = append(all, d)
	}
	device.Sort(all)
	return all, nil
}

// Devices returns the devices of this account that are known, this one first.
func (s *Stack) Devices() (all []device.Device, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		all, err = s.devices(tx)
		return err
	})
	return all, err
}

// deviceEvent tells of a change of a device, and returns it as it is now.
func (s *Stack) deviceEvent(t *step, id, change string) (d device.Device, err error) {
	all, err := s.devices(t.Tx)
	if err != nil {
		return d, err
	}
	i := slices.IndexFunc(all, func(d device.Device) bool { return d.ID == id })
	if i < 0 {
		return d, fmt.Errorf("%w: %q", errNoDevice, id)
	}
	return all[i], t.event(EventDevice, view.DeviceChange{Device: view.NewDevice(all[i]), Change: change})
}

// NameDevice gives this device a name, and tells our other devices.
func (s *Stack) NameDevice(name string) (d device.Device, err error) {
	name, err = device.CheckName(name)
	if err != nil {
		return d, fault.Wrap(fault.Usage, "naming the device", err)
	}
	err = s.update(func(t *step) error {
		own, err := s.ownDevice(t.Tx)
		if err != nil {
			return err
		}
		own.Name, own.Clock, own.Told = name, chat.NextClock(own.Clock, t.now), false
		if err := storage.PutRecord(t.Tx, storage.Devices, s.session.InstallationID, own); err != nil {
			return err
		}
		if err := s.tellName(t); err != nil {
			return err
		}
		d, err = s.deviceEvent(t, s.session.InstallationID, deviceNamed)
		return err
	})
	return d, err
}

// tellName tells our other devices what this one is called, unless they were
// told or there is none. It is the start of the stack that comes back to it.
func (s *Stack) tellName(t *step) error {
	own, err := s.ownDevice(t.Tx)
	if err != nil || own.Told {
		return err
	}
	return s.announceDevice(t, "")
}

// announceDevice tells all our devices, paired or not, who this one is (62/
// STATUS-PAYLOADS, SyncPairInstallation), and the target that it is paired here.
func (s *Stack) announceDevice(t *step, target string) error {
	known, err := s.session.Installations(t.Core("session"), s.Self())
	if err != nil || len(known) == 0 {
		return err
	}
	own, err := s.ownDevice(t.Tx)
	if err != nil {
		return err
	}
	own.Told = true
	if own.Clock == 0 {
		own.Clock = chat.NextClock(0, t.now)
	}
	if err := storage.PutRecord(t.Tx, storage.Devices, s.session.InstallationID, own); err != nil {
		return err
	}
	said := device.Announcement{ID: s.session.InstallationID, Metadata: own.Metadata, Target: target}
	return s.tell(t, s.Self(), apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION, said.Message())
}

// foundDevices takes note of devices of ours that a bundle has made known, and
// tells them who this one is.
func (s *Stack) foundDevices(t *step, found []session.Installation) error {
	if len(found) == 0 {
		return nil
	}
	if err := s.forgetDevices(t); err != nil {
		return err
	}
	for _, i := range found {
		if _, err := s.deviceEvent(t, i.ID, deviceNew); err != nil {
			return err
		}
	}
	return s.announceDevice(t, "")
}

// forgetDevices drops what is kept of devices that the encryption layer has
// forgotten.
func (s *Stack) forgetDevices(t *step) error {
	known, err := s.session.Installations(t.Core("session"), s.Self())
	if err != nil {
		return err
	}
	records, err := storage.Records[deviceRecord](t.Tx, storage.Devices, "")
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.ID == s.session.InstallationID || slices.ContainsFunc(known, func(i session.Installation) bool { return i.ID == r.ID }) {
			continue
		}
		if err := storage.DeleteRecord(t.Tx, storage.Devices, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// onPairInstallation takes note of what another device of ours says of itself.
func (s *Stack) onPairInstallation(t *step, in incoming) error {
	if in.Author != s.Self() {
		return errNotOwn
	}
	m := new(apppb.SyncPairInstallation)
	if err := in.read(m); err != nil {
		return err
	}
	said, err := device.Read(m, in.at)
	if err != nil || said.ID == s.session.InstallationID {
		return err
	}
	known, err := s.session.Installations(t.Core("session"), s.Self())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(known, func(i session.Installation) bool { return i.ID == said.ID })
	if i < 0 {
		return errNoDevice
	}
	before, _, err := storage.GetRecord[deviceRecord](t.Tx, storage.Devices, said.ID)
	if err != nil {
		return err
	}
	after := before
	after.Metadata = before.Receive(said.Metadata)
	after.Asks = before.Asks || said.Target == s.session.InstallationID
	if after == before {
		return nil
	}
	if err := storage.PutRecord(t.Tx, storage.Devices, said.ID, after); err != nil {
		return err
	}
	if after.Name != before.Name || after.Type != before.Type {
		if _, err := s.deviceEvent(t, said.ID, deviceNamed); err != nil {
			return err
		}
	}
	if after.Asks && !before.Asks && !known[i].Enabled {
		_, err = s.deviceEvent(t, said.ID, deviceAsks)
	}
	return err
}

// PairDevice lets this device write to another one of ours from now on, and tells
// it all that is to be in step. The other has to be told likewise, by a person.
func (s *Stack) PairDevice(who string) (device.Device, error) {
	return s.enableDevice("pairing the device", who, true)
}

// UnpairDevice makes this device write to another one of ours no more.
func (s *Stack) UnpairDevice(who string) (device.Device, error) {
	return s.enableDevice("unpairing the device", who, false)
}

// enableDevice pairs or unpairs a device: its id, the beginning of it, or its
// name.
func (s *Stack) enableDevice(op, who string, enabled bool) (d device.Device, err error) {
	err = s.update(func(t *step) error {
		all, err := s.devices(t.Tx)
		if err != nil {
			return err
		}
		found, err := device.Find(all, who)
		switch {
		case errors.Is(err, device.ErrUnknown):
			return (&fault.Error{Kind: fault.NotFound, Op: op, Err: err}).WithHint("see `parley device list`; a device is known once it has been online")
		case err != nil:
			return (&fault.Error{Kind: fault.Usage, Op: op, Err: err}).WithHint("name it by its id")
		case found.This:
			return fault.New(fault.Usage, "%s: it is this device", op)
		case found.Paired == enabled:
			d = found
			return nil
		}
		if err := s.session.SetEnabled(t.Core("session"), s.Self(), found.ID, enabled); err != nil {
			return err
		}
		if enabled {
			d, err = s.pairedDevice(t, found.ID)
		} else {
			d, err = s.unpairedDevice(t, found.ID)
		}
		if err != nil {
			return err
		}
		// The bundle lists another set of devices now.
		t.flush = true
		return s.publishContactCode(t)
	})
	return d, err
}

func (s *Stack) pairedDevice(t *step, id string) (device.Device, error) {
	if err := s.beginSync(t); err != nil {
		return device.Device{}, err
	}
	if err := s.announceDevice(t, id); err != nil {
		return device.Device{}, err
	}
	return s.deviceEvent(t, id, devicePaired)
}

func (s *Stack) unpairedDevice(t *step, id string) (d device.Device, err error) {
	r, ok, err := storage.GetRecord[deviceRecord](t.Tx, storage.Devices, id)
	if err == nil && ok {
		r.Asks = false // until it asks again
		err = storage.PutRecord(t.Tx, storage.Devices, id, r)
	}
	if err != nil {
		return d, err
	}
	if paired, err := s.paired(t.Tx); err != nil {
		return d, err
	} else if !paired {
		if err := s.dropForDevices(t); err != nil {
			return d, err
		}
	}
	return s.deviceEvent(t, id, deviceUnpaired)
}

// dropForDevices drops what our other devices have not acknowledged: it would go
// to any of them.
func (s *Stack) dropForDevices(t *step) error {
	core := t.Core("mvds")
	waiting, err := s.mvds.Unacknowledged(core, s.Self())
	if err != nil {
		return err
	}
	for _, e := range waiting {
		if err := t.DeleteRef(e.ID); err != nil {
			return err
		}
	}
	return s.mvds.ForgetPeer(core, s.Self())
}

// paired tells whether there are devices that this one writes to.
func (s *Stack) paired(tx *storage.Tx) (bool, error) {
	known, err := s.session.Installations(tx.Core("session"), s.Self())
	return slices.ContainsFunc(known, func(i session.Installation) bool { return i.Enabled }), err
}

// copied are the types of which our own paired devices get what others get, the
// same bytes (deployed clients). Contact updates and retractions do not say whom
// they are about; of these our devices hear by SYNC_INSTALLATION_CONTACT_V2.
var copied = map[message.Type]bool{
	apppb.ApplicationMetadataMessage_CHAT_MESSAGE:              true,
	apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE: true,
	apppb.ApplicationMetadataMessage_EMOJI_REACTION:            true,
	apppb.ApplicationMetadataMessage_PIN_MESSAGE:               true,
	apppb.ApplicationMetadataMessage_EDIT_MESSAGE:              true,
	apppb.ApplicationMetadataMessage_DELETE_MESSAGE:            true,
	apppb.ApplicationMetadataMessage_THREAD_METADATA:           true,
	apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST:    true,
}
