package parley

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
)

// TestEventsAreAnswers: what an event says is what a call answers, to the byte.
func TestEventsAreAnswers(t *testing.T) {
	t.Parallel()
	c, ctx, bob := memoryClient(t), t.Context(), strangerKey(t)
	who := bob.String()
	entry := activity.OfContactRequest(bob, bob.Hex(), "", 5, "hello")
	m, err := c.Send(ctx, who, "one @"+bob.Hex(), SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := m.ID.String()
	if err := c.db.Update(func(tx *storage.Tx) error {
		known, err := tx.Contact(bob)
		if err != nil {
			return err
		}
		known.DisplayName = "Bob"
		if err := tx.PutContact(known); err != nil {
			return err
		}
		_, err = tx.PutActivity(entry)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	group := "00000000-0000-4000-8000-000000000000-" + bob.Hex()
	first := func(all []Pin, err error) (any, error) {
		if err != nil || len(all) != 1 {
			return nil, err
		}
		return all[0], nil
	}
	for _, step := range []struct {
		kind string
		do   func() (any, error)
	}{
		{EventMessage, func() (any, error) { return c.Message(ctx, id) }},
		{EventPin, func() (any, error) {
			if _, err := c.Pin(ctx, id); err != nil {
				return nil, err
			}
			return first(c.Pins(ctx, who))
		}},
		{EventReaction, func() (any, error) {
			shown, err := c.React(ctx, id, "👍")
			if err != nil {
				return nil, err
			}
			r := shown.Reactions[0]
			e := last(t, c)
			var change ReactionChange
			if err := json.Unmarshal(e.Data, &change); err != nil {
				return nil, err
			}
			return ReactionChange{
				Message: m.ID, Chat: m.Chat, From: r.Who[0].Key, FromKey: r.Who[0].PublicKey, Emoji: r.Emoji, Code: r.Code, Clock: change.Clock,
			}, nil
		}},
		{EventMessageChanged, func() (any, error) { return c.Edit(ctx, id, "two", EditOptions{}) }},
		{EventContact, func() (any, error) { return c.RenameContact(ctx, who, "Bobby") }},
		{EventChat, func() (any, error) { return c.Mute(ctx, who, 0) }},
		{EventChat, func() (any, error) { return c.MarkRead(ctx, who, 0) }},
		{EventProfile, func() (any, error) { name := "Ada L"; return c.SetProfile(ctx, ProfileChange{Name: &name}) }},
		{EventPresence, func() (any, error) {
			p, err := c.SetPresence(ctx, string(contact.AlwaysOnline), "here")
			return Presence{Person: p.Person, Presence: p.Presence, PresenceText: p.PresenceText}, err
		}},
		{EventGroupRequest, func() (any, error) { return c.RequestGroup(ctx, group, who, "let me in") }},
		{EventActivity, func() (any, error) { return c.ChangeActivity(ctx, entry.ID, "read") }},
		{EventActivity, func() (any, error) { return c.ChangeActivity(ctx, entry.ID, "unread") }},
		{EventActivityRead, func() (any, error) {
			counts, err := c.ReadActivities(ctx, 0)
			return ActivityRead{Clock: 5, ActivityCounts: counts}, err
		}},
		{EventMessageChanged, func() (any, error) { return c.Delete(ctx, id) }},
	} {
		answer, err := step.do()
		if err != nil {
			t.Fatalf("%s: %v", step.kind, err)
		}
		want, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		var got Event
		if err := c.Events(ctx, 0, false, func(e Event) error {
			if e.Type == step.kind {
				got = e
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if string(got.Data) != string(want) {
			t.Errorf("%s: the answer is\n%s\nand the event\n%s", step.kind, want, got.Data)
		}
		if decoded, err := got.Decode(); err != nil || !reflect.DeepEqual(reflect.ValueOf(decoded).Elem().Interface(), answer) && step.kind != EventActivityRead {
			t.Errorf("%s: decoded %+v, %v", step.kind, decoded, err)
		}
	}
}

func last(t *testing.T, c *Client) (newest Event) {
	t.Helper()
	if err := c.Events(t.Context(), 0, false, func(e Event) error { newest = e; return nil }); err != nil {
		t.Fatal(err)
	}
	return newest
}

// TestDecodeEvent: an event of every type is read as what it is, one of a later
// version is skipped, and damage is told.
func TestDecodeEvent(t *testing.T) {
	t.Parallel()
	for _, e := range stack.EventTypes() {
		data, err := Event{Type: e.Name, Data: []byte("{}")}.Decode()
		if err != nil || reflect.TypeOf(data) != reflect.PointerTo(e.Data) {
			t.Errorf("%s: %T, %v", e.Name, data, err)
		}
		if _, err := (Event{Type: e.Name, Data: []byte("[]")}).Decode(); err == nil {
			t.Errorf("%s: a list is taken for its data", e.Name)
		}
	}
	if data, err := (Event{Type: "later", Data: []byte("{}")}).Decode(); data != nil || err != nil {
		t.Errorf("a later type: %v, %v", data, err)
	}
}
