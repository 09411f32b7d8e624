package chat

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// naming returns a valid message that names a thread.
func naming(author key.Public) *apppb.ThreadMetadata {
	return &apppb.ThreadMetadata{
		Clock: 1_700_000_000_000, ChatId: "group", ThreadId: message.ID{7}.String(), Name: "Plans", CreatorId: author.Hex(),
		MessageType: apppb.MessageType_PRIVATE_GROUP,
	}
}

func TestValidateThread(t *testing.T) {
	t.Parallel()
	author, other := newKey(t, 1).Public(), newKey(t, 2).Public()
	limit := uint64(in.WakuTime.UnixMilli()) + 120_000
	for name, test := range map[string]struct {
		change func(m *apppb.ThreadMetadata)
		want   error
	}{
		"as it is":         {func(m *apppb.ThreadMetadata) {}, nil},
		"no clock":         {func(m *apppb.ThreadMetadata) { m.Clock = 0 }, message.ErrClockZero},
		"clock at limit":   {func(m *apppb.ThreadMetadata) { m.Clock = limit }, nil},
		"clock over limit": {func(m *apppb.ThreadMetadata) { m.Clock = limit + 1 }, message.ErrClockAhead},
		"no chat":          {func(m *apppb.ThreadMetadata) { m.ChatId = "" }, ErrChatID},
		"no type":          {func(m *apppb.ThreadMetadata) { m.MessageType = 0 }, ErrMessageType},
		"no thread":        {func(m *apppb.ThreadMetadata) { m.ThreadId = "" }, ErrTarget},
		"somebody else's":  {func(m *apppb.ThreadMetadata) { m.CreatorId = other.Hex() }, ErrThreadCreator},
		"nobody's":         {func(m *apppb.ThreadMetadata) { m.CreatorId = "" }, ErrThreadCreator},
		"no name":          {func(m *apppb.ThreadMetadata) { m.Name = "" }, ErrThreadName},
		"blank name":       {func(m *apppb.ThreadMetadata) { m.Name = " \u00a0" }, ErrThreadName},
		"name at limit":    {func(m *apppb.ThreadMetadata) { m.Name = strings.Repeat("ü", MaxThreadName) }, nil},
		"name over limit":  {func(m *apppb.ThreadMetadata) { m.Name = strings.Repeat("ü", MaxThreadName+1) }, ErrThreadName},
		"name of lines":    {func(m *apppb.ThreadMetadata) { m.Name = "a\nb" }, ErrThreadName},
		"name not UTF-8":   {func(m *apppb.ThreadMetadata) { m.Name = "a\xff" }, ErrThreadName},
	} {
		m := naming(author)
		test.change(m)
		id, err := ValidateThread(m, author, in)
		if !errors.Is(err, test.want) || err == nil && id != (message.ID{7}) {
			t.Errorf("%s: %s, %v, want %v", name, id, err, test.want)
		}
	}
}

// In whatever order names arrive, one holds; nothing else of the message
// changes.
func TestNameThread(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, 1).Public(), newKey(t, 2).Public()
	m := &Message{ID: message.ID{7}, Chat: "group", From: a, Text: "text", ContentType: "text"}
	type said struct {
		clock uint64
		name  string
		by    key.Public
	}
	all := []said{{5, "first", a}, {9, "second", b}, {9, "third", a}, {7, "late", b}}
	apply := func(m *Message, s said) *Message {
		t.Helper()
		after, err := m.NameThread(&apppb.ThreadMetadata{Clock: s.clock, Name: " " + s.name}, Change{Author: s.by, Chat: "group"})
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	var want *Thread
	for shift := range all {
		after := m
		for i := range all {
			after = apply(after, all[(i+shift)%len(all)])
		}
		if after.Threaded == nil || after.Threaded.Clock != 9 || strings.HasPrefix(after.Threaded.Name, " ") {
			t.Fatalf("%+v", after.Threaded)
		}
		if want == nil {
			want = after.Threaded
		}
		if *after.Threaded != *want || after.Text != m.Text || m.Threaded != nil {
			t.Errorf("%+v, before %+v", after.Threaded, want)
		}
		if again := apply(after, said{9, want.Name, want.By}); again != after {
			t.Error("the same again is a change")
		}
	}
	if after, err := m.NameThread(naming(a), Change{Author: a, Chat: "elsewhere"}); !errors.Is(err, ErrOtherChat) || after != m {
		t.Errorf("%+v, %v", after, err)
	}
	gone := m.DeleteForMe()
	if after := apply(gone, all[0]); after != gone {
		t.Errorf("%+v", after)
	}
}

func FuzzThread(f *testing.F) {
	author := newKey(f, 1).Public()
	raw, err := message.Encode(naming(author))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	late := contact.Incoming{WakuTime: time.Unix(1<<40, 0)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m apppb.ThreadMetadata
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		if _, err := ValidateThread(&m, author, late); err != nil {
			return
		}
		after, err := (&Message{}).NameThread(&m, Change{Author: author})
		if err != nil || after.Threaded == nil || after.Threaded.Name == "" || strings.Contains(after.Threaded.Name, "\n") {
			t.Fatalf("%+v, %v", after.Threaded, err)
		}
	})
}
