package chat

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// target returns a received message with content of a type, and its author.
func target(t testing.TB, content apppb.ChatMessage_ContentType) (*Message, key.Public) {
	author := newKey(t, 2).Public()
	m := New(message.ID{5}, author, "c", with(content), Received)
	return m, author
}

// edit returns an edit of the target.
func edit(text string, ahead uint64, content apppb.ChatMessage_ContentType) *apppb.EditMessage {
	return &apppb.EditMessage{
		Clock: 1_700_000_000_000 + ahead, Text: text, ChatId: "c", MessageId: message.ID{5}.String(),
		MessageType: apppb.MessageType_PRIVATE_GROUP, ContentType: content,
	}
}

// Proves: AP-180.
func TestEdit(t *testing.T) {
	t.Parallel()
	a := newKey(t, 3).Public()
	for _, test := range []struct {
		before, said apppb.ChatMessage_ContentType
		text, want   string
	}{
		{apppb.ChatMessage_TEXT_PLAIN, apppb.ChatMessage_TEXT_PLAIN, "new", "text"},
		{apppb.ChatMessage_TEXT_PLAIN, apppb.ChatMessage_EMOJI, "👍", "emoji"},
		{apppb.ChatMessage_EMOJI, apppb.ChatMessage_TEXT_PLAIN, "new", "text"},
		{apppb.ChatMessage_EMOJI, 0, "new", "text"},
		{apppb.ChatMessage_TEXT_PLAIN, 0, "👍", "emoji"},
		{apppb.ChatMessage_TEXT_PLAIN, apppb.ChatMessage_STICKER, "new", "text"},
		{apppb.ChatMessage_IMAGE, apppb.ChatMessage_IMAGE, "new", "image"},
		{apppb.ChatMessage_IMAGE, apppb.ChatMessage_TEXT_PLAIN, "new", "image"},
		{apppb.ChatMessage_BRIDGE_MESSAGE, apppb.ChatMessage_BRIDGE_MESSAGE, "new", "bridge"},
		{apppb.ChatMessage_BRIDGE_MESSAGE, apppb.ChatMessage_TEXT_PLAIN, "new", "bridge"},
	} {
		m, author := target(t, test.before)
		m.Links, m.Mentions = []Link{{URL: "old"}}, []key.Public{author}
		was := *m
		e := edit(test.text+" "+Mention(a), 1, test.said)
		if test.want == "emoji" {
			e.Text = test.text
		}
		e.UnfurledLinks, e.UnfurledStatusLinks = Unfurled(links), UnfurledStatus(statusLinks(t))
		after, err := m.Edit(e, Change{ID: message.ID{6}, Author: author, Chat: "c"})
		if err != nil || !reflect.DeepEqual(*m, was) {
			t.Fatalf("%v: %v; before it is %+v", test, err, m)
		}
		text := after.Text
		if after.Bridge != nil {
			text = after.Bridge.Content
			if after.Text != "" || was.Bridge.Content != "hi" || after.Bridge.User != "bob" {
				t.Errorf("%v: %+v", test, after)
			}
		} else if mentioned := len(after.Mentions) == 1 && after.Mentions[0] == a; mentioned != (test.want != "emoji") {
			t.Errorf("%v: mentions %v", test, after.Mentions)
		}
		if text != e.Text || after.ContentType != test.want || *after.Edited != (Edited{Clock: e.Clock, ID: message.ID{6}}) ||
			!reflect.DeepEqual(after.Links, links) || !reflect.DeepEqual(after.StatusLinks, statusLinks(t)) {
			t.Errorf("%v: %+v", test, after)
		}
		if after.ID != m.ID || after.Clock != m.Clock || after.From != m.From || !reflect.DeepEqual(after.Image, m.Image) {
			t.Errorf("%v: %+v", test, after)
		}
		sameJSON(t, after)
	}
}

func TestEditErrors(t *testing.T) {
	t.Parallel()
	author, other := newKey(t, 2).Public(), newKey(t, 3).Public()
	for name, test := range map[string]struct {
		content apppb.ChatMessage_ContentType
		ahead   uint64
		by      Change
		want    error
	}{
		"author":          {apppb.ChatMessage_TEXT_PLAIN, 1, Change{Author: author, Chat: "c"}, nil},
		"at once":         {apppb.ChatMessage_TEXT_PLAIN, 0, Change{Author: author, Chat: "c"}, nil},
		"before":          {apppb.ChatMessage_TEXT_PLAIN, ^uint64(0), Change{Author: author, Chat: "c"}, ErrEditClock},
		"somebody else":   {apppb.ChatMessage_TEXT_PLAIN, 1, Change{Author: other, Chat: "c"}, ErrNotAuthor},
		"moderator":       {apppb.ChatMessage_TEXT_PLAIN, 1, Change{Author: other, Chat: "c", Moderator: true}, ErrNotAuthor},
		"other chat":      {apppb.ChatMessage_TEXT_PLAIN, 1, Change{Author: author, Chat: "d"}, ErrOtherChat},
		"sticker":         {apppb.ChatMessage_STICKER, 1, Change{Author: author, Chat: "c"}, ErrNotEditable},
		"audio":           {apppb.ChatMessage_AUDIO, 1, Change{Author: author, Chat: "c"}, ErrNotEditable},
		"contact request": {apppb.ChatMessage_CONTACT_REQUEST, 1, Change{Author: author, Chat: "c"}, ErrNotEditable},
	} {
		m, _ := target(t, test.content)
		was := *m
		after, err := m.Edit(edit("new", test.ahead, 0), test.by)
		if !errors.Is(err, test.want) || (after == m) != (err != nil) || !reflect.DeepEqual(*m, was) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every rule of edits and deletions, at its limit and past it.
func TestValidateChanges(t *testing.T) {
	t.Parallel()
	limit := uint64(in.WakuTime.UnixMilli()) + 120_000
	for name, test := range map[string]struct {
		change func(e *apppb.EditMessage)
		edit   error // what becomes of the edit
		del    error // and of the deletion with the same fields
	}{
		"as it is":         {func(e *apppb.EditMessage) {}, nil, nil},
		"no clock":         {func(e *apppb.EditMessage) { e.Clock = 0 }, message.ErrClockZero, nil},
		"clock at limit":   {func(e *apppb.EditMessage) { e.Clock = limit }, nil, nil},
		"clock over limit": {func(e *apppb.EditMessage) { e.Clock = limit + 1 }, message.ErrClockAhead, message.ErrClockAhead},
		"no chat":          {func(e *apppb.EditMessage) { e.ChatId = "" }, ErrChatID, ErrChatID},
		"no target":        {func(e *apppb.EditMessage) { e.MessageId = "" }, ErrTarget, ErrTarget},
		"bad target":       {func(e *apppb.EditMessage) { e.MessageId = "0x12" }, ErrTarget, ErrTarget},
		"no 0x":            {func(e *apppb.EditMessage) { e.MessageId = e.MessageId[2:] }, nil, nil},
		"no type":          {func(e *apppb.EditMessage) { e.MessageType = 0 }, ErrMessageType, ErrMessageType},
		"system type":      {func(e *apppb.EditMessage) { e.MessageType = 4 }, ErrMessageType, ErrMessageType},
		"gap type":         {func(e *apppb.EditMessage) { e.MessageType = 6 }, ErrMessageType, ErrMessageType},
		"later type":       {func(e *apppb.EditMessage) { e.MessageType = 9 }, ErrMessageType, ErrMessageType},
		"no text":          {func(e *apppb.EditMessage) { e.Text = "" }, ErrTextBlank, nil},
		"blank text":       {func(e *apppb.EditMessage) { e.Text = " \t\n" }, ErrTextBlank, nil},
		"image, no text":   {func(e *apppb.EditMessage) { e.Text, e.ContentType = "", apppb.ChatMessage_IMAGE }, ErrTextBlank, nil},
		"text at limit":    {func(e *apppb.EditMessage) { e.Text = strings.Repeat("é", MaxText) }, nil, nil},
		"text over limit":  {func(e *apppb.EditMessage) { e.Text = strings.Repeat("é", MaxText+1) }, ErrTextLength, nil},
		"text not UTF-8":   {func(e *apppb.EditMessage) { e.Text = "\xff" }, ErrTextUTF8, nil},
	} {
		e := edit("new", 1, apppb.ChatMessage_TEXT_PLAIN)
		test.change(e)
		d := &apppb.DeleteMessage{Clock: e.Clock, ChatId: e.ChatId, MessageId: e.MessageId, MessageType: e.MessageType}
		got, err := ValidateEdit(e, in)
		if !errors.Is(err, test.edit) || err == nil && got != (message.ID{5}) {
			t.Errorf("%s, edit: %v, %v", name, got, err)
		}
		if got, err = ValidateDelete(d, in); !errors.Is(err, test.del) || err == nil && got != (message.ID{5}) {
			t.Errorf("%s, deletion: %v, %v", name, got, err)
		}
	}
	if _, err := ValidateEdit(nil, in); err == nil {
		t.Error("no edit is an edit")
	}
	if _, err := ValidateDelete(nil, in); err == nil {
		t.Error("no deletion is a deletion")
	}
	got, err := ValidateDeleteForMe(DeleteForMeMessage(&Message{ID: message.ID{5}}, 9))
	if err != nil || got != (message.ID{5}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ValidateDeleteForMe(&apppb.SyncDeleteForMeMessage{Clock: 1}); !errors.Is(err, ErrTarget) {
		t.Errorf("got %v", err)
	}
}

// Whatever is deleted is deleted without a trace of what was said.
//
// Proves: AP-181.
func TestDelete(t *testing.T) {
	t.Parallel()
	other := newKey(t, 3).Public()
	for content := range contentTypes {
		m, author := target(t, content)
		m.Author, m.Mentions, m.Links = Author{DisplayName: "alice"}, []key.Public{other}, links
		was := *m
		for name, test := range map[string]struct {
			by   Change
			want error
		}{
			"author":        {Change{Author: author, Chat: "c", ID: message.ID{8}}, nil},
			"moderator":     {Change{Author: other, Chat: "c", ID: message.ID{8}, Moderator: true}, nil},
			"somebody else": {Change{Author: other, Chat: "c", ID: message.ID{8}}, ErrNotAuthor},
			"other chat":    {Change{Author: other, Chat: "d", ID: message.ID{8}, Moderator: true}, ErrOtherChat},
		} {
			after, err := m.Delete(&apppb.DeleteMessage{Clock: 7, DeletedBy: author.Hex()}, test.by)
			if !errors.Is(err, test.want) || !reflect.DeepEqual(*m, was) {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil {
				if after != m {
					t.Errorf("%s: %+v", name, after)
				}
				continue
			}
			left := &Message{
				ID: m.ID, Chat: m.Chat, From: author, Clock: m.Clock, State: m.State,
				Deleted: &Deleted{By: test.by.Author, Clock: 7, ID: message.ID{8}, Album: m.AlbumID()},
			}
			if !reflect.DeepEqual(after, left) {
				t.Errorf("%s: left is %+v", name, after)
			}
			sameJSON(t, after)
			// An edit that comes after it is in order, and changes nothing.
			if again, err := after.Edit(edit("late", 9, 0), Change{Author: author, Chat: "c"}); err != nil || again != after {
				t.Errorf("%s: edited to %+v, %v", name, again, err)
			}
			if _, err := after.Edit(edit("late", 9, 0), Change{Author: other, Chat: "c"}); !errors.Is(err, ErrNotAuthor) {
				t.Errorf("%s: somebody else's edit: %v", name, err)
			}
		}
		if after := m.DeleteForMe(); after.Text != "" || !after.Deleted.ForMe || !after.Deleted.By.IsZero() || after.DeleteForMe() != after {
			t.Errorf("%+v", after)
		}
	}
}

// An album is deleted as a whole, with those of its images that come later, and
// nothing of anybody else's.
func TestDeleteAlbum(t *testing.T) {
	t.Parallel()
	first, author := target(t, apppb.ChatMessage_IMAGE)
	image := func(change func(m *Message)) *Message {
		m, _ := target(t, apppb.ChatMessage_IMAGE)
		m.ID = message.ID{9}
		change(m)
		return m
	}
	second := image(func(*Message) {})
	if second.DeleteWith(first) != second {
		t.Error("deleted with one that is not")
	}
	gone, err := first.Delete(&apppb.DeleteMessage{Clock: 7}, Change{Author: author, Chat: "c", ID: message.ID{8}})
	if err != nil {
		t.Fatal(err)
	}
	after := second.DeleteWith(gone)
	if after.Image != nil || *after.Deleted != *gone.Deleted || after.ID != second.ID || !after.SameAlbum(gone) {
		t.Errorf("%+v", after)
	}
	if forMe := second.DeleteWith(first.DeleteForMe()); !forMe.Deleted.ForMe || forMe.Image != nil {
		t.Errorf("%+v", forMe)
	}
	for name, m := range map[string]*Message{
		"somebody else's": image(func(m *Message) { m.From = newKey(t, 3).Public() }),
		"in another chat": image(func(m *Message) { m.Chat = "d" }),
		"another album":   image(func(m *Message) { m.Image.AlbumID = "b" }),
		"no album":        image(func(m *Message) { m.Image.AlbumID = "" }),
		"no image":        image(func(m *Message) { m.Image = nil }),
	} {
		if m.DeleteWith(gone) != m {
			t.Errorf("%s: deleted too", name)
		}
	}
	// Two single images are no album.
	single := image(func(m *Message) { m.Image.AlbumID = "" })
	if single.SameAlbum(single.DeleteForMe()) {
		t.Error("an album without a name")
	}
}

// In whatever order edits and deletions arrive, and however often, the message
// ends the same.
func TestChangesConverge(t *testing.T) {
	t.Parallel()
	author, admin, stranger := newKey(t, 2).Public(), newKey(t, 3).Public(), newKey(t, 4).Public()
	by := func(who key.Public, id byte) Change { return Change{ID: message.ID{id}, Author: who, Chat: "c"} }
	moderator := by(admin, 30)
	moderator.Moderator = true
	type step = func(m *Message) *Message
	edits := func(e *apppb.EditMessage, c Change) step {
		return func(m *Message) *Message { after, _ := m.Edit(e, c); return after }
	}
	deletes := func(clock uint64, c Change) step {
		return func(m *Message) *Message {
			after, _ := m.Delete(&apppb.DeleteMessage{Clock: clock}, c)
			return after
		}
	}
	editing := []step{
		edits(edit("one", 1, apppb.ChatMessage_TEXT_PLAIN), by(author, 10)),
		edits(edit("👍", 2, apppb.ChatMessage_EMOJI), by(author, 11)),
		edits(edit("two", 3, 0), by(author, 12)),
		edits(edit("tie", 3, apppb.ChatMessage_EMOJI), by(author, 13)),
		edits(edit("👎", 3, 0), by(author, 9)),
		edits(edit("forged", 9, apppb.ChatMessage_TEXT_PLAIN), by(stranger, 14)),
		edits(edit("too old", ^uint64(0), apppb.ChatMessage_TEXT_PLAIN), by(author, 15)),
	}
	deleting := append([]step{
		deletes(50, by(author, 20)), deletes(40, moderator), deletes(40, by(author, 31)), deletes(0, by(stranger, 21)),
		(*Message).DeleteForMe,
	}, editing...)
	for _, content := range []apppb.ChatMessage_ContentType{
		apppb.ChatMessage_TEXT_PLAIN, apppb.ChatMessage_EMOJI, apppb.ChatMessage_IMAGE, apppb.ChatMessage_BRIDGE_MESSAGE, apppb.ChatMessage_STICKER,
	} {
		for _, steps := range [][]step{editing, deleting} {
			var want *Message
			for seed := range uint64(200) {
				r := rand.New(rand.NewPCG(seed, 1))
				m, _ := target(t, content)
				for range 2 {
					for _, i := range r.Perm(len(steps)) {
						m = steps[i](m)
					}
				}
				if want == nil {
					want = m
				}
				if !reflect.DeepEqual(m, want) {
					t.Fatalf("content %d, seed %d:\n%+v, want\n%+v", content, seed, m, want)
				}
			}
			switch deleted := want.Deleted != nil; {
			case deleted != (len(steps) == len(deleting)):
				t.Errorf("deleted: %v", deleted)
			case deleted:
				if want.Deleted.By != admin || want.Deleted.Clock != 40 || !want.Deleted.ForMe || want.Edited != nil {
					t.Errorf("%+v", want.Deleted)
				}
			case content != apppb.ChatMessage_STICKER && want.Edited.ID != message.ID{13}:
				t.Errorf("%+v", want.Edited)
			}
		}
	}
}

// The images of an album and the deletions of some of them, in any order.
func TestAlbumConverges(t *testing.T) {
	t.Parallel()
	const images = 4
	author := newKey(t, 2).Public()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		present := map[int]*Message{}
		waiting := map[int][]func(m *Message) *Message{}
		everywhere := func() {
			for i := range present {
				for j := range present {
					present[i] = present[i].DeleteWith(present[j])
				}
			}
		}
		arrive := func(i int) {
			m, _ := target(t, apppb.ChatMessage_IMAGE)
			m.ID = message.ID{byte(i + 1)}
			if present[i] == nil {
				present[i] = m
			}
			for _, do := range waiting[i] {
				present[i] = do(present[i])
			}
			everywhere()
		}
		remove := func(i int, do func(m *Message) *Message) {
			if present[i] == nil {
				waiting[i] = append(waiting[i], do)
				return
			}
			present[i] = do(present[i])
			everywhere()
		}
		deletion := func(clock uint64, id byte) func(m *Message) *Message {
			return func(m *Message) *Message {
				after, err := m.Delete(&apppb.DeleteMessage{Clock: clock}, Change{ID: message.ID{id}, Author: author, Chat: "c"})
				if err != nil {
					t.Error(err)
				}
				return after
			}
		}
		steps := []func(){
			func() { arrive(0) }, func() { arrive(1) }, func() { arrive(2) }, func() { arrive(3) },
			func() { remove(2, deletion(9, 50)) }, func() { remove(0, deletion(8, 51)) }, func() { remove(3, (*Message).DeleteForMe) },
		}
		for _, i := range r.Perm(len(steps)) {
			steps[i]()
		}
		for i := range images {
			want := Deleted{By: author, Clock: 8, ID: message.ID{51}, ForMe: true, Album: "a"}
			if present[i].Deleted == nil || *present[i].Deleted != want || present[i].Image != nil {
				t.Fatalf("seed %d, image %d: %+v", seed, i, present[i].Deleted)
			}
		}
	}
}

// What we compose changes what it is meant to, at every receiver.
//
// Proves: AP-180, AP-181.
func TestComposeChanges(t *testing.T) {
	t.Parallel()
	self, other := newKey(t, 1).Public(), newKey(t, 2).Public()
	for _, kind := range []message.ChatKind{message.OneToOne, message.PrivateGroup, message.PublicChat, message.Community} {
		d := draftTo(t, kind)
		d.Text, d.Links = "edited", links
		m := New(message.ID{5}, self, d.Chat, with(apppb.ChatMessage_EMOJI), Sent)
		e, err := EditMessage(m, self, d)
		if err != nil {
			t.Fatal(err)
		}
		id, err := ValidateEdit(e, in)
		if err != nil || id != m.ID {
			t.Errorf("%v, %v", id, err)
		}
		after, err := m.Edit(e, Change{Author: self, Chat: d.Chat})
		if err != nil || after.Text != "edited" || after.ContentType != "text" || len(after.Links) != 2 {
			t.Errorf("%+v, %v", after, err)
		}
		del, err := DeleteMessage(m, self, false, d)
		if err != nil || del.DeletedBy != "" {
			t.Fatalf("%v, %v", del, err)
		}
		if id, err = ValidateDelete(del, in); err != nil || id != m.ID {
			t.Errorf("%v, %v", id, err)
		}
		theirs := New(message.ID{6}, other, d.Chat, text(), Received)
		del, err = DeleteMessage(theirs, self, true, d)
		if kind == message.OneToOne {
			if !errors.Is(err, ErrNotAuthor) {
				t.Errorf("deleting what the other wrote: %v", err)
			}
		} else if err != nil || del.DeletedBy != self.Hex() {
			t.Errorf("%v, %v", del, err)
		}
	}

	d := draftTo(t, message.PrivateGroup)
	mine := func(content apppb.ChatMessage_ContentType) *Message {
		return New(message.ID{5}, self, "chat", with(content), Sent)
	}
	moved, gone := mine(apppb.ChatMessage_TEXT_PLAIN), mine(apppb.ChatMessage_TEXT_PLAIN).DeleteForMe()
	moved.Chat = "other"
	for name, test := range map[string]struct {
		m         *Message
		change    func(d *Draft)
		edit, del error
	}{
		"text":            {mine(apppb.ChatMessage_TEXT_PLAIN), func(d *Draft) {}, nil, nil},
		"image":           {mine(apppb.ChatMessage_IMAGE), func(d *Draft) {}, nil, nil},
		"bridge":          {mine(apppb.ChatMessage_BRIDGE_MESSAGE), func(d *Draft) {}, nil, nil},
		"sticker":         {mine(apppb.ChatMessage_STICKER), func(d *Draft) {}, ErrNotEditable, nil},
		"audio":           {mine(apppb.ChatMessage_AUDIO), func(d *Draft) {}, ErrNotEditable, nil},
		"contact request": {mine(apppb.ChatMessage_CONTACT_REQUEST), func(d *Draft) {}, ErrNotEditable, ErrNotDeletable},
		"community":       {mine(apppb.ChatMessage_COMMUNITY), func(d *Draft) {}, ErrNotEditable, ErrNotDeletable},
		"other chat":      {moved, func(d *Draft) {}, ErrOtherChat, ErrOtherChat},
		"deleted":         {gone, func(d *Draft) {}, ErrIsDeleted, ErrIsDeleted},
		"somebody else's": {New(message.ID{6}, other, "chat", text(), Received), func(d *Draft) {}, ErrNotAuthor, ErrNotAuthor},
		"no clock":        {mine(apppb.ChatMessage_TEXT_PLAIN), func(d *Draft) { d.Clock = 0 }, ErrEditClock, message.ErrClockZero},
		"no kind":         {mine(apppb.ChatMessage_TEXT_PLAIN), func(d *Draft) { d.Kind = 0 }, ErrMessageType, ErrMessageType},
		"no text":         {mine(apppb.ChatMessage_TEXT_PLAIN), func(d *Draft) { d.Text = "" }, ErrTextBlank, nil},
		"long text":       {mine(apppb.ChatMessage_TEXT_PLAIN), func(d *Draft) { d.Text = strings.Repeat("x", MaxText+1) }, ErrTextLength, nil},
		"many links":      {mine(apppb.ChatMessage_TEXT_PLAIN), func(d *Draft) { d.Links = make([]Link, MaxLinks+1) }, ErrLinks, nil},
	} {
		d := d
		test.change(&d)
		e, err := EditMessage(test.m, self, d)
		if !errors.Is(err, test.edit) || (e == nil) != (err != nil) {
			t.Errorf("%s, edit: %v, %v", name, e, err)
		}
		del, err := DeleteMessage(test.m, self, false, d)
		if !errors.Is(err, test.del) || (del == nil) != (err != nil) {
			t.Errorf("%s, deletion: %v, %v", name, del, err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	author := newKey(b, 1).Public()
	m := text()
	m.Text = "hi " + Mention(author)
	b.ReportAllocs()
	for b.Loop() {
		New(message.ID{1}, author, "c", m, Received)
	}
}
