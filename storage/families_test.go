package storage

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
	storagepb "github.com/parley-im/parley/pb/storage"
)

// people remembers the keys that were made: making one costs more than most
// tests.
var people sync.Map

func someone(t testing.TB, n byte) key.Public {
	t.Helper()
	if pub, ok := people.Load(n); ok {
		return pub.(key.Public)
	}
	k, err := key.PrivateFromBytes(append(make([]byte, 31), n+1))
	must(t, err)
	people.Store(n, k.Public())
	return k.Public()
}

// inAndAfter runs a check in the transaction that writes and, on what was
// committed, in a view and in the next update.
func inAndAfter(t *testing.T, db *DB, write, check func(tx *Tx) error) {
	t.Helper()
	must(t, db.Update(func(tx *Tx) error { return errors.Join(write(tx), check(tx), tx.Try(check)) }))
	must(t, db.View(check))
	must(t, db.Update(check))
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, not %+v", what, got, want)
	}
}

func TestContacts(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		full := contact.Contact{
			Key: someone(t, 1), Local: contact.Sent, LocalClock: 1, Remote: contact.Received, RemoteClock: 2, Blocked: true,
			SentRequest: "a", ReceivedRequest: "b", AddedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
			Nickname: "n", DisplayName: "d", ENSName: "e", ENSVerified: true, Bio: "o", Color: 3, Trust: contact.Trusted, NotedClock: 7, IdentityClock: 4, UpdatedClock: 5,
			Status: contact.Status{Presence: contact.AlwaysOnline, Clock: 6, Text: "t"},
		}
		for i := range reflect.TypeOf(full).NumField() {
			if reflect.ValueOf(full).Field(i).IsZero() {
				t.Fatalf("this test leaves out %s", reflect.TypeOf(full).Field(i).Name)
			}
		}
		bare := contact.Contact{Key: someone(t, 2)}
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(tx.PutContact(full), tx.PutContact(bare))
		}, func(tx *Tx) error {
			for _, want := range []contact.Contact{full, bare, {Key: someone(t, 3)}} {
				got, err := tx.Contact(want.Key)
				if err != nil {
					return err
				}
				equal(t, "contact", got, want)
			}
			all, err := tx.Contacts()
			want := []contact.Contact{full, bare}
			slices.SortFunc(want, func(a, b contact.Contact) int { return slices.Compare(a.Key.Bytes(), b.Key.Bytes()) })
			equal(t, "contacts", all, want)
			return err
		})
		changed := full
		changed.Nickname, changed.Blocked = "", false
		must(t, db.Update(func(tx *Tx) error {
			if _, err := tx.Contact(full.Key); err != nil {
				return err
			}
			if err := tx.Try(func(tx *Tx) error { return errors.Join(tx.PutContact(bare), tx.PutContact(changed), errors.New("no")) }); err == nil {
				t.Error("the error is lost")
			}
			got, err := tx.Contact(full.Key)
			equal(t, "after a dropped step", got, full)
			return err
		}))
		inAndAfter(t, db, func(tx *Tx) error { return tx.Try(func(tx *Tx) error { return tx.PutContact(changed) }) }, func(tx *Tx) error {
			got, err := tx.Contact(full.Key)
			equal(t, "changed contact", got, changed)
			return err
		})
	})
}

func TestChatsAndMessages(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		one := chat.Chat{ID: chat.OneToOneID(someone(t, 1)), Kind: message.OneToOne, Peer: someone(t, 1), Active: true, Muted: true, LastClock: 1, ClearedClock: 2, ReadClock: 3}
		public := chat.Chat{ID: "status", Kind: message.PublicChat, Active: true}
		inAndAfter(t, db, func(tx *Tx) error { return errors.Join(tx.PutChat(one), tx.PutChat(public)) }, func(tx *Tx) error {
			for _, want := range []chat.Chat{one, public} {
				got, ok, err := tx.Chat(want.ID)
				if err != nil || !ok {
					return errors.Join(err, fmt.Errorf("chat %s is there: %v", want.ID, ok))
				}
				equal(t, "chat", got, want)
			}
			if got, ok, err := tx.Chat("unknown"); ok || err != nil || got.ID != "unknown" {
				t.Errorf("unknown chat: %+v, %v, %v", got, ok, err)
			}
			all, err := tx.Chats()
			equal(t, "chats", all, []chat.Chat{one, public})
			return err
		})

		// Order is by clock, then id; chats whose ids begin alike are apart.
		var want, other []*chat.Message
		for i, clock := range []uint64{1, 2, 2, 255, 256, 1 << 40} {
			want = append(want, &chat.Message{ID: message.ID{byte(i)}, Chat: "status", From: someone(t, 1), Text: fmt.Sprint(i), Clock: clock, State: chat.Pending, ContentType: "text"})
		}
		other = append(other, &chat.Message{ID: message.ID{99}, Chat: "status-2", From: someone(t, 2), Text: "x", Clock: 3, State: chat.Received})
		inAndAfter(t, db, func(tx *Tx) error {
			for i := range want {
				if err := tx.PutMessage(want[len(want)-1-i]); err != nil {
					return err
				}
			}
			return tx.PutMessage(other[0])
		}, func(tx *Tx) error {
			for id, list := range map[string][]*chat.Message{"status": want, "status-2": other, "stat": nil, "": slices.Concat(other, want)} {
				got, err := tx.Messages(id)
				if err != nil {
					return err
				}
				slices.SortStableFunc(got, func(a, b *chat.Message) int { // chats stand in any order
					if a.Chat == b.Chat {
						return 0
					}
					if a.Chat > b.Chat {
						return -1
					}
					return 1
				})
				equal(t, "messages of "+id, got, list)
			}
			got, ok, err := tx.Message(message.ID{3})
			if !ok {
				t.Error("a message is not found by its id")
			}
			equal(t, "message", got, want[3])
			if _, ok, err := tx.Message(message.ID{77}); ok || err != nil {
				t.Errorf("unknown message: %v, %v", ok, err)
			}
			return err
		})
		again := *want[3]
		again.State = chat.Delivered
		inAndAfter(t, db, func(tx *Tx) error { return tx.PutMessage(&again) }, func(tx *Tx) error {
			got, err := tx.Messages("status")
			if len(got) != len(want) || got[3].State != chat.Delivered {
				t.Errorf("after a change: %d messages", len(got))
			}
			return err
		})
	})
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		list := func(tx *Tx) (numbers []uint64, topics []string) {
			must(t, tx.Outbox(func(n uint64, r *storagepb.OutboxRecord) error {
				numbers, topics = append(numbers, n), append(topics, fmt.Sprint(r.PubsubTopic, r.Attempts))
				return nil
			}))
			return numbers, topics
		}
		must(t, db.Update(func(tx *Tx) error {
			for i := range 300 {
				if err := tx.PutOutbox(&storagepb.OutboxRecord{PubsubTopic: fmt.Sprint(i, "/")}); err != nil {
					return err
				}
			}
			return nil
		}))
		must(t, db.Update(func(tx *Tx) error {
			numbers, _ := list(tx)
			return errors.Join(
				tx.DeleteOutbox(numbers[1]),
				tx.UpdateOutbox(numbers[2], &storagepb.OutboxRecord{PubsubTopic: "2/", Attempts: 5}),
				tx.PutOutbox(&storagepb.OutboxRecord{PubsubTopic: "new/"}),
			)
		}))
		must(t, db.View(func(tx *Tx) error {
			numbers, topics := list(tx)
			if len(topics) != 300 || !slices.IsSorted(numbers) {
				t.Fatalf("%d records, sorted %v", len(topics), slices.IsSorted(numbers))
			}
			equal(t, "first", topics[:3], []string{"0/0", "2/5", "3/0"})
			equal(t, "last", topics[298:], []string{"299/0", "new/0"})
			for n, want := range map[uint64]bool{numbers[0]: true, numbers[1] - 1: false, numbers[299] + 1: false} {
				if got, err := tx.InOutbox(n); err != nil || got != want {
					t.Errorf("record %d is there: %v, %v", n, got, err)
				}
			}
			seen := 0
			must(t, tx.Outbox(func(uint64, *storagepb.OutboxRecord) error { seen++; return kv.Stop }))
			equal(t, "visited until stopped", seen, 1)
			return nil
		}))
	})
}

func TestRefsAndMarks(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		ref := &storagepb.MessageRef{ApplicationId: []byte("id"), Type: 7}
		at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(tx.PutRef([32]byte{1}, ref), tx.SetMark("b", at), tx.SetMark("history a", at), tx.SetMark("history b", at))
		}, func(tx *Tx) error {
			got, ok, err := tx.Ref([32]byte{1})
			if err != nil || !ok || !proto.Equal(got, ref) {
				t.Errorf("%v, %v, %v", got, ok, err)
			}
			if _, ok, err := tx.Ref([32]byte{2}); ok || err != nil {
				t.Errorf("unknown ref: %v, %v", ok, err)
			}
			if got, err := tx.Mark("b"); err != nil || !got.Equal(at) {
				t.Errorf("mark %v, %v", got, err)
			}
			if got, err := tx.Mark("none"); err != nil || !got.IsZero() {
				t.Errorf("mark that is not there: %v, %v", got, err)
			}
			names, err := tx.Marks("history ")
			equal(t, "marks", names, []string{"history a", "history b"})
			return err
		})
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(tx.DeleteRef([32]byte{1}), tx.DeleteMark("history a"), tx.DeleteMark("not there"))
		}, func(tx *Tx) error {
			if _, ok, err := tx.Ref([32]byte{1}); ok || err != nil {
				t.Errorf("deleted ref: %v, %v", ok, err)
			}
			names, err := tx.Marks("")
			equal(t, "marks", names, []string{"b", "history b"})
			return err
		})
	})
}

// Envelopes and messages are new once, until their marks are purged: what is
// exactly as old as the limit stays.
func TestPurgeMarks(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		begin := time.Unix(1_700_000_000, 0)
		must(t, db.Update(func(tx *Tx) error {
			for i := range 10 {
				at := begin.Add(time.Duration(i) * time.Hour)
				for name, mark := range map[string]func() (bool, error){
					"envelope": func() (bool, error) { return tx.MarkSeen([32]byte{byte(i)}, at) },
					"message":  func() (bool, error) { return tx.MarkDelivered(message.ID{byte(i)}, at) },
				} {
					for _, want := range []bool{true, false} {
						if fresh, err := mark(); err != nil || fresh != want {
							t.Errorf("%s %d is new: %v, %v", name, i, fresh, err)
						}
					}
				}
			}
			return tx.SetMark("other", begin)
		}))
		must(t, db.Update(func(tx *Tx) error {
			n, err := tx.PurgeMarks(begin.Add(4 * time.Hour))
			equal(t, "purged", n, 8)
			return err
		}))
		must(t, db.Update(func(tx *Tx) error {
			for i := range 10 {
				seen, err := tx.Seen([32]byte{byte(i)})
				if err != nil || seen != (i >= 4) {
					t.Errorf("envelope %d is known: %v, %v", i, seen, err)
				}
				fresh, err := tx.MarkDelivered(message.ID{byte(i)}, begin)
				if err != nil || fresh != (i < 4) {
					t.Errorf("message %d is new: %v, %v", i, fresh, err)
				}
			}
			if at, err := tx.Mark("other"); err != nil || !at.Equal(begin) {
				t.Errorf("another mark is %v, %v", at, err)
			}
			return nil
		}))
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("elsewhere", 3600))
		must(t, db.Update(func(tx *Tx) error {
			for i := range 5 {
				e, err := tx.AppendEvent("kind", at, map[string]int{"n": i})
				if err != nil || e.Seq != uint64(i+1) || e.Time.Location() != time.UTC || !e.Time.Equal(at) {
					t.Errorf("%+v, %v", e, err)
				}
			}
			_, err := tx.AppendEvent("bad", at, func() {})
			if err == nil {
				t.Error("what cannot be written is")
			}
			return nil
		}))
		must(t, db.View(func(tx *Tx) error {
			for _, c := range []struct{ since, limit, first, many uint64 }{{0, 10, 1, 5}, {0, 2, 1, 2}, {3, 10, 4, 2}, {5, 10, 0, 0}, {9, 10, 0, 0}, {0, 0, 0, 0}} {
				got, err := tx.Events(c.since, int(c.limit))
				if err != nil || len(got) != int(c.many) || c.many > 0 && (got[0].Seq != c.first || string(got[0].Data) != fmt.Sprintf(`{"n":%d}`, c.first-1)) {
					t.Errorf("since %d, at most %d: %+v, %v", c.since, c.limit, got, err)
				}
			}
			last, err := tx.LastEvent()
			equal(t, "last", last, uint64(5))
			return err
		}))
	})
}

// Cores share nothing with each other or with the families.
func TestCoresAreApart(t *testing.T) {
	t.Parallel()
	db := NewMemory()
	inAndAfter(t, db, func(tx *Tx) error {
		return errors.Join(tx.Core("a").Put("k", []byte("1")), tx.Core("ab").Put("k", []byte("2")), tx.SetMark("k", time.Now()))
	}, func(tx *Tx) error {
		var got []string
		err := tx.Core("a").Scan("", func(k string, v []byte) error { got = append(got, k+string(v)); return nil })
		equal(t, "core", got, []string{"k1"})
		return err
	})
}

// Records that do not decode are errors of the database, never zero values.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	pub := someone(t, 1)
	id := message.ID{1}
	for name, c := range map[string]struct {
		key  string
		read func(tx *Tx) error
	}{
		"contact":  {familyContact + string(pub.Bytes()), func(tx *Tx) error { _, err := tx.Contact(pub); return err }},
		"contacts": {familyContact + string(pub.Bytes()), func(tx *Tx) error { _, err := tx.Contacts(); return err }},
		"chat":     {familyChat + "x", func(tx *Tx) error { _, _, err := tx.Chat("x"); return err }},
		"chats":    {familyChat + "x", func(tx *Tx) error { _, err := tx.Chats(); return err }},
		"messages": {familyMessage + "x\x00", func(tx *Tx) error { _, err := tx.Messages("x"); return err }},
		"message": {familyMessage + "x", func(tx *Tx) error {
			tx.Put(familyByID+string(id[:]), []byte(familyMessage+"x"))
			_, _, err := tx.Message(id)
			return err
		}},
		"event":  {familyEvent + string(number(1)), func(tx *Tx) error { _, err := tx.Events(0, 1); return err }},
		"outbox": {familyOutbox + string(number(1)), func(tx *Tx) error { return tx.Outbox(func(uint64, *storagepb.OutboxRecord) error { return nil }) }},
		"ref":    {familyRef + string(make([]byte, 32)), func(tx *Tx) error { _, _, err := tx.Ref([32]byte{}); return err }},
	} {
		db := NewMemory()
		must(t, db.Update(func(tx *Tx) error { return tx.Put(c.key, []byte{0xff, 0xfe}) }))
		if err := db.View(c.read); !errors.Is(err, ErrCorrupt) || !errors.Is(err, ErrIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
