package storage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

// text returns a text message.
func textMessage(t testing.TB, room string, clock uint64, id byte, from byte, text string) *chat.Message {
	return &chat.Message{
		ID: message.ID{byte(clock >> 8), byte(clock), id}, Chat: room, From: someone(t, from), Text: text, Clock: clock,
		Timestamp: clock + 1, State: chat.Received, ContentType: "text",
	}
}

// model is what a database of chats should hold, in the simplest way.
type model struct {
	chats    map[string]chat.Chat
	messages map[message.ID]*chat.Message
	notices  map[message.ID]Notice
	pinned   map[string]bool
}

func (m *model) visible(room string) (all []*chat.Message) {
	for _, one := range m.messages {
		c := m.chats[one.Chat]
		if (room == "" || one.Chat == room) && one.Clock > c.ClearedClock && (one.Deleted == nil || !one.Deleted.ForMe) {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b *chat.Message) int { return chat.Compare(b, a) })
	return all
}

func (m *model) summary(room string) Summary {
	s := Summary{Pinned: m.pinned[room]}
	all := m.visible(room)
	if len(all) > 0 {
		s.Last = preview(all[0])
	}
	for _, one := range all {
		if n := m.notices[one.ID]; n.Unread && one.Deleted == nil && one.Clock > m.chats[room].ReadClock {
			s.Unread++
			s.Mentions += one0(n.Mention)
		}
	}
	return s
}

func one0(b bool) int {
	if b {
		return 1
	}
	return 0
}

var vocabulary = []string{"alpha", "beta", "gamma", "alphabet", "ümlaut", "世界", "ö"}

// step does something at random to the database and to the model.
func (m *model) step(t *testing.T, rng *rand.Rand, tx *Tx, rooms []string) {
	room := rooms[rng.IntN(len(rooms))]
	all := m.visible(room)
	some := func() *chat.Message { return all[rng.IntN(len(all))] }
	c, ok := m.chats[room]
	if !ok {
		c = chat.Chat{ID: room, Kind: message.PublicChat, Active: true}
		m.chats[room] = c
		must(t, tx.PutChat(c))
	}
	switch op := rng.IntN(20); {
	case op < 8 || len(all) == 0: // something new
		clock := uint64(rng.IntN(300) + 1)
		text := vocabulary[rng.IntN(len(vocabulary))] + " " + vocabulary[rng.IntN(len(vocabulary))]
		if rng.IntN(8) == 0 {
			text = ""
		}
		one := textMessage(t, room, clock, byte(rng.IntN(256)), byte(rng.IntN(3)), text)
		if rng.IntN(4) > 0 {
			one.From = key.Public{} // reading keys takes longer than all the rest
		}
		if m.messages[one.ID] != nil { // in another chat
			return
		}
		c = c.Saw(clock)
		m.chats[room] = c
		must(t, tx.PutChat(c))
		n := Notice{Unread: rng.IntN(4) > 0}
		n.Mention = n.Unread && rng.IntN(3) == 0
		must(t, tx.PutMessageAs(one, n))
		if clock > c.ClearedClock {
			m.messages[one.ID], m.notices[one.ID] = one, n
			if clock <= c.ReadClock {
				m.notices[one.ID] = Notice{}
			}
		}
	case op < 10: // an edit
		after := *some()
		if after.Deleted != nil {
			return
		}
		after.Text = vocabulary[rng.IntN(len(vocabulary))]
		must(t, tx.PutMessage(&after))
		m.messages[after.ID] = &after
	case op < 12: // it turns out to be something else
		one := some()
		n := Notice{Unread: true, Mention: rng.IntN(2) == 0}
		must(t, tx.PutMessageAs(one, n))
		m.notices[one.ID] = n
	case op < 14: // deleted for everyone or for us, or altogether
		one := some()
		if rng.IntN(3) == 0 {
			must(t, tx.DeleteMessage(one.ID))
			delete(m.messages, one.ID)
			return
		}
		after := &chat.Message{ID: one.ID, Chat: one.Chat, From: one.From, Clock: one.Clock, State: one.State, Deleted: &chat.Deleted{ForMe: rng.IntN(2) == 0}}
		must(t, tx.PutMessage(after))
		m.messages[one.ID] = after
		m.notices[one.ID] = Notice{}
	case op < 17:
		clock := uint64(rng.IntN(400))
		got, err := tx.MarkRead(room, clock)
		must(t, err)
		m.chats[room] = c.MarkRead(clock)
		equal(t, "read", counted(got, Summary{}), m.chats[room])
	case op == 17 && rng.IntN(3) == 0:
		got, err := tx.ClearHistory(room)
		must(t, err)
		m.chats[room] = c.Clear()
		equal(t, "cleared", counted(got, Summary{}), m.chats[room])
		for id, one := range m.messages {
			if one.Chat == room && one.Clock <= m.chats[room].ClearedClock {
				delete(m.messages, id)
			}
		}
	case op == 18:
		m.pinned[room] = rng.IntN(2) == 0
		must(t, tx.PinChat(room, m.pinned[room]))
	}
}

// check compares all that can be read with the model.
func (m *model) check(t *testing.T, tx *Tx) {
	t.Helper()
	listed, err := tx.ChatList()
	must(t, err)
	if len(listed) != len(m.chats) {
		t.Fatalf("%d chats of %d", len(listed), len(m.chats))
	}
	for i, l := range listed {
		want := m.summary(l.ID)
		equal(t, "summary of "+l.ID, l.Summary, want)
		equal(t, "chat", l.Chat, counted(m.chats[l.ID], want))
		if i > 0 && (l.Pinned && !listed[i-1].Pinned || l.Pinned == listed[i-1].Pinned && l.Activity() > listed[i-1].Activity()) {
			t.Errorf("the list is out of order at %d", i)
		}
	}
	for room := range m.chats {
		m.checkPages(t, tx, room)
	}
	m.checkPages(t, tx, "")
}

func (m *model) checkPages(t *testing.T, tx *Tx, room string) {
	t.Helper()
	want := m.visible(room)
	for _, oldest := range []bool{false, true} {
		var got []*chat.Message
		for q := (PageQuery{Chat: room, Limit: 3, Oldest: oldest}); ; {
			p, err := tx.Page(q)
			must(t, err)
			if len(p.Messages) > 3 {
				t.Fatalf("a page of %d", len(p.Messages))
			}
			if oldest {
				got = slices.Concat(p.Messages, got)
			} else {
				got = append(got, p.Messages...)
			}
			if p.Next.IsZero() {
				break
			}
			again, err := ParsePosition(p.Next.String())
			must(t, err)
			if oldest {
				q.After = again
			} else {
				q.Before = again
			}
		}
		equal(t, fmt.Sprintf("pages of %q, oldest first: %v", room, oldest), got, want)
	}
}

// search compares searches with what a reader of all texts would find.
func (m *model) search(t *testing.T, db *DB) {
	t.Helper()
	for _, q := range []Query{
		{Text: "alpha"}, {Text: `"alpha"`}, {Text: "al", Limit: 2}, {Text: "beta gamma"}, {Text: "UMLAUT"}, {Text: "界", Limit: 1},
		{Text: "世界"}, {Text: "o"}, {Text: "alpha", Chat: "a"}, {Text: "alpha", From: someone(t, 1)}, {Text: "alp", From: someone(t, 1), Chat: "a", Limit: 1},
	} {
		var want, got []*chat.Message
		for _, one := range m.visible(q.Chat) {
			all := q.From.IsZero() || one.From == q.From
			for _, p := range phrases(q.Text) {
				all = all && p.in(words(one.Text))
			}
			if all {
				want = append(want, one)
			}
		}
		for next := q; ; {
			found, err := db.Search(next)
			must(t, err)
			got = append(got, found.Messages...)
			if next.Next = found.Next; next.Next == "" {
				break
			}
		}
		equal(t, fmt.Sprintf("search %+v", q), got, want)
	}
}

// Whatever happens to chats and messages, in whatever transactions and between
// whatever slices of work: lists, counts, pages and searches are those of a
// plain list of messages, and when all work is done nothing is left of what was
// deleted.
func TestChatsEqualAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		backends(t, func(t *testing.T, db *DB) {
			rng := rand.New(rand.NewPCG(seed, 7))
			m := &model{map[string]chat.Chat{}, map[message.ID]*chat.Message{}, map[message.ID]Notice{}, map[string]bool{}}
			rooms := []string{"a", "ab", "b", "a" + strings.Repeat("\x00", 9) + "b"}
			for range 25 {
				must(t, db.Update(func(tx *Tx) error {
					for range rng.IntN(8) {
						if rng.IntN(5) == 0 {
							if tx.Try(func(tx *Tx) error {
								draft := m.clone()
								draft.step(t, rng, tx, rooms)
								return errTest
							}) != errTest {
								t.Error("the error is lost")
							}
							continue
						}
						must(t, tx.Try(func(tx *Tx) error { m.step(t, rng, tx, rooms); return nil }))
					}
					m.check(t, tx)
					return nil
				}))
				if rng.IntN(3) == 0 {
					must(t, db.View(func(tx *Tx) error { m.check(t, tx); return nil }))
					m.search(t, db)
				}
				if rng.IntN(2) == 0 {
					_, err := db.work(3)
					must(t, err)
				}
			}
			for more := true; more; {
				var err error
				more, err = db.work(3)
				must(t, err)
			}
			must(t, db.View(func(tx *Tx) error { m.check(t, tx); m.nothingLeft(t, tx, db); return nil }))
			m.search(t, db)
		})
	}
}

var errTest = fmt.Errorf("dropped by the test")

func (m *model) clone() *model {
	c := &model{map[string]chat.Chat{}, map[message.ID]*chat.Message{}, map[message.ID]Notice{}, map[string]bool{}}
	for k, v := range m.chats {
		c.chats[k] = v
	}
	for k, v := range m.messages {
		c.messages[k] = v
	}
	for k, v := range m.notices {
		c.notices[k] = v
	}
	return c
}

// nothingLeft checks that the indexes hold the messages that are there and no
// others.
func (m *model) nothingLeft(t *testing.T, tx *Tx, db *DB) {
	t.Helper()
	withText, unread := 0, 0
	for _, one := range m.messages {
		withText += one0(one.Text != "")
	}
	for room := range m.chats {
		unread += m.summary(room).Unread
	}
	for family, want := range map[string]int{
		familyMessage: len(m.messages), familyByID: len(m.messages), familyClock: len(m.messages),
		familyRow: withText, familyUnread: unread, familyWork: 0,
	} {
		n := 0
		must(t, tx.Scan(family, func(string, []byte) error { n++; return nil }))
		if n != want {
			t.Errorf("%d keys in %s, not %d", n, family, want)
		}
	}
	if d, ok := db.backend.(*database); ok {
		if n := rowsOf(t, d); n != withText {
			t.Errorf("%d rows in the word index, not %d", n, withText)
		}
	}
}

// rowsOf counts the rows of the word index.
func rowsOf(t *testing.T, d *database) int {
	t.Helper()
	stmt, _, err := d.w.db.Prepare("SELECT count(*) FROM search")
	must(t, err)
	defer stmt.Close()
	if !stmt.Step() {
		t.Fatal(stmt.Err())
	}
	return stmt.ColumnInt(0)
}

// A deleted chat is gone with its draft, and what is said next shows again.
func TestDeleteChat(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.PutChat(chat.Chat{ID: "a", Active: true, LastClock: 7}))
			must(t, tx.PutMessage(textMessage(t, "a", 7, 1, 1, "hello")))
			must(t, tx.PutDraft("a", Draft{Text: "well", Time: time.Unix(1, 0).UTC()}))
			must(t, tx.PinChat("a", true))
			must(t, PutReaction(tx, message.ID{0, 7, 1}, someone(t, 1), "love", "x"))
			must(t, PutPin(tx, "a", message.ID{0, 7, 1}, "pin"))
			e, ok := activity.OfMessage(textMessage(t, "a", 7, 1, 1, "hello"), activity.Circumstances{MentionsMe: true})
			if !ok {
				t.Fatal("a mention is no entry")
			}
			_, err := tx.PutActivity(e)
			must(t, err)
			c, err := tx.DeleteChat("a")
			if c.Active || c.ClearedClock != 7 {
				t.Errorf("%+v", c)
			}
			return err
		}))
		gone := func(tx *Tx) error {
			if _, ok, err := tx.Draft("a"); ok || err != nil {
				t.Errorf("the draft is there: %v, %v", ok, err)
			}
			if _, ok, err := tx.Message(message.ID{0, 7, 1}); ok || err != nil {
				t.Errorf("the message is there: %v, %v", ok, err)
			}
			if all, err := tx.Messages(""); len(all) != 0 || err != nil {
				t.Errorf("messages: %v, %v", all, err)
			}
			if pins, err := Pins[string](tx, "a"); len(pins) != 0 || err != nil {
				t.Errorf("pins: %v, %v", pins, err)
			}
			s, err := tx.Summary("a")
			equal(t, "summary", s, Summary{})
			return err
		}
		must(t, db.View(gone))
		for range 2 {
			if more, err := db.Work(); more || err != nil {
				t.Errorf("more work: %v, %v", more, err)
			}
		}
		must(t, db.View(gone))
		equal(t, "left", content(t, db, "reaction/"), nil0)
		equal(t, "left", content(t, db, "pin/"), nil0)
		equal(t, "left", content(t, db, "activity/"), nil0)
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.PutMessage(textMessage(t, "a", 7, 2, 1, "late"))) // it was cleared before it came
			must(t, gone(tx))
			must(t, tx.PutMessage(textMessage(t, "a", 8, 1, 1, "again")))
			s, err := tx.Summary("a")
			equal(t, "summary", []any{s.Unread, s.Last.Text}, []any{1, "again"})
			return err
		}))
	})
}

var nil0 []string
