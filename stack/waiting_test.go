package stack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// deliver gives a stack signed messages of the forger's, each in an envelope.
func (f *forger) deliver(s *Stack, messages ...[]byte) {
	f.t.Helper()
	for _, raw := range messages {
		hand(f.t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), raw))))
	}
}

// wrapped makes a message of the forger's with its id.
func (f *forger) wrapped(typ message.Type, m proto.Message) (raw []byte, id message.ID) {
	f.t.Helper()
	raw = f.wrap(typ, m)
	opened, err := message.Open(raw, f.key.Public())
	f.ok(err)
	return raw, opened.ID
}

func waitingIn(t testing.TB, s *Stack) (n int) {
	t.Helper()
	err := s.db.View(func(tx *storage.Tx) (err error) {
		n, _, err = tx.Waiting()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// conversation is a message with everything that can be about it.
func (f *forger) conversation(place string, typ apppb.MessageType) (first []byte, later [][]byte, id message.ID) {
	clock := uint64(f.now.UnixMilli())
	first, id = f.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: clock, Timestamp: clock, Text: "first", ChatId: place, MessageType: typ, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	})
	for i, text := range []string{"second", "third"} {
		later = append(later, f.wrap(apppb.ApplicationMetadataMessage_EDIT_MESSAGE, &apppb.EditMessage{
			Clock: clock + 1 + uint64(i), Text: text, ChatId: place, MessageId: id.String(), MessageType: typ,
		}))
	}
	later = append(later,
		f.wrap(apppb.ApplicationMetadataMessage_EMOJI_REACTION, &apppb.EmojiReaction{Clock: clock + 3, ChatId: place, MessageId: id.String(), MessageType: typ, Emoji: "1f99c"}),
		f.wrap(apppb.ApplicationMetadataMessage_PIN_MESSAGE, &apppb.PinMessage{Clock: clock + 4, ChatId: place, MessageId: id.String(), MessageType: typ, Pinned: true}),
	)
	return first, later, id
}

// In whatever order a message, its edits, a reaction and a pin arrive: the
// outcome is the same, and nothing is left waiting.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s, clock := still(t, 0)
			f := newForger(t, 1, clock.at)
			first, later, id := f.conversation(chat.OneToOneID(s.Self()), apppb.MessageType_ONE_TO_ONE)
			all := append([][]byte{first}, later...)
			rng := rand.New(rand.NewPCG(seed, 0))
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			f.deliver(s, all...)
			m, err := s.Message(id)
			if err != nil || m.Text != "third" || m.Edited == nil {
				t.Errorf("%+v, %v", m, err)
			}
			reactions, err := s.Reactions([]message.ID{id})
			if err != nil || len(reactions[id]) != 1 {
				t.Errorf("%+v, %v", reactions, err)
			}
			if pins, err := s.Pins(chat.OneToOneID(f.key.Public())); err != nil || len(pins) != 1 {
				t.Errorf("%+v, %v", pins, err)
			}
			if n := waitingIn(t, s); n != 0 {
				t.Errorf("%d messages wait", n)
			}
			for name := range s.Counters() {
				if !strings.HasPrefix(name, "waiting: ") {
					t.Errorf("counted %s", name)
				}
			}
		})
	}
}

// A deletion that comes before its message leaves nothing of it.
func TestDeletionFirst(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	first, later, id := f.conversation(chat.OneToOneID(s.Self()), apppb.MessageType_ONE_TO_ONE)
	gone := f.wrap(apppb.ApplicationMetadataMessage_DELETE_MESSAGE, &apppb.DeleteMessage{
		Clock: uint64(f.now.UnixMilli()) + 9, ChatId: chat.OneToOneID(s.Self()), MessageId: id.String(), MessageType: apppb.MessageType_ONE_TO_ONE,
	})
	f.deliver(s, later[1], gone)
	if n := waitingIn(t, s); n != 2 {
		t.Fatalf("%d messages wait", n)
	}
	f.deliver(s, first)
	if m, err := s.Message(id); err != nil || m.Deleted == nil || m.Text != "" {
		t.Errorf("%+v, %v", m, err)
	}
	if c, err := s.Chat(chat.OneToOneID(f.key.Public())); err != nil || c.UnreadCount != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// What waits is bounded, for each target, and forgotten in the end.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	f.meet(s)
	unknown := message.ID{1}
	at := uint64(clock.at.UnixMilli())
	for i := range storage.MaxWaitingPerTarget + 10 {
		f.deliver(s, f.wrap(apppb.ApplicationMetadataMessage_EDIT_MESSAGE, &apppb.EditMessage{
			Clock: at + uint64(i), Text: "x", ChatId: chat.OneToOneID(s.Self()), MessageId: unknown.String(), MessageType: apppb.MessageType_ONE_TO_ONE,
		}))
	}
	if n := waitingIn(t, s); n != storage.MaxWaitingPerTarget {
		t.Errorf("%d messages wait for one target", n)
	}
	clock.advance(storage.MaxWait + 2*purgeInterval)
	for range 3 {
		if _, err := s.tick(); err != nil {
			t.Fatal(err)
		}
	}
	if n := waitingIn(t, s); n != 0 {
		t.Errorf("%d messages wait for ever", n)
	}
}

// groupOf makes a group of the forger's with others in it.
func (f *forger) groupOf(members ...key.Public) group.Group {
	f.t.Helper()
	g, _, err := group.Create(f.key, "forged", "", members, uint64(f.now.UnixMilli()), f.rand)
	f.ok(err)
	return g
}

func (f *forger) update(u group.Update) []byte {
	f.t.Helper()
	body, err := u.Encode()
	f.ok(err)
	raw, _, err := message.Wrap(apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, body, f.key)
	f.ok(err)
	return raw
}

func (f *forger) inGroup(g group.Group, text string, clock uint64) *apppb.ChatMessage {
	return &apppb.ChatMessage{
		Clock: clock, Timestamp: clock, Text: text, ChatId: g.ID, MessageType: apppb.MessageType_PRIVATE_GROUP, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	}
}

// What is said in a group before the group is known here, or before its author
// is known to be a member, waits for that.
func TestGroupComesLate(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	admin, member := newForger(t, 1, clock.at), newForger(t, 2, clock.at)
	at := uint64(clock.at.UnixMilli())
	g := admin.groupOf(s.Self())
	said, id := admin.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, admin.inGroup(g, "first", at+10))
	react := func(f *forger, clock uint64, emoji string) []byte {
		return f.wrap(apppb.ApplicationMetadataMessage_EMOJI_REACTION, &apppb.EmojiReaction{
			Clock: clock, ChatId: g.ID, MessageId: id.String(), MessageType: apppb.MessageType_PRIVATE_GROUP, Emoji: emoji,
		})
	}
	member.deliver(s, react(member, at+30, "1f99c"))
	admin.deliver(s, react(admin, at+20, "1f99c"), said)
	if n := waitingIn(t, s); n != 3 {
		t.Fatalf("%d messages wait", n)
	}
	admin.deliver(s, admin.update(g.Update()))
	if m, err := s.Message(id); err != nil || m.Text != "first" {
		t.Fatalf("%+v, %v", m, err)
	}
	count := func(emoji string) int {
		all, err := s.Reactions([]message.ID{id})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all[id] {
			if r.Emoji == emoji {
				return r.Count
			}
		}
		return 0
	}
	if got := count("🦜"); got != 1 {
		t.Errorf("%d reactions", got)
	}
	if n := waitingIn(t, s); n != 1 {
		t.Errorf("%d messages wait for their author's adding", n)
	}
	larger, _, err := g.AddMembers(admin.key, []key.Public{member.key.Public()}, at+25)
	admin.ok(err)
	admin.deliver(s, admin.update(larger.Update()))
	if got := count("🦜"); got != 2 {
		t.Errorf("%d reactions after the adding", got)
	}
	if n := waitingIn(t, s); n != 0 {
		t.Errorf("%d messages wait", n)
	}

	// Who was removed is not heard any more, not even when it was said before;
	// what is said along with events that hold does not take them away.
	smaller, _, err := larger.Remove(admin.key, member.key.Public(), at+40)
	admin.ok(err)
	admin.deliver(s, admin.update(smaller.Update()))
	before := content(t, s.db, lowerFamilies...)
	member.deliver(s, react(member, at+35, "2764"),
		member.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, member.inGroup(g, "too late", at+36)),
		member.wrap(apppb.ApplicationMetadataMessage_PIN_MESSAGE, &apppb.PinMessage{Clock: at + 37, ChatId: g.ID, MessageId: id.String(), MessageType: apppb.MessageType_PRIVATE_GROUP, Pinned: true}))
	if changed := difference(before, content(t, s.db, lowerFamilies...)); len(changed) != 0 {
		t.Errorf("who was removed changed %v", changed)
	}
	joined, _, err := larger.Join(member.key, at+39)
	admin.ok(err)
	member.deliver(s, member.update(joined.Update().WithMessage(member.inGroup(g, "with an event", at+41))))
	has, err := s.Group(g.ID)
	if err != nil || len(has.Events)+len(has.Refused) != len(joined.Events)+1 || has.IsMember(member.key.Public()) {
		t.Errorf("%d events hold and %d do not, %v", len(has.Events), len(has.Refused), err)
	}
	all, err := s.Messages(g.ID)
	if err != nil || len(all) != 1 {
		t.Errorf("%d messages, %v", len(all), err)
	}
}

// Strangers do not get into a group: not with events they signed, not by
// passing on what others said there, and not with what waits.
//
// Proves: AP-164, AP-173.
func TestGroupRefusesStrangers(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	admin, stranger := newForger(t, 1, clock.at), newForger(t, 2, clock.at)
	at := uint64(clock.at.UnixMilli())
	g := admin.groupOf(s.Self())
	// A message along with the events that make the group is handled after them.
	said, id := admin.wrapped(apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, mustDecode(t, g.Update().WithMessage(admin.inGroup(g, "welcome", at+5))))
	admin.deliver(s, said)
	if m, err := s.Message(id); err != nil || m.Text != "welcome" {
		t.Fatalf("%+v, %v", m, err)
	}
	reaction := &apppb.EmojiReaction{Clock: at + 6, ChatId: g.ID, MessageId: id.String(), MessageType: apppb.MessageType_PRIVATE_GROUP, Emoji: "1f99c"}
	admin.deliver(s, admin.update(g.Update().WithReaction(reaction)))
	if all, err := s.Reactions([]message.ID{id}); err != nil || len(all[id]) != 1 {
		t.Errorf("a reaction in an update: %+v, %v", all, err)
	}

	other := stranger.groupOf(identity(t, 5).Public())
	before := content(t, s.db, append(lowerFamilies, "waiting", "counter/waiting", "app/")...)
	forged := g
	if signed, err := group.Sign(g.ID, group.Event{Clock: at + 50, Type: group.MembersAdded, Members: []key.Public{stranger.key.Public()}}, stranger.key); err != nil {
		t.Fatal(err)
	} else {
		forged.Events = append(slices.Clone(g.Events), signed)
	}
	stranger.deliver(s,
		stranger.update(forged.Update()),                                        // adds themselves
		stranger.update(g.Update().WithMessage(stranger.inGroup(g, "x", at+7))), // is no member
		stranger.update(other.Update()),                                         // a group without us
		stranger.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, stranger.inGroup(g, "x", at+8)),
		stranger.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, stranger.inGroup(other, "x", at+8)),
		stranger.wrap(apppb.ApplicationMetadataMessage_DELETE_MESSAGE, &apppb.DeleteMessage{Clock: at + 9, ChatId: g.ID, MessageId: id.String(), MessageType: apppb.MessageType_PRIVATE_GROUP}),
		said, // passed on
	)
	if changed := difference(before, content(t, s.db, append(lowerFamilies, "waiting", "counter/waiting", "app/")...)); len(changed) != 0 {
		t.Errorf("a stranger changed %v; %v", changed, s.Counters())
	}
	// What waits of somebody who is blocked meanwhile is dropped.
	if _, err := s.BlockContact(stranger.key.Public()); err != nil {
		t.Fatal(err)
	}
	larger, _, err := g.AddMembers(admin.key, []key.Public{stranger.key.Public()}, at+60)
	admin.ok(err)
	admin.deliver(s, admin.update(larger.Update()))
	if all, err := s.Messages(g.ID); err != nil || len(all) != 1 || all[0].Deleted != nil {
		t.Errorf("%d messages, %v", len(all), err)
	}
}

func mustDecode(t testing.TB, u group.Update) *apppb.MembershipUpdateMessage {
	t.Helper()
	raw, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m := new(apppb.MembershipUpdateMessage)
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A group on links that lose, duplicate and reorder, where everybody does
// everything at once and crashes in between: all come to one state.
func TestGroupOnBadLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(120)
		alice, bobby, carol, id := circle(t, n)
		done[group.Group](alice)(alice.AddAdmins(id, keysOf(bobby)))
		settle(t, alice, bobby, carol)
		n.mu.Lock()
		n.loss, n.duplication, n.delay = 0.2, 0.2, 3*time.Second
		n.mu.Unlock()
		rng := rand.New(rand.NewPCG(120, 1))
		people := []*person{alice, bobby, carol}
		var ids []message.ID
		for i := range 60 {
			p := people[rng.IntN(3)]
			switch rng.IntN(8) {
			case 0:
				if len(ids) > 0 {
					if _, err := p.React(ids[rng.IntN(len(ids))], "🙂", false); err != nil {
						t.Log(err) // it has not heard of the message, or reacted before
					}
				}
			case 1:
				for _, m := range ids {
					if own, err := p.Message(m); err == nil && own.From == p.key.Public() && own.Deleted == nil {
						done[*chat.Message](p)(p.EditMessage(m, Content{Text: fmt.Sprint("edit ", i)}))
						break
					}
				}
			case 2:
				if p != carol {
					done[group.Group](p)(p.RenameGroup(id, fmt.Sprint("name ", i)))
				}
			case 3:
				if rng.IntN(2) == 0 {
					p.crash()
				}
			case 4:
				if len(ids) > 0 {
					if _, err := alice.DeleteMessage(ids[rng.IntN(len(ids))]); err != nil {
						t.Log(err)
					}
				}
			default:
				ids = append(ids, p.says(id, fmt.Sprint("text ", i)).ID)
			}
			<-time.After(time.Duration(rng.Int64N(int64(2 * time.Second))))
		}
		settle(t, people...)
		agree(t, id, people...)
		for _, p := range people {
			if n := waitingIn(t, p.Stack); n != 0 {
				t.Errorf("%s: %d messages wait", p.name, n)
			}
			if got := p.noted(activity.GroupInvitation); len(got) != 0 {
				t.Errorf("%s: %q", p.name, got)
			}
		}
	})
}
