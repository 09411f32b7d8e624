package chat

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// said is an application message of a recorded conversation.
type said struct {
	Type    string
	ID      string
	From    string
	Payload vectors.Hex
}

// conversation returns what was said in the recorded conversations.
func conversation(t testing.TB) (all []said) {
	for _, c := range vectors.Cases[struct{ Decoded []said }](t, "conversation") {
		all = append(all, c.Decoded...)
	}
	return all
}

// Recorded edits and deletions of deployed clients are valid, and Parley writes
// the same bytes.
//
// Proves: AP-180, AP-181.
func TestVectorsChanges(t *testing.T) {
	t.Parallel()
	type recorded struct {
		TypeName string
		Payload  vectors.Hex
	}
	all := vectors.Cases[recorded](t, "application_metadata")
	for _, m := range conversation(t) {
		all = append(all, recorded{m.Type, m.Payload})
	}
	checked := map[string]int{}
	for _, r := range all {
		if r.TypeName != "EDIT_MESSAGE" && r.TypeName != "DELETE_MESSAGE" {
			continue
		}
		checked[r.TypeName]++
		t.Run(r.TypeName, func(t *testing.T) {
			again, err := composeChange(r.TypeName, r.Payload, newKey(t, 1).Public())
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := message.Encode(again); err != nil || !bytes.Equal(raw, r.Payload) {
				t.Errorf("composed\n%x, recorded\n%x (%v)", raw, []byte(r.Payload), err)
			}
		})
	}
	if len(checked) != 2 {
		t.Errorf("of edits and deletions the recording has %v", checked)
	}
}

// composeChange reads a recorded edit or deletion and writes it anew.
func composeChange(typeName string, payload []byte, self key.Public) (proto.Message, error) {
	var e apppb.EditMessage
	var d apppb.DeleteMessage
	isEdit := typeName == "EDIT_MESSAGE"
	var m proto.Message = &d
	if isEdit {
		m = &e
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return nil, err
	}
	address := m.(Addressed)
	draft := Draft{Chat: address.GetChatId(), Kind: kinds[address.GetMessageType()], Text: e.Text, Clock: max(e.Clock, d.Clock)}
	sent := draft.sent()
	if isEdit {
		id, err := ValidateEdit(&e, sent)
		if err != nil {
			return nil, err
		}
		return EditMessage(&Message{ID: id, Chat: draft.Chat, From: self, ContentType: "text"}, self, draft)
	}
	id, err := ValidateDelete(&d, sent)
	if err != nil {
		return nil, err
	}
	return DeleteMessage(&Message{ID: id, Chat: draft.Chat, From: self, ContentType: "text"}, self, false, draft)
}

// What deployed clients edited and deleted in a recorded conversation is edited
// and deleted here.
//
// Proves: AP-180, AP-181.
func TestVectorsConversation(t *testing.T) {
	t.Parallel()
	reader := newKey(t, 1).Public() // who everybody writes to
	timeline := map[message.ID]*Message{}
	var edited, deleted int
	for _, s := range conversation(t) {
		author, err := key.ParsePublic(s.From)
		if err != nil {
			t.Fatal(err)
		}
		id, err := message.ParseID(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		switch s.Type {
		case "CHAT_MESSAGE":
			var m apppb.ChatMessage
			if err := proto.Unmarshal(s.Payload, &m); err != nil {
				t.Fatal(err)
			}
			if place, err := Match(&m, author, reader); err == nil {
				timeline[id] = New(id, author, place.ID, &m, Received)
			}
		case "EDIT_MESSAGE":
			var e apppb.EditMessage
			if err := proto.Unmarshal(s.Payload, &e); err != nil {
				t.Fatal(err)
			}
			target, place := reached(t, timeline, &e, e.MessageId, author, reader)
			after, err := target.Edit(&e, Change{ID: id, Author: author, Chat: place.ID})
			if err != nil || after.Text != e.Text || after.Edited.ID != id {
				t.Errorf("%+v, %v", after, err)
			}
			timeline[after.ID] = after
			edited++
		case "DELETE_MESSAGE":
			var d apppb.DeleteMessage
			if err := proto.Unmarshal(s.Payload, &d); err != nil {
				t.Fatal(err)
			}
			target, place := reached(t, timeline, &d, d.MessageId, author, reader)
			after, err := target.Delete(&d, Change{ID: id, Author: author, Chat: place.ID})
			if err != nil || after.Text != "" || after.Deleted.By != author {
				t.Errorf("%+v, %v", after, err)
			}
			timeline[after.ID] = after
			deleted++
		}
	}
	if edited == 0 || deleted == 0 {
		t.Errorf("%d edits and %d deletions in the recording", edited, deleted)
	}
}

// reached returns the message that a change is for, and the chat it came in.
func reached(t *testing.T, timeline map[message.ID]*Message, m Addressed, target string, author, reader key.Public) (*Message, Place) {
	t.Helper()
	id, err := message.ParseID(target)
	if err != nil {
		t.Fatal(err)
	}
	place, err := Match(m, author, reader)
	if err != nil || timeline[id] == nil {
		t.Fatalf("%s in %+v, %v", id, timeline[id], err)
	}
	return timeline[id], place
}

// Whatever an edit or deletion is, it is judged without harm, and what is valid
// leaves a message that can be shown.
func FuzzChanges(f *testing.F) {
	type recorded struct{ Payload vectors.Hex }
	for _, r := range vectors.Cases[recorded](f, "application_metadata") {
		f.Add([]byte(r.Payload))
	}
	m, author := target(f, apppb.ChatMessage_TEXT_PLAIN)
	late := contact.Incoming{WakuTime: in.WakuTime.AddDate(10000, 0, 0)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		by := Change{ID: message.ID{8}, Author: author, Chat: m.Chat}
		var e apppb.EditMessage
		if proto.Unmarshal(raw, &e) == nil {
			if _, err := ValidateEdit(&e, late); err == nil {
				after, err := m.Edit(&e, by)
				if err == nil && (after.Text != e.Text || after.Edited.Clock != e.Clock || len(after.Links) > MaxReceivedLinks) {
					t.Fatalf("%+v", after)
				}
			}
		}
		var d apppb.DeleteMessage
		if proto.Unmarshal(raw, &d) == nil {
			if _, err := ValidateDelete(&d, late); err == nil {
				if after, err := m.Delete(&d, by); err != nil || after.Deleted == nil || after.Text != "" {
					t.Fatalf("%+v, %v", after, err)
				}
			}
		}
	})
}
