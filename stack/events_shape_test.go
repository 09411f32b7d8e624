package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
	"github.com/parley-im/parley/app/verify"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// written are the types of events that tests have seen.
var written sync.Map

// TestMain runs the tests, and fails when all were run and there is a type of
// events that none of them has seen.
func TestMain(m *testing.M) {
	code := m.Run()
	all := !testing.Short()
	for name, value := range map[string]string{"run": "", "skip": "", "list": "", "fuzz": ""} {
		all = all && flag.Lookup("test."+name).Value.String() == value
	}
	if code == 0 && all {
		for _, e := range EventTypes() {
			if _, ok := written.Load(e.Name); !ok {
				fmt.Printf("FAIL: no test makes an event of type %q\n", e.Name)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// shaped checks that the data of all events of a stack are those of their types,
// no field more or less. It is done at the end of every test for everybody who
// was in it.
func shaped(t testing.TB, s *Stack) {
	types := map[string]reflect.Type{}
	for _, e := range EventTypes() {
		types[e.Name] = e.Data
	}
	err := s.Events(context.Background(), 0, false, func(e storage.Event) error {
		of, ok := types[e.Type]
		if !ok {
			if e.Type != "note" { // of a test of the stream itself
				t.Errorf("an event of type %q, which is not in the list", e.Type)
			}
			return nil
		}
		written.Store(e.Type, true)
		data := reflect.New(of)
		d := json.NewDecoder(bytes.NewReader(e.Data))
		d.DisallowUnknownFields()
		if err := d.Decode(data.Interface()); err != nil {
			t.Errorf("%s: %v in %s", e.Type, err, e.Data)
			return nil
		}
		if again, err := json.Marshal(data.Interface()); err != nil || !bytes.Equal(again, e.Data) {
			t.Errorf("%s: %s\nread and written again is %s, %v", e.Type, e.Data, again, err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
}

// What people do to each other is told of by events of every kind, without the
// bytes of pictures and recordings. Their shape is checked in the end.
func TestEventsOfALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(115)
		alice, bobby, carol, club := circle(t, n)
		dave := n.person(t, "Dave D", 3)
		befriend(t, alice, dave)
		us := chat.OneToOneID(bobby.key.Public())
		all := []*person{alice, bobby, carol, dave}

		// Messages and what is done to them.
		alice.tells(us, Content{Text: "look", Images: [][]byte{painting(t, 1), painting(t, 2)}})
		alice.tells(us, Content{Audio: &chat.Audio{Format: "amr", Payload: recorded(75)}})
		linked := alice.tells(us, Content{Text: "https://a.example", Links: []chat.Link{{
			URL: "https://a.example", Title: "A", Thumbnail: chat.Thumbnail{Payload: painting(t, 3), Width: 64, Height: 48}, Favicon: []byte("icon"),
		}}})[0]
		settle(t, alice, bobby)
		done[reaction.Reaction](bobby)(bobby.React(linked.ID, "👍", false))
		done[pin.Pin](bobby)(bobby.Pin(linked.ID, true))
		settle(t, alice, bobby)
		done[*chat.Message](alice)(alice.EditMessage(linked.ID, Content{Text: "edited"}))
		settle(t, alice, bobby)
		done[*chat.Message](alice)(alice.DeleteMessage(linked.ID))
		alice.says(club, "hello @"+bobby.key.Public().Hex())
		settle(t, all...)
		if err := bobby.ReadActivities(1 << 62); err != nil {
			t.Fatal(err)
		}
		done[chat.Chat](bobby)(bobby.MarkRead(club, 0))

		// Contacts and profiles.
		done[contact.Profile](alice)(alice.SetProfile("Alicia", "a bio", 3))
		pass(time.Second)
		if err := alice.SetPicture(painting(t, 4), picture.Everyone); err != nil {
			t.Fatal(err)
		}
		done[contact.Status](alice)(alice.SetStatus(contact.AlwaysOnline, "here"))
		done[verify.Request](alice)(alice.AskVerification(bobby.key.Public(), "where did we meet?"))
		settle(t, all...)
		eventually(t, 10*time.Minute, "Bobby sees the picture", func() bool {
			_, err := bobby.ProfilePicture(alice.key.Public(), picture.Large)
			return err == nil
		})
		done[contact.Contact](bobby)(bobby.RenameContact(alice.key.Public(), "Al"))

		// Groups.
		done[group.Group](alice)(alice.RenameGroup(club, "the ring"))
		done[group.Group](alice)(alice.SetGroupImage(club, painting(t, 5)))
		done[group.Invitation](dave)(dave.RequestGroup(club, alice.key.Public(), "let me in"))
		settle(t, all...)
		done[group.Invitation](alice)(alice.RejectGroupRequest(club, dave.key.Public()))
		settle(t, all...)

		// What was missed, and what cannot be read.
		bobby.halt()
		alice.says(us, "while you were away")
		pass(time.Minute)
		bobby.start()
		settle(t, alice, bobby)
		forged := newForger(t, 3, time.Now())
		hand(t, alice.Stack, forged.mail(alice.key.Public(), forged.encrypt(alice.key.Public(), []byte{0xca, 0xb8, 0x02, 3, 1, 2, 3})))
		hand(t, alice.Stack, forged.mail(alice.key.Public(), forged.segments(1000)[0]))

		seen := map[string]bool{}
		for _, p := range all {
			err := p.Events(t.Context(), 0, false, func(e storage.Event) error {
				seen[e.Type] = true
				for _, bytes := range []string{"payload", "favicon", "iVBOR", "/9j/"} { // PNG and JPEG in base64
					if strings.Contains(string(e.Data), bytes) {
						t.Errorf("%s has bytes in it: %.300s", e.Type, e.Data)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, kind := range []string{
			EventMessage, EventMessageState, EventMessageChanged, EventReaction, EventPin, EventChat, EventGroup, EventGroupRequest,
			EventContact, EventContactRequest, EventPicture, EventVerification, EventPresence, EventProfile, EventActivity, EventActivityRead,
			EventUndecryptable, EventHistory,
		} {
			if !seen[kind] {
				t.Errorf("there is no event of type %q", kind)
			}
		}
		// The link's picture was in the event's message as a description alone.
		for _, e := range eventsOf(t, bobby.Stack, EventMessage) {
			if bytes.Contains(e.Data, []byte(linked.ID.String())) && !bytes.Contains(e.Data, []byte(`"width":64,"height":48`)) {
				t.Errorf("%s", e.Data)
			}
		}
	})
}

// A message that has changed is told of with what others made of it, as the API
// shows it.
func TestChangedMessageEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(116)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		m := alice.says(chat.OneToOneID(bobby.key.Public()), "one")
		settle(t, alice, bobby)
		done[reaction.Reaction](bobby)(bobby.React(m.ID, "👍", false))
		done[pin.Pin](bobby)(bobby.Pin(m.ID, true))
		settle(t, alice, bobby)
		done[*chat.Message](alice)(alice.EditMessage(m.ID, Content{Text: "two"}))
		settle(t, alice, bobby)
		for _, p := range []*person{alice, bobby} {
			shown, err := p.Show([]*chat.Message{p.in(m.ID)})
			if err != nil {
				t.Fatal(err)
			}
			if one := shown[0]; one.Text != "two" || len(one.Reactions) != 1 || !one.Pinned || !one.Edited {
				t.Errorf("%s is shown %+v", p.name, one)
			}
			want, err := json.Marshal(shown[0])
			if err != nil {
				t.Fatal(err)
			}
			if got := eventsOf(t, p.Stack, EventMessageChanged); len(got) != 1 || !bytes.Equal(got[0].Data, want) {
				t.Errorf("%s: %d events, not %s but\n%s", p.name, len(got), want, got[0].Data)
			}
		}
	})
}

// Reading the activity centre is told of, once for a slice, and not when there
// is nothing to be read.
func TestActivityReadEvent(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	const many = storage.WorkSlice + 50
	who := identity(t, 1).Public()
	if err := s.update(func(t *step) error {
		for i := range uint64(many) {
			entry := activity.OfVerification(string(rune('a'+i%26))+time.Duration(i).String(), who, "", i+1, "?")
			if _, err := t.PutActivity(entry); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	read := func(upTo uint64, want ...view.ActivityRead) {
		t.Helper()
		before := len(eventsOf(t, s, EventActivityRead))
		if err := s.ReadActivities(upTo); err != nil {
			t.Fatal(err)
		}
		var got []view.ActivityRead
		for _, e := range eventsOf(t, s, EventActivityRead)[before:] {
			var r view.ActivityRead
			if err := json.Unmarshal(e.Data, &r); err != nil {
				t.Fatal(err)
			}
			if r.Kinds[activity.Verification] != r.Unread {
				t.Errorf("%+v", r)
			}
			r.Kinds = nil
			got = append(got, r)
		}
		if !slices.EqualFunc(got, want, func(a, b view.ActivityRead) bool { return a.Clock == b.Clock && a.Unread == b.Unread }) {
			t.Errorf("reading up to %d: %+v", upTo, got)
		}
	}
	of := func(clock uint64, unread int) view.ActivityRead {
		return view.ActivityRead{Clock: clock, ActivityCounts: view.ActivityCounts{Unread: unread}}
	}
	read(10, of(10, many-10))
	read(10)
	read(1<<62, of(10+storage.WorkSlice, many-10-storage.WorkSlice), of(many, 0))
	read(1 << 62)
}
