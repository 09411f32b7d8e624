package stack

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// The messages of a thread say which one it is, and what it is called waits for
// the message that it hangs on.
func TestThreads(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f, other := newForger(t, 1, clock.at), newForger(t, 2, clock.at)
	f.meet(s)
	g := f.groupOf(s.Self(), other.key.Public())
	f.deliver(s, f.update(g.Update()))
	at := uint64(clock.at.UnixMilli())
	parent, id := f.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, f.inGroup(g, "parent", at))
	thread := id.String()
	reply := f.inGroup(g, "in the thread", at+1)
	reply.ThreadId = &thread
	child, childID := f.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, reply)
	name := func(by *forger, clock uint64, text string) []byte {
		return by.wrap(apppb.ApplicationMetadataMessage_THREAD_METADATA, &apppb.ThreadMetadata{
			Clock: clock, ChatId: g.ID, ThreadId: thread, Name: text, CreatorId: by.key.Public().Hex(), MessageType: apppb.MessageType_PRIVATE_GROUP,
		})
	}
	stranger := newForger(t, 3, clock.at)
	f.deliver(s, child, name(f, at+2, "plans"))
	stranger.deliver(s, name(stranger, at+9, "mine"))
	if n := waitingIn(t, s); n != 2 {
		t.Errorf("%d messages wait", n)
	}
	f.deliver(s, parent)
	check := func(want string) {
		t.Helper()
		m, err := s.Message(id)
		if err != nil || m.Threaded == nil || m.Threaded.Name != want || m.Text != "parent" {
			t.Errorf("%+v, %v; %v", m, err, s.Counters())
		}
	}
	check("plans")
	f.deliver(s, name(f, at+1, "an older name"))
	check("plans")
	other.deliver(s, name(other, at+3, "better plans"))
	check("better plans")
	if m, err := s.Message(childID); err != nil || m.Thread != thread {
		t.Errorf("%+v, %v", m, err)
	}
	if n := len(eventsOf(t, s, EventMessageChanged)); n != 2 {
		t.Errorf("%d changes were told of", n)
	}
}

// Events of a group that do not hold count, each once; those that come with
// them do hold.
func TestGroupEventsCount(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	f.meet(s)
	g := f.groupOf(s.Self())
	at := g.Clock()
	event := func(by *forger, clock uint64, name string) []byte {
		body, err := proto.Marshal(&apppb.MembershipUpdateEvent{Clock: clock, Name: name, Type: apppb.MembershipUpdateEvent_NAME_CHANGED})
		f.ok(err)
		signature, err := by.key.Sign(key.Keccak256([]byte(g.ID), body))
		f.ok(err)
		return append(signature, body...)
	}
	u := g.Update()
	u.Events = append(u.Events, event(newForger(t, 2, clock.at), at+1, "a stranger's"), event(f, at+200_000, "ahead"), []byte("garbage"), event(f, at+2, "renamed"))
	for range 2 {
		before := s.Counters()
		f.deliver(s, f.update(u))
		after := s.Counters()
		for err, want := range map[error]uint64{group.ErrNotMember: 1, message.ErrClockAhead: 1, group.ErrMalformed: 1} {
			name := "group event: " + err.Error()
			if before[name] > 0 && err == group.ErrNotMember {
				want = 0 // it is known
			}
			if got := after[name] - before[name]; got != want {
				t.Errorf("%s: %d more, want %d: %v", name, got, want, after)
			}
		}
		if c, err := s.Chat(g.ID); err != nil || c.Name != "renamed" {
			t.Errorf("%+v, %v", c, err)
		}
		clock.advance(1)
		u = u.WithMessage(f.inGroup(g, "again", at+3)) // another message, so not a replay
	}
}
