package stack

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
)

// Replies and mentions in a group count as what they are, until they are read.
func TestMentionsAndReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(110)
		alice, bobby, carol, id := circle(t, n)
		mine := bobby.says(id, "mine")
		settle(t, alice, bobby, carol)
		if got := alice.counts(id); got != [2]int{1, 0} {
			t.Fatalf("Alice has %v", got)
		}
		done[chat.Chat](alice)(alice.MarkRead(id, 0))
		alice.says(id, "plain")
		alice.says(id, "hello @"+bobby.key.Public().Hex())
		alice.tells(id, Content{Text: "right", ReplyTo: mine.ID.String()})
		pass(time.Second)
		carol.says(id, "@0x00001 listen")
		settle(t, alice, bobby, carol)
		for p, want := range map[*person][2]int{alice: {1, 1}, bobby: {4, 3}, carol: {4, 0}} {
			if got := p.counts(id); got != want {
				t.Errorf("%s has %v unread messages and mentions, not %v", p.name, got, want)
			}
		}
		want := []string{
			"mention unread @0x00001 listen", "reply unread right", "mention unread hello @" + bobby.key.Public().Hex(),
		}
		if got := bobby.noted(activity.Mention, activity.Reply); !slices.Equal(got, want) {
			t.Errorf("Bobby was told %q", got)
		}
		if got := alice.noted(activity.Mention, activity.Reply); !slices.Equal(got, want[:1]) {
			t.Errorf("Alice was told %q", got)
		}
		counts, err := bobby.ActivityCounts()
		if err != nil || counts[activity.Mention] != 2 || counts[activity.Reply] != 1 {
			t.Errorf("%v, %v", counts, err)
		}
		if err := bobby.ReadActivities(1 << 62); err != nil {
			t.Fatal(err)
		}
		if counts, err = bobby.ActivityCounts(); err != nil || len(counts) != 0 {
			t.Errorf("after reading %v, %v", counts, err)
		}
		done[chat.Chat](bobby)(bobby.MarkRead(id, 0))
		if got := bobby.counts(id); got != [2]int{} {
			t.Errorf("after reading %v", got)
		}
		// Who is not to be disturbed is not called.
		done[chat.Chat](bobby)(bobby.Mute(id, time.Time{}))
		alice.says(id, "again @"+bobby.key.Public().Hex())
		settle(t, alice, bobby, carol)
		if got := bobby.noted(activity.Mention, activity.Reply); len(got) != 3 {
			t.Errorf("in a muted chat Bobby was told %q", got)
		}
		done[chat.Chat](bobby)(bobby.Unmute(id))
		// What is edited so that it calls nobody is no call any more.
		call := alice.says(id, "@"+bobby.key.Public().Hex())
		settle(t, alice, bobby, carol)
		if got, n := bobby.noted(activity.Mention, activity.Reply), bobby.counts(id); len(got) != 4 || n != [2]int{2, 2} {
			t.Errorf("Bobby was told %q, and has %v", got, n)
		}
		done[*chat.Message](alice)(alice.EditMessage(call.ID, Content{Text: "nobody"}))
		settle(t, alice, bobby, carol)
		if got, n := bobby.noted(activity.Mention, activity.Reply), bobby.counts(id); len(got) != 3 || n != [2]int{2, 1} {
			t.Errorf("after the edit Bobby was told %q, and has %v", got, n)
		}
		refused(alice, "answering a message of another chat", func() error {
			_, err := alice.Say(chat.OneToOneID(bobby.key.Public()), Content{Text: "x", ReplyTo: call.ID.String()})
			return err
		})
		agree(t, id, alice, bobby, carol)
	})
}

// talk is a place where some people talk: a 1:1 chat has two ids.
type talk struct {
	people []*person
	id     func(p *person) string
	agree  func()
}

// talks runs a test in a 1:1 chat and in a group, of which the first is admin.
func talks(t *testing.T, seed uint64, test func(t *testing.T, in talk)) {
	t.Run("one to one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(seed)
			alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
			befriend(t, alice, bobby)
			test(t, talk{[]*person{alice, bobby}, func(p *person) string {
				if p == alice {
					return chat.OneToOneID(bobby.key.Public())
				}
				return chat.OneToOneID(alice.key.Public())
			}, func() { t.Helper(); agreeAlone(t, alice, bobby) }})
		})
	})
	t.Run("group", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			alice, bobby, carol, id := circle(t, newNetwork(seed))
			test(t, talk{[]*person{alice, bobby, carol}, func(*person) string { return id }, func() {
				t.Helper()
				agree(t, id, alice, bobby, carol)
			}})
		})
	})
}

// What is edited and deleted looks the same everywhere; only authors edit, and
// beside them only admins delete.
func TestEditsAndDeletions(t *testing.T) {
	talks(t, 111, func(t *testing.T, in talk) {
		alice, bobby := in.people[0], in.people[1]
		m := bobby.says(in.id(bobby), "teh text")
		settle(t, in.people...)
		refused(alice, "editing what somebody else wrote", func() error { _, err := alice.EditMessage(m.ID, Content{Text: "x"}); return err })
		done[*chat.Message](bobby)(bobby.EditMessage(m.ID, Content{Text: "the text"}))
		settle(t, in.people...)
		done[*chat.Message](bobby)(bobby.EditMessage(m.ID, Content{Text: "🙂"}))
		settle(t, in.people...)
		in.agree()
		if got := alice.in(m.ID); got.Text != "🙂" || got.ContentType != "emoji" || got.Edited == nil {
			t.Errorf("Alice sees %+v", got)
		}
		own := alice.says(in.id(alice), "from Alice")
		settle(t, in.people...)
		refused(bobby, "deleting what somebody else wrote", func() error { _, err := bobby.DeleteMessage(own.ID); return err })
		if len(in.people) == 2 {
			refused(alice, "deleting the other's message", func() error { _, err := alice.DeleteMessage(m.ID); return err })
			done[*chat.Message](bobby)(bobby.DeleteMessage(m.ID))
		} else {
			done[*chat.Message](alice)(alice.DeleteMessage(m.ID)) // as an admin
		}
		done[*chat.Message](alice)(alice.DeleteMessage(own.ID))
		settle(t, in.people...)
		in.agree()
		for _, p := range in.people {
			for _, id := range []message.ID{m.ID, own.ID} {
				if got := p.in(id); got.Deleted == nil || got.Text != "" || got.ContentType != "" {
					t.Errorf("%s sees %+v", p.name, got)
				}
			}
		}
		refused(bobby, "editing what was deleted", func() error { _, err := bobby.EditMessage(m.ID, Content{Text: "x"}); return err })
		// For me alone.
		last := alice.says(in.id(alice), "stays with the others")
		settle(t, in.people...)
		if err := bobby.DeleteMessageForMe(last.ID); err != nil {
			t.Fatal(err)
		}
		settle(t, in.people...)
		if got := bobby.in(last.ID); got.Deleted == nil || !got.Deleted.ForMe {
			t.Errorf("%+v", got)
		}
		if got := alice.in(last.ID); got.Deleted != nil {
			t.Errorf("%+v", got)
		}
		if got := len(eventsOf(t, bobby.Stack, EventMessageChanged)); got != 5 {
			t.Errorf("%d events of changes", got)
		}
	})
}

// Reactions of both forms and pins are the same everywhere, and can be taken
// back.
//
// Proves: AP-169, AP-171, AP-172, AP-179.
func TestReactionsAndPins(t *testing.T) {
	talks(t, 112, func(t *testing.T, in talk) {
		alice, bobby := in.people[0], in.people[1]
		m := alice.says(in.id(alice), "react!")
		settle(t, in.people...)
		// One of the six that have a number, and one that has none.
		for _, emoji := range []string{"❤️", "🦜"} {
			for _, p := range in.people {
				done[reaction.Reaction](p)(p.React(m.ID, emoji, false))
			}
		}
		settle(t, in.people...)
		in.agree()
		for _, p := range in.people {
			all, err := p.Reactions([]message.ID{m.ID})
			if err != nil || len(all[m.ID]) != 2 || all[m.ID][0].Count != len(in.people) || all[m.ID][1].Count != len(in.people) || !all[m.ID][0].Self {
				t.Errorf("%s sees %+v, %v", p.name, all, err)
			}
		}
		done[reaction.Reaction](bobby)(bobby.React(m.ID, "❤️", true))
		refused(bobby, "taking back twice", func() error { _, err := bobby.React(m.ID, "❤️", true); return err })
		refused(bobby, "reacting with a word", func() error { _, err := bobby.React(m.ID, "no", false); return err })
		settle(t, in.people...)
		in.agree()
		all, err := alice.Reactions([]message.ID{m.ID})
		if err != nil || all[m.ID][0].Count != len(in.people)-1 {
			t.Errorf("%+v, %v", all, err)
		}

		done[pin.Pin](bobby)(bobby.Pin(m.ID, true))
		settle(t, in.people...)
		in.agree()
		if held, err := alice.Pins(in.id(alice)); err != nil || len(held) != 1 || held[0].Message != m.ID || held[0].By != bobby.key.Public() {
			t.Errorf("%+v, %v", held, err)
		}
		refused(alice, "pinning twice", func() error { _, err := alice.Pin(m.ID, true); return err })
		done[pin.Pin](alice)(alice.Pin(m.ID, false))
		settle(t, in.people...)
		in.agree()
		if held, err := bobby.Pins(in.id(bobby)); err != nil || len(held) != 0 {
			t.Errorf("%+v, %v", held, err)
		}
	})
}

// Albums, stickers and recordings arrive as they were sent. An album is one
// unread message, whatever the order of its images, and is deleted as one.
//
// Proves: AP-148.
func TestPicturesStickersAudio(t *testing.T) {
	talks(t, 113, func(t *testing.T, in talk) {
		alice, bobby := in.people[0], in.people[1]
		settle(t, in.people...)
		id := in.id(bobby)
		done[chat.Chat](bobby)(bobby.MarkRead(id, 0))
		mention := "look @" + bobby.key.Public().Hex()
		sent := alice.tells(in.id(alice), Content{Text: mention, Images: [][]byte{painting(t, 1), painting(t, 2), painting(t, 3)}})
		if len(sent) != 3 {
			t.Fatalf("%d messages", len(sent))
		}
		settle(t, in.people...)
		in.agree()
		if got := bobby.counts(id); got != [2]int{1, 1} {
			t.Errorf("an album of three counts as %v", got)
		}
		for i, m := range sent {
			got := bobby.in(m.ID)
			if got.Image == nil || got.Image.AlbumID == "" || got.Image.AlbumImages != 3 || !bytes.Equal(bobby.payload(m.ID, chat.PayloadImage), m.Image.Payload) || got.Image.Bytes != len(m.Image.Payload) || got.Image.Width != 64 {
				t.Errorf("image %d arrived as %+v", i, got.Image)
			}
		}
		sticker := alice.tells(in.id(alice), Content{Sticker: &chat.Sticker{Hash: "e3010170", Pack: 7}})[0]
		audio := alice.tells(in.id(alice), Content{Audio: &chat.Audio{Format: "aac", Payload: recorded(75), DurationMS: 1}})[0]
		emoji := alice.says(in.id(alice), "🙂🙂")
		settle(t, in.people...)
		in.agree()
		if got := bobby.in(sticker.ID); got.Sticker == nil || *got.Sticker != (chat.Sticker{Hash: "e3010170", Pack: 7}) || got.ContentType != "sticker" {
			t.Errorf("%+v", got)
		}
		if got := bobby.in(audio.ID); got.Audio == nil || !bytes.Equal(bobby.payload(audio.ID, chat.PayloadAudio), recorded(75)) || got.Audio.DurationMS != 1500 || got.Audio.Format != "amr" || got.ContentType != "audio" {
			t.Errorf("%+v", got)
		}
		if got := bobby.in(emoji.ID); got.ContentType != "emoji" {
			t.Errorf("%+v", got)
		}
		if got := bobby.counts(id); got != [2]int{4, 1} {
			t.Errorf("counted as %v", got)
		}
		// What is too large is refused here, before anything is sent.
		refused(alice, "a recording that is too large", func() error {
			_, err := alice.Say(in.id(alice), Content{Audio: &chat.Audio{Format: "aac", Payload: recorded(2*60*50 + 1)}})
			return err
		})
		refused(alice, "what is no picture", func() error { _, err := alice.Say(in.id(alice), Content{Images: [][]byte{[]byte("x")}}); return err })
		refused(alice, "a sticker and a picture at once", func() error {
			_, err := alice.Say(in.id(alice), Content{Sticker: &chat.Sticker{Hash: "x"}, Images: [][]byte{painting(t, 1)}})
			return err
		})
		done[*chat.Message](alice)(alice.DeleteMessage(sent[1].ID))
		settle(t, in.people...)
		in.agree()
		for _, m := range sent {
			if got := bobby.in(m.ID); got.Deleted == nil || got.Image != nil {
				t.Errorf("of the deleted album is left %+v", got)
			}
		}
		if got := bobby.counts(id); got != [2]int{3, 0} {
			t.Errorf("after the deletion counted as %v", got)
		}
	})
}
