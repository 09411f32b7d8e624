package parley

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/storage"
)

// receive stores messages of somebody as if they had come, the newest of all.
func receive(t testing.TB, c *Client, from key.Public, texts ...string) (all []*chat.Message) {
	t.Helper()
	err := c.db.Update(func(tx *storage.Tx) error {
		room, ok, err := tx.Chat(from.Hex())
		if err != nil {
			return err
		}
		if !ok {
			room = chat.NewOneToOne(from)
		}
		chats, err := tx.Chats()
		last := uint64(0)
		for _, c := range chats {
			last = max(last, c.LastClock)
		}
		if err != nil {
			return err
		}
		for _, text := range texts {
			clock := chat.NextClock(max(room.LastClock, last), time.Now())
			room = room.Saw(clock)
			m := &chat.Message{Chat: room.ID, From: from, Text: text, ContentType: "text", Clock: clock, Timestamp: clock, State: chat.Received}
			m.ID = key.Keccak256(from.Bytes(), fmt.Append(nil, clock))
			all = append(all, m)
			if err := tx.PutChat(room); err != nil {
				return err
			}
			if err := tx.PutMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func textsOf(all []Message) (texts []string) {
	for _, m := range all {
		texts = append(texts, m.Text)
	}
	return texts
}

// TestPages: every message is on one page, in order, whichever way one goes,
// and what is asked for by number is the newest.
func TestPages(t *testing.T) {
	t.Parallel()
	c, ctx := memoryClient(t), t.Context()
	bob, eve := strangerKey(t), strangerKey(t)
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprint("bob ", i))
	}
	sent := receive(t, c, bob, want...)
	receive(t, c, eve, "eve")

	var back []string
	q := PageQuery{Chat: bob.String(), Limit: 7}
	for {
		page, err := c.Page(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		back = append(textsOf(page.Messages), back...)
		if q.Before = page.Next; q.Before == "" {
			break
		}
	}
	if !slices.Equal(back, want) {
		t.Errorf("backwards %q", back)
	}
	var forth []string
	q = PageQuery{Chat: bob.String(), Limit: 7, Oldest: true, Since: sent[4].Clock}
	for {
		page, err := c.Page(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		forth = append(forth, textsOf(page.Messages)...)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if !slices.Equal(forth, want[5:]) {
		t.Errorf("forwards %q", forth)
	}
	for _, step := range []struct {
		who   string
		since uint64
		limit int
		want  []string
	}{
		{bob.Hex(), 0, 0, want},
		{bob.Hex(), 0, 3, want[22:]},
		{bob.Hex(), sent[20].Clock, 0, want[21:]},
		{bob.Hex(), sent[20].Clock, 2, want[23:]},
		{"", 0, 0, append(slices.Clone(want), "eve")},
		{eve.String(), 0, 0, []string{"eve"}},
	} {
		if all, err := c.Messages(ctx, step.who, step.since, step.limit); err != nil || !slices.Equal(textsOf(all), step.want) {
			t.Errorf("%q since %d, %d: %q, %v", step.who, step.since, step.limit, textsOf(all), err)
		}
	}
	for _, q := range []PageQuery{{Before: "x"}, {After: "x"}, {Limit: -1}} {
		if _, err := c.Page(ctx, q); fault.KindOf(err) != fault.Usage {
			t.Errorf("%+v: %v", q, err)
		}
	}
	// About a message, at both ends, and on from there.
	for _, step := range []struct {
		at, limit    int
		want         []string
		older, newer bool
	}{
		{12, 7, want[9:16], true, true},
		{12, 6, want[10:16], true, true},
		{12, 1, want[12:13], true, true},
		{12, 2, want[12:14], true, true},
		{1, 7, want[:7], false, true},
		{23, 7, want[20:], true, false},
		{12, 0, want, false, false},
		{12, 500, want, false, false},
	} {
		id := sent[step.at].ID.String()
		page, err := c.Page(ctx, PageQuery{Chat: bob.String(), Around: id, Limit: step.limit})
		if err != nil || !slices.Equal(textsOf(page.Messages), step.want) || page.Next != "" ||
			(page.Older != "") != step.older || (page.Newer != "") != step.newer {
			t.Errorf("%+v: %q, %+v, %v", step, textsOf(page.Messages), page, err)
		}
		all := textsOf(page.Messages)
		for page.Older != "" {
			older, err := c.Page(ctx, PageQuery{Chat: bob.String(), Before: page.Older, Limit: 4})
			if err != nil {
				t.Fatal(err)
			}
			all, page.Older = append(textsOf(older.Messages), all...), older.Next
		}
		for page.Newer != "" {
			newer, err := c.Page(ctx, PageQuery{Chat: bob.String(), After: page.Newer, Oldest: true, Limit: 4})
			if err != nil {
				t.Fatal(err)
			}
			all, page.Newer = append(all, textsOf(newer.Messages)...), newer.Next
		}
		if !slices.Equal(all, want) {
			t.Errorf("%+v, and on: %q", step, all)
		}
	}
	if page, err := c.Page(ctx, PageQuery{Around: sent[3].ID.String(), Limit: 1}); err != nil || len(page.Messages) != 1 || page.Messages[0].ID != sent[3].ID {
		t.Errorf("%+v, %v", page, err)
	}
	for _, q := range []PageQuery{
		{Around: "x"}, {Around: sent[3].ID.String(), Oldest: true}, {Around: sent[3].ID.String(), Since: 1}, {Around: sent[3].ID.String(), Limit: -1},
		{Around: sent[3].ID.String(), Before: "x"}, {Around: sent[3].ID.String(), Chat: eve.String()},
	} {
		if _, err := c.Page(ctx, q); fault.KindOf(err) != fault.Usage {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := c.Page(ctx, PageQuery{Around: "0x" + strings.Repeat("00", 32)}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("about nothing: %v", err)
	}
	// What was deleted for us is not there, what is about it is.
	if _, err := c.DeleteForMe(ctx, sent[12].ID.String()); err != nil {
		t.Fatal(err)
	}
	page, err := c.Page(ctx, PageQuery{Around: sent[12].ID.String(), Limit: 3})
	if err != nil || !slices.Equal(textsOf(page.Messages), []string{"bob 11", "bob 13"}) {
		t.Errorf("%q, %v", textsOf(page.Messages), err)
	}

	found, err := c.Search(ctx, SearchQuery{Text: "BOB", From: bob.String(), Limit: 20})
	if err != nil || len(found.Messages) != 20 || found.Messages[0].Text != "bob 24" {
		t.Fatalf("found %q, %v", textsOf(found.Messages), err)
	}
	rest, err := c.Search(ctx, SearchQuery{Text: "BOB", From: bob.String(), Limit: 20, Next: found.Next})
	if err != nil || len(rest.Messages) != 4 {
		t.Errorf("then found %q, %v", textsOf(rest.Messages), err)
	}
	for _, q := range []SearchQuery{{Text: ""}, {Text: "x", Limit: -1}, {Text: "x", Next: "?"}} {
		if _, err := c.Search(ctx, q); fault.KindOf(err) != fault.Usage {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestPagesOfLists: chats and contacts page by page are those of the whole
// list, in its order, whatever the size of a page.
func TestPagesOfLists(t *testing.T) {
	t.Parallel()
	c, ctx := memoryClient(t), t.Context()
	for i := range 7 {
		who := strangerKey(t)
		receive(t, c, who, fmt.Sprint("from ", i)) // all with the same clock
		if _, err := c.RenameContact(ctx, who.String(), fmt.Sprint("Twin ", i/2)); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if _, err := c.PinChat(ctx, who.String(), true); err != nil {
				t.Fatal(err)
			}
		}
		if i%2 == 0 {
			if _, err := c.Send(ctx, who.String(), "hello", SendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	people, err := c.Contacts(ctx)
	if err != nil || len(people) != 7 {
		t.Fatalf("%+v, %v", people, err)
	}
	for limit := range 9 {
		for _, all := range []bool{false, true} {
			want, err := c.Chats(ctx, all)
			if err != nil || len(want) != map[bool]int{false: 4, true: 7}[all] {
				t.Fatalf("%+v, %v", want, err)
			}
			var got []Chat
			for q, pages := (ChatQuery{All: all, Limit: limit}), 0; ; pages++ {
				page, err := c.ChatPage(ctx, q)
				if err != nil || limit > 0 && len(page.Chats) > limit || pages > 7 {
					t.Fatalf("page %d: %+v, %v", pages, page, err)
				}
				got = append(got, page.Chats...)
				if q.Next = page.Next; q.Next == "" {
					break
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("limit %d, all %t: %+v, want %+v", limit, all, got, want)
			}
		}
		var got []Contact
		for q, pages := (ContactQuery{Limit: limit}), 0; ; pages++ {
			page, err := c.ContactPage(ctx, q)
			if err != nil || limit > 0 && len(page.Contacts) > limit || pages > 7 {
				t.Fatalf("page %d: %+v, %v", pages, page, err)
			}
			got = append(got, page.Contacts...)
			if q.Next = page.Next; q.Next == "" {
				break
			}
		}
		if !reflect.DeepEqual(got, people) {
			t.Errorf("limit %d: %+v, want %+v", limit, got, people)
		}
	}
	// One that moves to the front is not seen again, and no other is left out.
	first, err := c.ChatPage(ctx, ChatQuery{All: true, Limit: 4})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := c.Chats(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.PinChat(ctx, whole[6].ID, true); err != nil {
		t.Fatal(err)
	}
	rest, err := c.ChatPage(ctx, ChatQuery{All: true, Next: first.Next})
	if err != nil || len(rest.Chats) != 2 || rest.Chats[0].ID != whole[4].ID || rest.Chats[1].ID != whole[5].ID {
		t.Errorf("%+v, %v", rest, err)
	}
	for _, q := range []ChatQuery{{Limit: -1}, {Next: "?"}, {Next: "AA"}, {Next: "AgAAAAAAAAAAMA"}} {
		if _, err := c.ChatPage(ctx, q); fault.KindOf(err) != fault.Usage {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for _, q := range []ContactQuery{{Limit: -1}, {Next: "?"}} {
		if _, err := c.ContactPage(ctx, q); fault.KindOf(err) != fault.Usage {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestChatList: what is in the list, in which order, and what is told of it.
func TestChatList(t *testing.T) {
	t.Parallel()
	c, ctx := memoryClient(t), t.Context()
	bob, eve := strangerKey(t), strangerKey(t)
	if _, err := c.Send(ctx, bob.String(), "hello", SendOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RenameContact(ctx, bob.String(), "Bob"); err != nil {
		t.Fatal(err)
	}
	receive(t, c, bob, "one", "two")
	receive(t, c, eve, "psst")
	list := func(all bool) []Chat {
		chats, err := c.Chats(ctx, all)
		if err != nil {
			t.Fatal(err)
		}
		return chats
	}
	if got := list(false); len(got) != 1 || got[0].Name != "Bob" || got[0].Key != bob || got[0].PublicKey != bob.Hex() || got[0].Unread != 2 || got[0].Last == nil || got[0].Last.Text != "two" || got[0].Last.FromKey != bob.Hex() {
		t.Fatalf("the list: %+v", got)
	}
	if got := list(true); len(got) != 2 || got[0].ID != eve.Hex() || got[0].Active || got[0].Name == "" {
		t.Errorf("the whole list: %+v", got)
	}
	if _, err := c.PinChat(ctx, "bob", true); err != nil {
		t.Fatal(err)
	}
	if got := list(true); got[0].ID != bob.Hex() || !got[0].Pinned {
		t.Errorf("pinned: %+v", got)
	}
	for name, step := range map[string]struct {
		do func() (Chat, error)
		ok func(Chat) bool
	}{
		"muted":   {func() (Chat, error) { return c.Mute(ctx, "Bob", time.Hour) }, func(c Chat) bool { return c.Muted && c.MutedUntil > time.Now().UnixMilli() }},
		"forever": {func() (Chat, error) { return c.Mute(ctx, eve.String(), 0) }, func(c Chat) bool { return c.Muted && c.MutedUntil == 0 }},
		"read":    {func() (Chat, error) { return c.MarkRead(ctx, bob.Hex(), 0) }, func(c Chat) bool { return c.Unread == 0 && c.ReadClock == c.LastClock }},
	} {
		if got, err := step.do(); err != nil || !step.ok(got) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := c.Mute(ctx, "Bob", -time.Second); fault.KindOf(err) != fault.Usage {
		t.Errorf("muted for less than nothing: %v", err)
	}
	if got, err := c.Unmute(ctx, "Bob"); err != nil || got.Muted {
		t.Errorf("unmuted: %+v, %v", got, err)
	}
	if d, err := c.SetDraft(ctx, "Bob", "Dear Bob", ""); err != nil || d.Text != "Dear Bob" || d.Time == 0 || d.Chat != bob.Hex() {
		t.Errorf("draft %+v, %v", d, err)
	}
	if got, err := c.Chat(ctx, "Bob"); err != nil || got.Draft != "Dear Bob" || got.Last.Text != "two" {
		t.Errorf("chat %+v, %v", got, err)
	}
	if _, err := c.SetDraft(ctx, "Bob", strings.Repeat("x", maxDraft), ""); err != nil {
		t.Errorf("a draft of the longest length: %v", err)
	}
	if _, err := c.SetDraft(ctx, "Bob", strings.Repeat("x", maxDraft+1), ""); fault.KindOf(err) != fault.Usage {
		t.Errorf("too long a draft: %v", err)
	}
	if _, err := c.SetDraft(ctx, "Bob", "x", "x"); fault.KindOf(err) != fault.Usage {
		t.Errorf("a draft that answers nothing: %v", err)
	}
	if got, err := c.ClearHistory(ctx, "Bob"); err != nil || got.Last != nil || !got.Active {
		t.Errorf("cleared: %+v, %v", got, err)
	}
	if got, err := c.DeleteChat(ctx, "Bob"); err != nil || got.Active || got.Draft != "" {
		t.Errorf("deleted: %+v, %v", got, err)
	}
	if got := list(false); len(got) != 0 {
		t.Errorf("still there: %+v", got)
	}
	for _, who := range []string{"Nobody", strangerKey(t).String()} {
		if _, err := c.Chat(ctx, who); fault.KindOf(err) != fault.NotFound {
			t.Errorf("chat with %s: %v", who, err)
		}
	}
}

// TestGroups: a group of one, all of what can be done to it, and by which
// names it is found.
func TestGroups(t *testing.T) {
	t.Parallel()
	c, ctx := memoryClient(t), t.Context()
	g, err := c.CreateGroup(ctx, "Book club", "#336699", nil)
	if err != nil || g.Name != "Book club" || g.Color != "#336699" || !g.Admin || g.Standing != "member" || g.Creator != c.Self() || g.CreatorKey != c.Self().Hex() {
		t.Fatalf("%+v, %v", g, err)
	}
	if len(g.Members) != 1 || g.Members[0].Key != c.Self() || g.Members[0].Name != "Alice" || !g.Members[0].Admin || !g.Members[0].Joined {
		t.Errorf("members %+v", g.Members)
	}
	for _, name := range []string{g.ID, strings.ToUpper(g.ID), "book CLUB"} {
		if id, err := c.ResolveChat(ctx, name); err != nil || id != g.ID {
			t.Errorf("%s is %s, %v", name, id, err)
		}
		if got, err := c.Group(ctx, name); err != nil || got.ID != g.ID {
			t.Errorf("%s is %+v, %v", name, got, err)
		}
	}
	if g, err = c.RenameGroup(ctx, "Book club", "Film club"); err != nil || g.Name != "Film club" {
		t.Errorf("renamed %+v, %v", g, err)
	}
	if g, err = c.SetGroupColor(ctx, "Film club", "#ff0000"); err != nil || g.Color != "#ff0000" {
		t.Errorf("coloured %+v, %v", g, err)
	}
	if m, err := c.Send(ctx, "Film club", "Anybody?", SendOptions{}); err != nil || m.Chat != g.ID {
		t.Errorf("said %+v, %v", m, err)
	}
	if room, err := c.Chat(ctx, "film club"); err != nil || room.Name != "Film club" || room.Kind.String() == "" || room.Color != "#ff0000" || !room.Key.IsZero() {
		t.Errorf("chat %+v, %v", room, err)
	}
	bob := strangerKey(t)
	for name, err := range map[string]error{
		"add a stranger": second(c.AddMembers(ctx, "Film club", []string{bob.String()})),
		"the last admin": second(c.StepDown(ctx, "Film club")),
		"no change":      second(c.RenameGroup(ctx, "Film club", "Film club")),
	} {
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"another's name":     second(c.Group(ctx, "Book club")),
		"no member":          second(c.RemoveMember(ctx, "Film club", bob.String())),
		"nobody":             second(c.AddAdmin(ctx, "Film club", "Nobody")),
		"no such picture":    second(c.GroupImage(ctx, "Film club", 0)),
		"nobody has asked":   second(c.RejectGroupRequest(ctx, "Film club", bob.String())),
		"no profile picture": second(c.ProfilePicture(ctx, bob.String(), "large")),
	} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.ProfilePicture(ctx, bob.String(), "huge"); fault.KindOf(err) != fault.Usage {
		t.Errorf("a huge picture: %v", err)
	}

	// A contact of the same name: which of the two is meant nobody knows.
	if _, err := c.RenameContact(ctx, bob.String(), "film club"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ResolveChat(ctx, "Film club"); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
		t.Errorf("a group and a contact: %v", err)
	}
	if got, err := c.Group(ctx, "Film club"); err != nil || got.ID != g.ID {
		t.Errorf("the group: %v", err)
	}
	// A group that was left makes way for one of the same name.
	if g, err = c.LeaveGroup(ctx, g.ID); err != nil || g.Standing != "left" {
		t.Fatalf("left %+v, %v", g, err)
	}
	again, err := c.CreateGroup(ctx, "Film club", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Group(ctx, "Film club"); err != nil || got.ID != again.ID {
		t.Errorf("the new group: %v", err)
	}
	if all, err := c.Groups(ctx); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}

	r, err := c.RequestGroup(ctx, "7b1f6d2c-6e3e-4d0f-9b43-2d3e7b1f6d2c-"+bob.Hex(), bob.String(), "It is Alice")
	if err != nil || r.State != "requested" || r.From != c.Self() || r.AdminKey != bob.Hex() || r.Introduction != "It is Alice" {
		t.Errorf("request %+v, %v", r, err)
	}
	if all, err := c.GroupRequests(ctx); err != nil || len(all) != 1 || all[0] != r {
		t.Errorf("requests %+v, %v", all, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestActivities(t *testing.T) {
	t.Parallel()
	c, ctx, bob := memoryClient(t), t.Context(), strangerKey(t)
	err := c.db.Update(func(tx *storage.Tx) error {
		for i := range 3 {
			e := activity.OfVerification(fmt.Sprint(i), bob, bob.Hex(), uint64(i+1), "Who are you?")
			if _, err := tx.PutActivity(e); err != nil {
				return err
			}
		}
		_, err := tx.PutActivity(activity.OfContactRequest(bob, bob.Hex(), "", 9, "It is Bob"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.ActivityCounts(ctx); err != nil || n.Unread != 4 || n.Kinds[activity.Verification] != 3 {
		t.Errorf("counts %+v, %v", n, err)
	}
	page, err := c.Activities(ctx, ActivityQuery{Kinds: []string{"verification"}, Limit: 2})
	if err != nil || len(page.Activities) != 2 || page.Activities[0].Clock != 3 || page.Activities[0].FromKey != bob.Hex() || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	rest, err := c.Activities(ctx, ActivityQuery{Kinds: []string{"verification"}, Next: page.Next})
	if err != nil || len(rest.Activities) != 1 || rest.Activities[0].Clock != 1 {
		t.Errorf("%+v, %v", rest, err)
	}
	if e, err := c.ChangeActivity(ctx, page.Activities[0].ID, "dismissed"); err != nil || e.State != activity.Dismissed {
		t.Errorf("%+v, %v", e, err)
	}
	if n, err := c.ReadActivities(ctx, 2); err != nil || n.Unread != 1 {
		t.Errorf("read up to 2: %+v, %v", n, err)
	}
	if n, err := c.ReadActivities(ctx, 0); err != nil || n.Unread != 0 || len(n.Kinds) != 0 {
		t.Errorf("read all: %+v, %v", n, err)
	}
	for name, err := range map[string]error{
		"kind":  second(c.Activities(ctx, ActivityQuery{Kinds: []string{"gossip"}})),
		"next":  second(c.Activities(ctx, ActivityQuery{Next: "?"})),
		"limit": second(c.Activities(ctx, ActivityQuery{Limit: -1})),
		"state": second(c.ChangeActivity(ctx, rest.Activities[0].ID, "forgotten")),
	} {
		if fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.ChangeActivity(ctx, "none", "read"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("none: %v", err)
	}
	if e, err := c.ChangeActivity(ctx, page.Activities[0].ID, "accepted"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("answered twice: %+v, %v", e, err)
	}
}
