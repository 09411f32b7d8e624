package stack

import (
	"reflect"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/app/picture"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// TestPortrait takes what moves with an account from one database to another,
// where the next stack finds it.
func TestPortrait(t *testing.T) {
	t.Parallel()
	first, second := storage.NewMemory(), storage.NewMemory()
	defer first.Close()
	defer second.Close()
	now := time.Unix(1700000000, 0)
	configured := contact.Profile{DisplayName: "Alice"}
	load := func(db *storage.DB) (p Portrait) {
		t.Helper()
		if err := db.View(func(tx *storage.Tx) (err error) { p, err = LoadPortrait(tx, "device", configured); return err }); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if got := load(first); !reflect.DeepEqual(got, NewPortrait(configured)) || got.Device.Name == "" || got.Device.Type == "" {
		t.Errorf("of an empty database: %+v", got)
	}
	var friends [3]key.Public
	for i := range friends {
		k, err := key.PrivateFromBytes(append(make([]byte, 31), byte(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		friends[i] = k.Public()
	}
	want := Portrait{
		Profile:  contact.Profile{DisplayName: "Alice", Bio: "I am who I am", Color: 7},
		Pictures: picture.Set{picture.Large: {Format: picture.JPEG, Width: 2, Height: 2, Data: []byte("picture")}}, ShowTo: picture.Everyone,
		Device: device.Metadata{Name: "A phone", Type: device.Android},
	}
	err := first.Update(func(tx *storage.Tx) error {
		if _, err := StorePortrait(tx, "device", configured, want, now); err != nil {
			return err
		}
		for i, c := range []contact.Contact{
			{Key: friends[0], Local: contact.Sent, LocalClock: 1000, Remote: contact.Received, RemoteClock: 1001, DisplayName: "Bobby"},
			{Key: friends[1], Nickname: "Carol", NotedClock: 1002},
			{Key: friends[2], DisplayName: "of whom others know as much"},
		} {
			if err := tx.PutContact(c); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	moved := load(first)
	if len(moved.Contacts) != 2 {
		t.Errorf("%d contacts", len(moved.Contacts))
	}
	// What another device says need not make sense.
	moved.Contacts = append(moved.Contacts, &apppb.SyncInstallationContactV2{Id: "nobody"}, &apppb.SyncInstallationContactV2{
		Id: friends[2].Hex(), ContactRequestLocalState: 99, ContactRequestLocalClock: 1,
	}, nil)
	err = second.Update(func(tx *storage.Tx) error {
		n, err := StorePortrait(tx, "device", configured, moved, now)
		if n != 2 {
			t.Errorf("%d contacts taken", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := load(second)
	moved.Contacts, want.Contacts = moved.Contacts[:2], moved.Contacts[:2]
	if !reflect.DeepEqual(got.Profile, want.Profile) || !reflect.DeepEqual(got.Pictures, want.Pictures) || got.Device != want.Device || len(got.Contacts) != 2 {
		t.Errorf("%+v, want %+v", got, want)
	}
	err = second.View(func(tx *storage.Tx) error {
		c, err := tx.Contact(friends[0])
		if c.State() != contact.StateMutual || c.DisplayName != "Bobby" {
			t.Errorf("%+v", c)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	s := Stack{db: second}
	if err := s.loadSelf(configured); err != nil || s.Profile() != want.Profile || s.me.Load().pictures.ShowTo != picture.Everyone {
		t.Errorf("the stack has %+v, %v", s.Profile(), err)
	}
}
