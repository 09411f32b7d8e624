package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

// rich returns a message that has a payload in every place there is.
func rich(t testing.TB, room string, clock uint64) *chat.Message {
	m := textMessage(t, room, clock, 1, 1, "look")
	icon := func(text string) chat.Thumbnail { return chat.Thumbnail{Payload: []byte(text), Width: 1} }
	community := func(text string) *chat.CommunityLink {
		return &chat.CommunityLink{ID: "0x02", Icon: icon(text + " icon"), Banner: icon(text + " banner")}
	}
	m.Image = &chat.Image{Format: "png", Payload: []byte("picture payload"), Width: 3, Height: 4}
	m.Audio = &chat.Audio{Format: "aac", Payload: []byte("audio payload"), DurationMS: 1500}
	m.Community = []byte("community payload")
	m.Discord = &chat.Discord{Avatar: []byte("avatar payload"), Attachments: []chat.DiscordAttachment{{ID: "1"}, {Payload: []byte("attachment payload")}}}
	m.Links = []chat.Link{
		{URL: "https://a", Thumbnail: icon("thumbnail payload")},
		{URL: "https://b", Favicon: []byte("favicon payload")},
	}
	m.StatusLinks = []chat.StatusLink{
		{URL: "1", Contact: &chat.ContactLink{Key: someone(t, 2), Icon: icon("contact payload")}},
		{URL: "2", Community: community("community payload")},
		{URL: "3", Channel: &chat.ChannelLink{UUID: "1", Community: community("channel payload")}},
	}
	return m
}

const richPayloads = 12

func marshal(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	must(t, err)
	return string(raw)
}

func payload(t testing.TB, db *DB, id message.ID, name string) string {
	t.Helper()
	var data []byte
	must(t, db.View(func(tx *Tx) error {
		got, ok, err := tx.Payload(id, name)
		if ok != (len(got) > 0) {
			t.Errorf("%s: %d bytes, there %v", name, len(got), ok)
		}
		data = got
		return err
	}))
	return string(data)
}

// Payloads are read by themselves, and whatever is done to a message that was
// read without them, they stay until they are replaced or it is deleted.
func TestPayloads(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		put := func(m *chat.Message) {
			t.Helper()
			must(t, db.Update(func(tx *Tx) error { return tx.PutMessage(m) }))
		}
		get := func(id message.ID) (m *chat.Message) {
			t.Helper()
			must(t, db.View(func(tx *Tx) (err error) { m, _, err = tx.Message(id); return err }))
			return m
		}
		m, plain := rich(t, "a", 1), rich(t, "a", 2)
		whole := marshal(t, m)
		put(m)
		put(plain)
		equal(t, "the message that was given", marshal(t, m), whole)
		equal(t, "payloads", len(content(t, db, familyPayload)), 2*richPayloads)
		for _, family := range []string{familyMessage, familySummary} {
			if all := strings.Join(content(t, db, family), "\n"); strings.Contains(all, "payload\"") || strings.Contains(all, "cGF5bG9hZ") {
				t.Errorf("%s: %s", family, all)
			}
		}
		check := func(image, audio string) {
			t.Helper()
			got := get(m.ID)
			equal(t, "image", []any{got.Image.Payload == nil, got.Image.Bytes, got.Image.Width}, []any{true, len(image), uint32(3)})
			equal(t, "audio", []any{got.Audio.Payload == nil, got.Audio.Bytes, got.Audio.DurationMS}, []any{true, len(audio), uint64(1500)})
			equal(t, "picture", payload(t, db, m.ID, chat.PayloadImage), image)
			equal(t, "recording", payload(t, db, m.ID, chat.PayloadAudio), audio)
		}
		check("picture payload", "audio payload")
		equal(t, "thumbnail", payload(t, db, m.ID, chat.PayloadLink(0)), "thumbnail payload")
		equal(t, "no thumbnail", payload(t, db, m.ID, chat.PayloadLink(1)), "")
		equal(t, "none of that name", payload(t, db, m.ID, "x"), "")

		// What was read comes back changed.
		again := get(m.ID)
		again.Text, again.State = "changed", chat.Sent
		put(again)
		check("picture payload", "audio payload")
		equal(t, "payloads", len(content(t, db, familyPayload)), 2*richPayloads)

		// An edit has other links.
		again = get(m.ID)
		again.Links = []chat.Link{{URL: "https://c"}, {URL: "https://d", Thumbnail: chat.Thumbnail{Payload: []byte("new payload")}}}
		again.StatusLinks = nil
		put(again)
		check("picture payload", "audio payload")
		equal(t, "thumbnails", []string{payload(t, db, m.ID, chat.PayloadLink(0)), payload(t, db, m.ID, chat.PayloadLink(1))}, []string{"", "new payload"})
		equal(t, "payloads", len(content(t, db, familyPayload)), 2*richPayloads-6)

		// A new payload takes the place of the old one.
		again = get(m.ID)
		again.Image = &chat.Image{Format: "png", Payload: []byte("another"), Width: 3}
		put(again)
		check("another", "audio payload")

		// Nothing stays of what is deleted: for everyone or for us,
		put(&chat.Message{ID: m.ID, Chat: m.Chat, Clock: m.Clock, Deleted: &chat.Deleted{By: someone(t, 1)}})
		equal(t, "payloads", len(content(t, db, familyPayload)), richPayloads)
		equal(t, "picture of what was deleted", payload(t, db, m.ID, chat.PayloadImage), "")
		// and altogether.
		must(t, db.Update(func(tx *Tx) error { return tx.DeleteMessage(plain.ID) }))
		equal(t, "payloads", content(t, db, familyPayload), []string(nil))
	})
}

// Clearing and deleting a chat hides its payloads at once, and Work deletes
// them.
func TestPayloadsOfClearedChats(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		for name, clear := range map[string]func(tx *Tx, id string) (chat.Chat, error){
			"clear": (*Tx).ClearHistory, "delete": (*Tx).DeleteChat,
		} {
			var all []*chat.Message
			must(t, db.Update(func(tx *Tx) error {
				must(t, tx.PutChat(chat.Chat{ID: name, Kind: message.PublicChat, LastClock: 1000}))
				for i := range 10 {
					all = append(all, rich(t, name, uint64(i+1)))
					all[i].ID[3] = name[0]
					must(t, tx.PutMessage(all[i]))
				}
				return nil
			}))
			equal(t, "before", payload(t, db, all[3].ID, chat.PayloadImage), "picture payload")
			must(t, db.Update(func(tx *Tx) error { return errOf(clear(tx, name)) }))
			equal(t, "at once", payload(t, db, all[3].ID, chat.PayloadImage), "")
			must(t, db.Update(func(tx *Tx) error { return tx.PutMessage(rich(t, name, 9)) }))
			for more := true; more; {
				var err error
				more, err = db.work(3)
				must(t, err)
			}
			equal(t, "in the end", content(t, db, familyPayload), []string(nil))
		}
	})
}

// A database of the version before has payloads in its messages. They can be
// read at once, and are moved in slices and by whatever changes a message.
func TestPayloadsUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	var all []*chat.Message
	for i := range 40 {
		m := textMessage(t, "a", uint64(i)+1, 1, 1, fmt.Sprint("old number", i))
		if i%3 == 0 {
			m = rich(t, "a", uint64(i)+1)
		}
		all = append(all, m)
	}
	writeFirstVersion(t, path, all)
	func() { // version 2 has all of version 3 but where payloads are
		c, err := sqlite3.Open("file:" + uriPath(path) + "?vfs=adiantum")
		must(t, err)
		defer c.Close()
		must(t, c.Exec(fmt.Sprintf("PRAGMA hexkey='%x'", [KeySize]byte{1})))
		must(t, fts5.Register(c))
		must(t, c.Exec(createSearch+"PRAGMA user_version = 2"))
	}()
	db, err := Open(path, [KeySize]byte{1})
	must(t, err)
	defer func() { db.Close() }()
	equal(t, "at once", payload(t, db, all[3].ID, chat.PayloadImage), "picture payload")
	must(t, db.Update(func(tx *Tx) error {
		m, _, err := tx.Message(all[6].ID)
		must(t, err)
		m.Text = "changed"
		must(t, tx.PutMessage(m))
		m, _, err = tx.Message(all[9].ID)
		must(t, err)
		must(t, tx.PutMessage(m.DeleteForMe()))
		return tx.DeleteMessage(all[12].ID)
	}))
	equal(t, "moved by changes", len(content(t, db, familyPayload)), richPayloads)
	slices := 0
	for more := true; more; slices++ {
		more, err = db.work(7)
		must(t, err)
		if slices == 2 { // a restart in between
			must(t, db.Close())
			db, err = Open(path, [KeySize]byte{1})
			must(t, err)
		}
	}
	if slices < 5 {
		t.Errorf("moved in %d slices", slices)
	}
	equal(t, "moved", len(content(t, db, familyPayload)), (14-2)*richPayloads)
	equal(t, "after it", payload(t, db, all[3].ID, chat.PayloadAudio), "audio payload")
	equal(t, "changed before", payload(t, db, all[6].ID, chat.PayloadImage), "picture payload")
	must(t, db.View(func(tx *Tx) error {
		msgs, err := tx.Messages("a")
		for _, m := range msgs {
			if kept, inside := m.Detach(); len(inside) > 0 || kept != m {
				t.Errorf("message %d still has %d payloads in it", m.Clock, len(inside))
			}
		}
		equal(t, "messages", len(msgs), 39)
		return err
	}))
	if more, err := db.Work(); more || err != nil {
		t.Errorf("when all is done: %v, %v", more, err)
	}
}

// A page of pictures costs what a page of texts does.
func BenchmarkPageOfImages(b *testing.B) {
	db, err := Open(filepath.Join(b.TempDir(), "a.db"), [KeySize]byte{1})
	must(b, err)
	defer db.Close()
	must(b, db.Update(func(tx *Tx) error {
		for i := range DefaultPage {
			m := textMessage(b, "a", uint64(i)+1, 1, 1, "")
			m.Image = &chat.Image{Format: "jpeg", Payload: bytes.Repeat([]byte{byte(i)}, 300_000)}
			must(b, tx.PutMessage(m))
		}
		return nil
	}))
	b.ReportAllocs()
	for b.Loop() {
		must(b, db.View(func(tx *Tx) error {
			p, err := tx.Page(PageQuery{Chat: "a"})
			if len(p.Messages) != DefaultPage {
				b.Fatalf("%d messages", len(p.Messages))
			}
			return err
		}))
	}
}
