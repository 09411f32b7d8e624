package main

import (
	"errors"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/pairing"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
)

// hintStop tells what to do when a daemon has what is to be sent.
const hintStop = "stop it until the account is sent: picture and contacts go along"

// configured is the profile that an account has without anything said about it.
func configured(acc *account.Account) contact.Profile { return contact.Profile{DisplayName: acc.Name} }

// outgoing gathers what is sent of an account.
func (a *app) outgoing(acc *account.Account, deviceName string) (out pairing.Outgoing, err error) {
	p, err := a.portrait(acc)
	if err != nil {
		return out, err
	}
	out.Account = acc
	if out.Device, err = thisDevice(deviceName, p.Device); err != nil {
		return out, err
	}
	now := time.Now()
	out.Profile = pairing.Profile{Name: p.DisplayName, Bio: p.Bio, Updated: now, ShowTo: audiences[p.ShowTo]}
	if p.Color != 0 {
		out.Profile.Color, out.Profile.ColorClock = contact.ColorName(p.Color), uint64(now.UnixMilli())
	}
	for _, side := range []struct {
		name   string
		target int
	}{{picture.Thumbnail, picture.ThumbnailSide}, {picture.Large, picture.LargeSide}} {
		if shown, ok := p.Pictures[side.name]; ok {
			out.Profile.Images = append(out.Profile.Images, pairing.Image{
				Name: side.name, Data: shown.Data, Width: shown.Width, Height: shown.Height, ResizeTarget: side.target, Clock: uint64(now.UnixMilli()),
			})
		}
	}
	for _, c := range p.Contacts {
		payload, err := proto.Marshal(c)
		if err != nil {
			return out, err
		}
		out.Messages = append(out.Messages, pairing.Message{Type: apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, Payload: payload})
	}
	return out, nil
}

// audiences are those of profile pictures in the numbers of pairing.
var audiences = map[picture.ShowTo]pairing.ShowTo{
	picture.Everyone: pairing.ShowToEveryone, picture.ContactsOnly: pairing.ShowToContacts, picture.Nobody: pairing.ShowToNobody,
}

// portrait reads the account's database, if it has one.
func (a *app) portrait(acc *account.Account) (p stack.Portrait, err error) {
	path := parley.DatabaseFile(a.dataDir, acc.ID)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return stack.NewPortrait(configured(acc)), nil
	}
	err = withDatabase(path, acc, func(db *storage.DB) error {
		return db.View(func(tx *storage.Tx) error {
			p, err = stack.LoadPortrait(tx, acc.InstallationID, configured(acc))
			return err
		})
	})
	return p, err
}

// withDatabase opens an account's database for a moment, under the lock that a
// client of the account takes.
func withDatabase(path string, acc *account.Account, f func(db *storage.DB) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(fault.Internal, "making the data directory", err)
	}
	lock := flock.New(path + ".lock")
	if ok, err := lock.TryLock(); err != nil {
		return fault.Wrap(fault.Internal, "locking the account", err)
	} else if !ok {
		return fault.New(fault.Conflict, "the account is in use by another process").WithHint(hintStop)
	}
	defer lock.Close()
	db, err := storage.Open(path, acc.DatabaseKey())
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}

// incoming tells of this device what the other is to know.
func incoming(deviceName string) (in pairing.Incoming, err error) {
	in.Device, err = thisDevice(deviceName, stack.NewPortrait(contact.Profile{}).Device)
	return in, err
}

// keep makes the received account, under a name of its user's if there is one,
// and what belongs to it. Without the latter the account is whole all the same.
func (a *app) keep(store *account.Store, r pairing.Received, own pairing.Device, name, password string) (*account.Account, error) {
	spec := r.Spec
	if name != "" {
		spec.Name = name
	} else if told, err := contact.CheckName(spec.Name, account.IsAlias); err != nil {
		a.say("The account's name cannot be used here: choose one with `parley profile`.")
		spec.Name = ""
	} else {
		spec.Name = told
	}
	acc, err := store.Create(spec, password)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	p := received(acc, r)
	p.Device = device.Metadata{Name: own.Name, Type: own.Type, Clock: uint64(now.UnixMilli())}
	err = withDatabase(parley.DatabaseFile(a.dataDir, acc.ID), acc, func(db *storage.DB) error {
		return db.Update(func(tx *storage.Tx) error {
			_, err := stack.StorePortrait(tx, acc.InstallationID, configured(acc), p, now)
			return err
		})
	})
	if err != nil {
		a.say("The account is here, without profile and contacts: %v", err)
	}
	return acc, nil
}

// received is the portrait that came with an account; what of it breaks a rule
// is left out.
func received(acc *account.Account, r pairing.Received) stack.Portrait {
	p := stack.NewPortrait(configured(acc))
	if full, err := (contact.Profile{DisplayName: acc.Name, Bio: r.Profile.Bio}).Check(account.IsAlias); err == nil {
		p.Profile = full
	}
	if id, ok := contact.ColorID(r.Profile.Color); ok {
		p.Color = id
	}
	largest := 0
	for _, i := range r.Profile.Images {
		if set, err := picture.Profile(i.Data, image.Rectangle{}); err == nil && len(i.Data) > largest {
			largest, p.Pictures = len(i.Data), set
		}
	}
	if p.ShowTo = picture.ContactsOnly; r.Profile.ShowTo != 0 {
		for to, number := range audiences {
			if number == r.Profile.ShowTo {
				p.ShowTo = to
			}
		}
	}
	for _, m := range r.Messages {
		c := new(apppb.SyncInstallationContactV2)
		if m.Type == apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2 && proto.Unmarshal(m.Payload, c) == nil {
			p.Contacts = append(p.Contacts, c)
		}
	}
	return p
}
