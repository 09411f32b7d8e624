package stack

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// keeps tells where in a person's database a text is, but for the event stream,
// which says what was when.
func (p *person) keeps(text string) (where []string) {
	p.t.Helper()
	err := p.db.View(func(tx *storage.Tx) error {
		return tx.Scan("", func(k string, v []byte) error {
			if family, _, _ := strings.Cut(k, "/"); family != "event" && bytes.Contains(v, []byte(text)) {
				where = append(where, family)
			}
			return nil
		})
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return where
}

// waits are the messages of a person's that somebody has not acknowledged.
func (p *person) waits() (ids []string) {
	for k := range content(p.t, p.db) {
		if id, ok := strings.CutPrefix(k, "ref/"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// payloadsIn reads what a stack sends to a forger, on the forger's partition or
// the topic that they have negotiated.
func (f *forger) payloadsIn(s *Stack, all []Envelope) (payloads []*mvds.Payload) {
	f.t.Helper()
	secret, err := f.key.ECDH(s.Self())
	f.ok(err)
	for _, e := range all {
		var raw []byte
		switch e.Message.GetContentTopic() {
		case topic.Content(topic.PartitionedName(f.key.Public())):
			raw, err = f.open(e)
			f.ok(err)
		case topic.Content(topic.NegotiatedName(secret)):
			opened, err := payload.OpenSymmetric(e.Message.GetPayload(), sharedKeys.Key(topic.NegotiatedName(secret)))
			f.ok(err)
			raw = opened.Payload
		default:
			continue
		}
		inner, err := f.session.Open(f.st, f.now, f.rand, s.Self(), raw)
		f.ok(err)
		p, err := mvds.Decode(inner.Payload)
		f.ok(err)
		payloads = append(payloads, p)
	}
	return payloads
}

// What was deleted, for everyone or for oneself, or cleared is nowhere in the
// sender's database, although it was acknowledged only just now and would be
// kept for a week; nor are edits of it. What was not deleted is kept.
func TestDeletedIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(151)
		alice, bobby, carol, id := circle(t, n)
		private := chat.OneToOneID(bobby.key.Public())
		for _, place := range []string{private, id} {
			said := map[string]message.ID{}
			for _, what := range []string{"for everyone", "for me", "stays"} {
				m := alice.says(place, "text "+what)
				if _, err := alice.EditMessage(m.ID, Content{Text: "edited " + what}); err != nil {
					t.Fatal(err)
				}
				said[what] = m.ID
			}
			settle(t, alice, bobby, carol)
			for what := range said {
				for _, text := range []string{"text ", "edited "} {
					if !slices.Contains(alice.keeps(text+what), "core") {
						t.Fatalf("%q is not kept", text+what)
					}
				}
			}
			if _, err := alice.DeleteMessage(said["for everyone"]); err != nil {
				t.Fatal(err)
			}
			if err := alice.DeleteMessageForMe(said["for me"]); err != nil {
				t.Fatal(err)
			}
			for what, gone := range map[string]bool{"for everyone": true, "for me": true, "stays": false} {
				for _, text := range []string{"text ", "edited "} {
					where := alice.keeps(text + what)
					if gone && len(where) > 0 || !gone && !slices.Contains(where, "core") {
						t.Errorf("%q is in %q", text+what, where)
					}
				}
			}
			settle(t, alice, bobby, carol)
			if _, err := alice.ClearHistory(place); err != nil {
				t.Fatal(err)
			}
			pass(time.Second) // for what is cleared to be deleted
			for _, text := range []string{"text stays", "edited stays"} {
				if where := alice.keeps(text); len(where) > 0 {
					t.Errorf("%q is in %q", text, where)
				}
			}
		}
	})
}

// A message that is deleted for everyone in a 1:1 chat is not sent to who has not
// got it: they get the deletion, and nothing of the message is left. One deleted
// for oneself still arrives, and one deleted in a group with its deletion, so
// that all members come to the same; neither is kept when it is acknowledged.
func TestDeletedIsWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(152)
		alice, bobby, carol, id := circle(t, n)
		bobby.halt()
		everyone, mine := alice.says(id, "deleted for everyone"), alice.says(id, "deleted for me")
		private := alice.says(chat.OneToOneID(bobby.key.Public()), "deleted in private")
		pass(time.Minute)
		n.mu.Lock()
		n.history = nil // no store brings it
		n.mu.Unlock()
		for _, m := range []*chat.Message{everyone, private} {
			if _, err := alice.DeleteMessage(m.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := alice.DeleteMessageForMe(mine.ID); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]bool{"deleted for everyone": true, "deleted in private": false, "deleted for me": true} {
			if where := alice.keeps(text); slices.Contains(where, "core") != want || !want && len(where) > 0 {
				t.Errorf("%q is in %q", text, where)
			}
		}
		alice.crash()
		bobby.start()
		eventually(t, 24*time.Hour, "all is acknowledged", func() bool { return len(alice.waits()) == 0 })
		if got := bobby.texts(); !contains(got, "deleted for me") || contains(got, "deleted for everyone") || contains(got, "deleted in private") {
			t.Errorf("Bobby has %q", got)
		}
		if _, err := bobby.Message(private.ID); err == nil {
			t.Error("what was deleted in private arrived")
		}
		for _, text := range []string{"deleted for me", "deleted for everyone"} {
			if where := alice.keeps(text); len(where) > 0 {
				t.Errorf("%q was acknowledged after it was deleted, and is in %q", text, where)
			}
		}
		for _, p := range []*person{bobby, carol} {
			if got := p.in(everyone.ID); got.Deleted == nil {
				t.Errorf("%s has %+v", p.name, got)
			}
		}
	})
}

// What waits to be published goes too, also in the midst of a transfer; what
// else waits does not.
func TestDeletedIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(153)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		alice.cut(4000)
		pass(time.Minute)
		alice.link.set(func(l *link) { l.alone = true })
		picture := alice.show(bobby, noisy(t, 200))
		pass(time.Second)
		stays := alice.says(chat.OneToOneID(bobby.key.Public()), "stays")
		pass(time.Second)
		if waiting := records(t, alice.Stack); len(waiting) < 10 {
			t.Fatalf("%d envelopes wait", len(waiting))
		}
		before := len(n.publications(alice.link))
		if _, err := alice.DeleteMessage(picture.ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		for _, r := range records(t, alice.Stack) {
			for _, ref := range r.Refs {
				if message.ID(ref) == picture.ID {
					t.Error("a part of the picture waits still")
				}
			}
		}
		if got := transfers(t, alice.Stack, "out"); len(got) == 0 || got[len(got)-1].State != "given_up" {
			t.Errorf("transfers %+v", got)
		}
		alice.link.set(func(l *link) { l.alone = false })
		eventually(t, time.Hour, "what stays arrives", func() bool {
			m, err := bobby.Message(stays.ID)
			return err == nil && m.Text == "stays" && len(records(t, alice.Stack)) == 0
		})
		if _, err := bobby.Message(picture.ID); err == nil {
			t.Error("the picture arrived")
		}
		if published := n.publications(alice.link)[before:]; len(published) > 10 {
			t.Errorf("%d envelopes were published", len(published))
		}
	})
}

// An acknowledgement does not wait for the segments of what is sent at the same
// time: it goes by itself, and first.
func TestAcknowledgementBesideLarge(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	f.meet(s)
	for _, size := range []int{1000, largeChecked} {
		// Something was sent in this epoch: the rest waits for the next.
		f.deliver(s, f.chat(s.Self(), strings.Repeat("!", size/1000), clock.at))
		err := s.update(func(t *step) error {
			return s.sync(t, outgoing{kind: message.OneToOne, typ: apppb.ApplicationMetadataMessage_CHAT_MESSAGE, to: keysOf(&person{key: f.key})},
				message.ID{byte(size)}, make([]byte, size))
		})
		if err != nil {
			t.Fatal(err)
		}
		drain(t, s)
		clock.advance(mvds.DefaultEpoch)
		if _, err := s.tick(); err != nil {
			t.Fatal(err)
		}
		var shapes [][2]int
		for _, p := range f.payloadsIn(s, drain(t, s)) {
			shapes = append(shapes, [2]int{len(p.Acks), len(p.Messages)})
		}
		want := [][2]int{{1, 1}}
		if size == largeChecked {
			want = [][2]int{{1, 0}, {0, 1}}
		}
		if !slices.Equal(shapes, want) {
			t.Errorf("%d bytes: acknowledgements and messages %v, want %v", size, shapes, want)
		}
	}
}
