package stack

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// chronicleOf is the history in a group's chat, in words.
func chronicleOf(t testing.TB, s *Stack, id string, names map[key.Public]string) (all []string, ids []message.ID) {
	t.Helper()
	page, err := s.Page(storage.PageQuery{Chat: id, Limit: storage.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Backward(page.Messages) {
		if !m.IsSystem() {
			all = append(all, "«"+m.Text+"»")
			continue
		}
		words := []string{names[m.From], m.GroupChange.Kind}
		for _, k := range m.GroupChange.Members {
			words = append(words, names[k])
		}
		all = append(all, strings.Join(append(words, m.GroupChange.Text), " "))
		ids = append(ids, m.ID)
	}
	return all, ids
}

// What is done to a group is told in its chat at its place between what is
// said, once, however often and in whatever order the events come; what turns
// out void goes again. Nothing of it counts, is found, or can be answered,
// changed or deleted by others.
func TestGroupHistory(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	admin, member := newForger(t, 1, clock.at), newForger(t, 2, clock.at)
	names := map[key.Public]string{s.Self(): "me", admin.key.Public(): "admin", member.key.Public(): "member"}
	at := uint64(clock.at.UnixMilli())
	g := admin.groupOf(s.Self(), member.key.Public())
	admin.deliver(s, admin.update(g.Update()))
	first, _ := chronicleOf(t, s, g.ID, names)
	if len(first) != 2 || !strings.HasPrefix(first[0], "admin created") || first[1] != "admin member_added me member " {
		t.Fatalf("%q", first)
	}
	renamed, _, err := g.Rename(admin.key, "late news", at+30)
	admin.ok(err)
	admin.deliver(s, admin.update(renamed.Update().WithMessage(admin.inGroup(g, "after it", at+40))))
	// An event that is older comes after a newer one, and many times.
	joined, _, err := g.Join(member.key, at+20)
	admin.ok(err)
	for range 3 {
		member.deliver(s, member.update(joined.Update()))
		admin.deliver(s, admin.update(renamed.Update()))
	}
	got, ids := chronicleOf(t, s, g.ID, names)
	want := append(first, "member member_joined member ", "admin renamed late news", "«after it»")
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	told := 0
	for _, e := range eventsOf(t, s, EventMessage) {
		if strings.Contains(string(e.Data), `"content_type":"system"`) {
			told++
		}
	}
	if told != len(ids) {
		t.Errorf("%d events of %d entries", told, len(ids))
	}
	list, err := s.ChatList()
	if err != nil || len(list) != 1 || list[0].Last.Text != "after it" || list[0].Summary.Unread != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if found, err := s.Search(storage.Query{Text: "late"}); err != nil || len(found.Messages) != 0 {
		t.Errorf("found %+v, %v", found, err)
	}

	// Its author does not change it, nor does anybody react to it.
	done := ids[3]
	before := content(t, s.db, lowerFamilies...)
	admin.deliver(s,
		admin.wrap(apppb.ApplicationMetadataMessage_EDIT_MESSAGE, &apppb.EditMessage{Clock: at + 50, Text: "x", ChatId: g.ID, MessageId: done.String(), MessageType: apppb.MessageType_PRIVATE_GROUP}),
		admin.wrap(apppb.ApplicationMetadataMessage_DELETE_MESSAGE, &apppb.DeleteMessage{Clock: at + 51, ChatId: g.ID, MessageId: done.String(), MessageType: apppb.MessageType_PRIVATE_GROUP}),
		admin.wrap(apppb.ApplicationMetadataMessage_EMOJI_REACTION, &apppb.EmojiReaction{Clock: at + 52, ChatId: g.ID, MessageId: done.String(), MessageType: apppb.MessageType_PRIVATE_GROUP, Emoji: "1f99c"}),
		admin.wrap(apppb.ApplicationMetadataMessage_PIN_MESSAGE, &apppb.PinMessage{Clock: at + 53, ChatId: g.ID, MessageId: done.String(), MessageType: apppb.MessageType_PRIVATE_GROUP, Pinned: true}))
	if changed := difference(before, content(t, s.db, lowerFamilies...)); len(changed) != 0 {
		t.Errorf("others changed %v", changed)
	}
	if _, err := s.JoinGroup(g.ID); err != nil {
		t.Fatal(err)
	}
	before = content(t, s.db)
	for what, err := range map[string]error{
		"reacting": second(s.React(done, "👍", false)),
		"pinning":  second(s.Pin(done, true)),
		"editing":  second(s.EditMessage(done, Content{Text: "x"})),
		"deleting": second(s.DeleteMessage(done)),
		"replying": second(s.Say(g.ID, Content{Text: "x", ReplyTo: done.String()})),
		"retrying": second(s.Resend(done)),
	} {
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	if changed := difference(before, content(t, s.db)); len(changed) != 0 {
		t.Errorf("refused and changed %v", changed)
	}

	// The admin had removed the member before they joined: that never was.
	removed, _, err := g.Remove(admin.key, member.key.Public(), at+15)
	admin.ok(err)
	admin.deliver(s, admin.update(removed.Update()))
	got, _ = chronicleOf(t, s, g.ID, names)
	want = append(slices.Clone(first), "admin member_removed member ", "admin renamed late news", "«after it»")
	if !slices.Equal(got[:len(want)], want) || len(got) != len(want)+1 || got[len(want)] != "me member_joined me " {
		t.Errorf("%q, want %q", got, want)
	}

	// We need not see it, and it does not come back.
	if err := s.DeleteMessageForMe(done); err != nil {
		t.Fatal(err)
	}
	admin.deliver(s, admin.update(removed.Update()))
	if got, _ := chronicleOf(t, s, g.ID, names); slices.Contains(got, "admin renamed late news") {
		t.Errorf("%q", got)
	}
	if _, err := s.ClearHistory(g.ID); err != nil {
		t.Fatal(err)
	}
	if got, _ := chronicleOf(t, s, g.ID, names); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func second[T any](_ T, err error) error { return err }

// Who comes later sees what was done before, and what somebody did whom they
// have blocked; all have one history.
func TestGroupHistoryComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(123)
		alice, bobby, carol, id := circle(t, n)
		dave := n.person(t, "Dave D", 3)
		befriend(t, alice, dave)
		done[group.Group](alice)(alice.RenameGroup(id, "the ring"))
		done[group.Group](carol)(carol.LeaveGroup(id))
		alice.says(id, "now we are two")
		settle(t, alice, bobby, carol)
		alice.must(alice.BlockContact(bobby.key.Public()))
		done[group.Group](alice)(alice.AddMembers(id, keysOf(dave)))
		settle(t, alice, carol, dave)
		if a, d := alice.history(id), dave.history(id); len(a) < 6 || !slices.Equal(a, d) {
			t.Errorf("Alice and Dave have different histories:\n%s\n%s", strings.Join(a, "\n"), strings.Join(d, "\n"))
		}
		if c, err := dave.Chat(id); err != nil || c.UnreadCount != 0 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}
