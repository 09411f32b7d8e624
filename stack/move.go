package stack

import (
	"runtime"
	"time"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/app/picture"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// Portrait is what of an account, besides its keys, moves from one device to
// another while no Stack runs on it.
type Portrait struct {
	// Profile is what others are told about its user.
	contact.Profile
	// Pictures are those of the profile, shown to ShowTo.
	Pictures picture.Set
	ShowTo   picture.ShowTo
	// Device is what this device is called.
	Device device.Metadata
	// Contacts are told in messages as for other devices of the account.
	Contacts []*apppb.SyncInstallationContactV2
}

// LoadPortrait reads a portrait from the database of an account. configured is
// the profile of its configuration.
func LoadPortrait(tx *storage.Tx, installationID string, configured contact.Profile) (p Portrait, err error) {
	p = NewPortrait(configured)
	r, ok, err := storage.GetRecord[profileRecord](tx, storage.Settings, ownProfile)
	if err != nil {
		return Portrait{}, err
	}
	if ok && r.Configured == configured {
		p.Profile = r.Profile
	}
	pictures, _, err := storage.GetRecord[ownPictures](tx, storage.Settings, ownPicture)
	if err != nil {
		return Portrait{}, err
	}
	p.Pictures, p.ShowTo = pictures.Set, pictures.ShowTo
	own, ok, err := storage.GetRecord[deviceRecord](tx, storage.Devices, installationID)
	if err != nil {
		return Portrait{}, err
	}
	if ok {
		p.Device = own.Metadata
	}
	contacts, err := tx.Contacts()
	if err != nil {
		return Portrait{}, err
	}
	for _, c := range contacts {
		if device.Synced(c) {
			p.Contacts = append(p.Contacts, device.ContactMessage(c))
		}
	}
	return p, nil
}

// NewPortrait is that of an account without a database.
func NewPortrait(configured contact.Profile) Portrait {
	return Portrait{Profile: configured, Device: device.Metadata{Name: "Parley on " + runtime.GOOS, Type: device.TypeOf(runtime.GOOS)}}
}

// StorePortrait writes a portrait into the new database of an account, for its
// first Stack. configured is the profile of its configuration. It returns how
// many contacts it has taken; what breaks a rule is passed over.
func StorePortrait(tx *storage.Tx, installationID string, configured contact.Profile, p Portrait, now time.Time) (contacts int, err error) {
	if err := storage.PutRecord(tx, storage.Settings, ownProfile, profileRecord{p.Profile, configured}); err != nil {
		return 0, err
	}
	if len(p.Pictures) > 0 {
		if err := storage.PutRecord(tx, storage.Settings, ownPicture, ownPictures{p.ShowTo, p.Pictures}); err != nil {
			return 0, err
		}
	}
	if err := storage.PutRecord(tx, storage.Devices, installationID, deviceRecord{Metadata: p.Device}); err != nil {
		return 0, err
	}
	for _, m := range p.Contacts {
		who, err := device.ContactKey(m)
		if err != nil {
			continue
		}
		before, err := tx.Contact(who)
		if err != nil {
			return contacts, err
		}
		after, err := device.Merge(before, m, contact.Incoming{WakuTime: now, IsAlias: account.IsAlias})
		if err != nil || after == before {
			continue
		}
		if err := tx.PutContact(after); err != nil {
			return contacts, err
		}
		contacts++
	}
	return contacts, nil
}
