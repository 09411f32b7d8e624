package storage

import (
	"reflect"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
)

// What was signed goes with its message, however that goes.
func TestUnsent(t *testing.T) {
	t.Parallel()
	db := NewMemory()
	u := Unsent{Type: 1, Raw: []byte("signed"), Timestamp: 7, To: []key.Public{someone(t, 1)}}
	m := textMessage(t, "room", 1, 1, 1, "text")
	for name, end := range map[string]func(tx *Tx) error{
		"deleted for everyone": func(tx *Tx) error {
			gone := *m
			gone.Deleted = &chat.Deleted{}
			return tx.PutMessage(&gone)
		},
		"deleted": func(tx *Tx) error { return tx.DeleteMessage(m.ID) },
		"cleared": func(tx *Tx) error {
			if err := tx.PutChat(chat.Chat{ID: "room", LastClock: 1}); err != nil {
				return err
			}
			_, err := tx.ClearHistory("room")
			return err
		},
	} {
		if err := db.Update(func(tx *Tx) error {
			if err := tx.PutMessage(m); err != nil {
				return err
			}
			return tx.PutUnsent(m.ID, u)
		}); err != nil {
			t.Fatal(err)
		}
		look := func() (got Unsent, ok bool) {
			if err := db.View(func(tx *Tx) (err error) {
				got, ok, err = tx.Unsent(m.ID)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return got, ok
		}
		if got, ok := look(); !ok || !reflect.DeepEqual(got, u) {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
		if err := db.Update(end); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			var err error
			if more, err = db.Work(); err != nil {
				t.Fatal(err)
			}
		}
		if got, ok := look(); ok {
			t.Errorf("%s: %+v is left", name, got)
		}
		if err := db.Update(func(tx *Tx) error { return tx.PutChat(chat.Chat{ID: "room"}) }); err != nil {
			t.Fatal(err)
		}
	}
}
