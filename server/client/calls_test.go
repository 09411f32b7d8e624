package client

import (
	"bytes"
	"image"
	"image/png"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
)

func pixels(t testing.TB, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// result is an answer and its error, for any call.
type result struct {
	value any
	err   error
}

func of(value any, err error) result { return result{value, err} }

func fails(_ any, err error) error { return err }

// TestCallsOfChats: what the calls about chats, messages and groups answer is
// what the client itself says then.
func TestCallsOfChats(t *testing.T) {
	t.Parallel()
	served, dir := daemon(t)
	c, ctx := New(Config{DataDir: dir}), t.Context()
	known := stranger(t)
	bob, alias := known.String(), account.Alias(known)
	m, err := c.Send(ctx, bob, "one", parley.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := m.ID.String()
	message := func() result { return of(served.Message(ctx, id)) }
	room := func() result { return of(served.Chat(ctx, bob)) }
	group := func() result { return of(served.Group(ctx, "Club/1")) }
	profile := func() result { return of(served.Profile(ctx)) }
	settings := func() result { return of(served.Settings(ctx)) }
	if _, err := c.CreateGroup(ctx, "Club/1", "#000000", nil); err != nil {
		t.Fatal(err)
	}
	name := "Alice B"
	for _, step := range []struct {
		name string
		do   func() result
		then func() result
	}{
		{"edit", func() result { return of(c.Edit(ctx, id, "two words", parley.EditOptions{})) }, message},
		{"edit, mentioning", func() result { return of(c.Edit(ctx, id, "@"+alias+" two words", parley.EditOptions{Mention: true})) }, message},
		{"react", func() result { return of(c.React(ctx, id, "👍")) }, message},
		{"message", func() result { return of(c.Message(ctx, id)) }, message},
		{"unreact", func() result { return of(c.Unreact(ctx, id, "👍")) }, message},
		{"retry", func() result {
			if err := fails(c.BlockContact(ctx, bob)); err != nil {
				return of(nil, err)
			}
			if err := fails(c.UnblockContact(ctx, bob)); err != nil {
				return of(nil, err)
			}
			return of(c.Resend(ctx, id))
		}, message},
		{"pin", func() result { return of(c.Pin(ctx, id)) }, message},
		{"pins", func() result { return of(c.Pins(ctx, bob)) }, func() result { return of(served.Pins(ctx, bob)) }},
		{"unpin", func() result { return of(c.Unpin(ctx, id)) }, message},
		{"page", func() result { return of(c.Page(ctx, parley.PageQuery{Chat: bob, Since: 1, Oldest: true, Limit: 1})) },
			func() result {
				return of(served.Page(ctx, parley.PageQuery{Chat: bob, Since: 1, Oldest: true, Limit: 1}))
			}},
		{"about", func() result { return of(c.Page(ctx, parley.PageQuery{Chat: bob, Around: id, Limit: 1})) },
			func() result { return of(served.Page(ctx, parley.PageQuery{Chat: bob, Around: id, Limit: 1})) }},
		{"search", func() result { return of(c.Search(ctx, parley.SearchQuery{Text: `"two words"`, Chat: bob, Limit: 1})) },
			func() result {
				return of(served.Search(ctx, parley.SearchQuery{Text: `"two words"`, Chat: bob, Limit: 1}))
			}},
		{"chat", func() result { return of(c.Chat(ctx, bob)) }, room},
		{"chats", func() result { return of(c.Chats(ctx, true)) }, func() result { return of(served.Chats(ctx, true)) }},
		{"page of chats", func() result { return of(c.ChatPage(ctx, parley.ChatQuery{All: true, Limit: 1})) },
			func() result { return of(served.ChatPage(ctx, parley.ChatQuery{All: true, Limit: 1})) }},
		{"page of contacts", func() result { return of(c.ContactPage(ctx, parley.ContactQuery{Limit: 1})) },
			func() result { return of(served.ContactPage(ctx, parley.ContactQuery{Limit: 1})) }},
		{"read", func() result { return of(c.MarkRead(ctx, bob, 0)) }, room},
		{"mute", func() result { return of(c.Mute(ctx, bob, time.Millisecond)) }, room},
		{"unmute", func() result { return of(c.Unmute(ctx, bob)) }, room},
		{"pin chat", func() result { return of(c.PinChat(ctx, bob, true)) }, room},
		{"unpin chat", func() result { return of(c.PinChat(ctx, bob, false)) }, room},
		{"set draft", func() result { return of(c.SetDraft(ctx, bob, "Dear", id)) }, func() result { return of(served.Draft(ctx, bob)) }},
		{"draft", func() result { return of(c.Draft(ctx, bob)) }, func() result { return of(served.Draft(ctx, bob)) }},
		{"delete", func() result { return of(c.Delete(ctx, id)) }, message},
		{"delete for me", func() result { return of(c.DeleteForMe(ctx, id)) }, message},
		{"clear", func() result { return of(c.ClearHistory(ctx, bob)) }, room},
		{"delete chat", func() result { return of(c.DeleteChat(ctx, bob)) }, room},
		{"color", func() result { return of(c.SetGroupColor(ctx, "Club/1", "#ffffff")) }, group},
		{"group image", func() result { return of(c.SetGroupImage(ctx, "Club/1", pixels(t, 9, 9))) }, group},
		{"group", func() result { return of(c.Group(ctx, "Club/1")) }, group},
		{"groups", func() result { return of(c.Groups(ctx)) }, func() result { return of(served.Groups(ctx)) }},
		{"profile", func() result { return of(c.SetProfile(ctx, parley.ProfileChange{Name: &name})) }, profile},
		{"picture", func() result { return of(c.SetPicture(ctx, pixels(t, 90, 90), "everyone")) }, profile},
		{"code", func() result { return of(c.ProfileQR(ctx)) }, func() result { return of(served.ProfileQR(ctx)) }},
		{"own profile", func() result { return of(c.Profile(ctx)) }, profile},
		{"presence", func() result { return of(c.SetPresence(ctx, "always_online", "here")) }, profile},
		{"name device", func() result { return of(c.NameDevice(ctx, "My laptop")) }, func() result {
			all, err := served.Devices(ctx)
			return of(all[0], err)
		}},
		{"devices", func() result { return of(c.Devices(ctx)) }, func() result { return of(served.Devices(ctx)) }},
		{"contacts only", func() result { return of(c.SetContactsOnly(ctx, true)) }, settings},
		{"presence updates", func() result { return of(c.SetPresenceUpdates(ctx, true)) }, settings},
		{"settings", func() result { return of(c.Settings(ctx)) }, settings},
		{"trust", func() result { return of(c.Trust(ctx, bob, "untrustworthy")) }, func() result { return of(served.Contact(ctx, bob)) }},
		{"mentionable", func() result { return of(c.Mentionable(ctx, bob, "hi @"+alias[:3])) }, func() result { return of(served.Mentionable(ctx, bob, "@"+alias)) }},
		{"activities", func() result {
			return of(c.Activities(ctx, parley.ActivityQuery{Kinds: []string{"reply", "mention"}, Unread: true, Limit: 3}))
		},
			func() result { return of(served.Activities(ctx, parley.ActivityQuery{})) }},
		{"counts", func() result { return of(c.ActivityCounts(ctx)) }, func() result { return of(served.ActivityCounts(ctx)) }},
		{"read activities", func() result { return of(c.ReadActivities(ctx, 0)) }, func() result { return of(served.ActivityCounts(ctx)) }},
		{"verifications", func() result { return of(c.Verifications(ctx, bob)) }, func() result { return of(served.Verifications(ctx, bob)) }},
		{"requests", func() result { return of(c.GroupRequests(ctx)) }, func() result { return of(served.GroupRequests(ctx)) }},
		{"leave", func() result { return of(c.LeaveGroup(ctx, "Club/1")) }, group},
	} {
		got, want := step.do(), step.then()
		if got.err != nil || want.err != nil || !reflect.DeepEqual(got.value, want.value) {
			t.Errorf("%s: %+v, %v; the client says %+v, %v", step.name, got.value, got.err, want.value, want.err)
		}
	}
	if g, err := c.RenameGroup(ctx, "Club/1", "Other"); fault.KindOf(err) != fault.Denied {
		t.Errorf("renamed after leaving: %+v, %v", g, err)
	}
	if d, err := c.PairDevice(ctx, "phone/1"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("paired %+v, %v", d, err)
	}
	if d, err := c.UnpairDevice(ctx, "My laptop"); fault.KindOf(err) != fault.Usage {
		t.Errorf("unpaired this device: %+v, %v", d, err)
	}
	if p, err := c.ClearPicture(ctx); err != nil || p.Picture != "" {
		t.Errorf("cleared %+v, %v", p, err)
	}
}

// TestFiles: pictures and recordings go there and back.
func TestFiles(t *testing.T) {
	t.Parallel()
	served, dir := daemon(t)
	c, ctx := New(Config{DataDir: dir}), t.Context()
	bob := stranger(t).String()
	m, err := c.Send(ctx, bob, "", parley.SendOptions{Images: [][]byte{pixels(t, 60, 30), pixels(t, 6, 3)}})
	if err != nil || len(m.Album) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	p, err := c.MessageImage(ctx, m.ID.String(), 20)
	own, ownErr := served.MessageImage(ctx, m.ID.String(), 20)
	if err != nil || ownErr != nil || !reflect.DeepEqual(p, own) || p.Width != 20 || p.Height != 10 {
		t.Errorf("%+v, %v", p, err)
	}
	if trace, err := c.Trace(ctx, m.ID.String()); err != nil || len(trace.Steps) != 1 || len(trace.Waiting) == 0 || trace.Waiting[0].Hash.IsZero() {
		t.Errorf("%+v, %v", trace, err)
	}
	sound := &chat.Audio{Format: "amr", Payload: []byte("#!AMR\n\x7c"), DurationMS: 20}
	if m, err = c.Send(ctx, bob, "", parley.SendOptions{Audio: sound}); err != nil {
		t.Fatal(err)
	}
	if r, err := c.MessageAudio(ctx, m.ID.String()); err != nil || r.Type != "audio/amr" || !bytes.Equal(r.Data, sound.Payload) {
		t.Errorf("%+v, %v", r, err)
	}
	if m, err = c.Send(ctx, bob, "x", parley.SendOptions{Sticker: &chat.Sticker{Hash: "e301", Pack: 3}}); err != nil || m.Sticker == nil || m.Sticker.Pack != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := c.SetPicture(ctx, pixels(t, 50, 50), "nobody"); err != nil {
		t.Fatal(err)
	}
	if p, err := c.ProfilePicture(ctx, served.Self().String(), "large"); err != nil || p.Width != 50 || p.Type == "" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.CreateGroup(ctx, "Club", "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetGroupImage(ctx, "Club", pixels(t, 50, 50)); err != nil {
		t.Fatal(err)
	}
	if p, err := c.GroupImage(ctx, "Club", 25); err != nil || p.Width != 25 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestRefusedCalls: every call that can be refused is, with the kind of fault
// that the client has.
func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	_, dir := daemon(t)
	c, ctx := New(Config{DataDir: dir}), t.Context()
	bob, none := stranger(t).String(), "0x"+strings.Repeat("00", 32)
	if _, err := c.CreateGroup(ctx, "Club", "", nil); err != nil {
		t.Fatal(err)
	}
	for name, step := range map[string]struct {
		result
		kind fault.Kind
	}{
		"ask":             {of(c.AskVerification(ctx, bob, "Who?")), fault.Conflict},
		"answer":          {of(c.AnswerVerification(ctx, bob, "Bob")), fault.NotFound},
		"decline":         {of(c.DeclineVerification(ctx, bob)), fault.NotFound},
		"cancel":          {of(c.CancelVerification(ctx, bob)), fault.NotFound},
		"trust":           {of(c.Trust(ctx, bob, "somewhat")), fault.Invalid},
		"add":             {of(c.AddMembers(ctx, "Club", []string{bob})), fault.Conflict},
		"remove":          {of(c.RemoveMember(ctx, "Club", bob)), fault.NotFound},
		"admin":           {of(c.AddAdmin(ctx, "Club", bob)), fault.NotFound},
		"step down":       {of(c.StepDown(ctx, "Club")), fault.Conflict},
		"join":            {of(c.JoinGroup(ctx, "Club")), fault.Conflict},
		"reject":          {of(c.RejectGroupRequest(ctx, "Club", bob)), fault.NotFound},
		"request":         {of(c.RequestGroup(ctx, "x", bob, "")), fault.Usage},
		"image":           {of(c.GroupImage(ctx, "Club", 0)), fault.NotFound},
		"link":            {of(c.LinkImage(ctx, none, 0)), fault.NotFound},
		"picture":         {of(c.ProfilePicture(ctx, bob, "thumbnail")), fault.NotFound},
		"audio":           {of(c.MessageAudio(ctx, none)), fault.NotFound},
		"trace":           {of(c.Trace(ctx, none)), fault.NotFound},
		"retry":           {of(c.Resend(ctx, none)), fault.NotFound},
		"change activity": {of(c.ChangeActivity(ctx, "message/"+none, "read")), fault.NotFound},
		"chat":            {of(c.Chat(ctx, bob)), fault.NotFound},
		"limit":           {of(c.Page(ctx, parley.PageQuery{Limit: -1})), fault.Invalid},
		"page":            {of(c.ChatPage(ctx, parley.ChatQuery{Next: "?"})), fault.Usage},
		"next contacts":   {of(c.ContactPage(ctx, parley.ContactQuery{Next: "?"})), fault.Usage},
		"search":          {of(c.Search(ctx, parley.SearchQuery{})), fault.Invalid},
	} {
		if fault.KindOf(step.err) != step.kind {
			t.Errorf("%s: %+v, %v; want %s", name, step.value, step.err, step.kind)
		}
	}
}
