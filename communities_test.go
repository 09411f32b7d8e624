package parley_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/internal/fault"
)

// said waits until a client has a message of a text and returns it.
func said(t *testing.T, c *parley.Client, chat, text string) (found parley.Message) {
	t.Helper()
	wait(t, c, c.Account().Name+" hears "+text, func(parley.Event) bool {
		all, err := c.Messages(t.Context(), chat, 0, 0)
		if err != nil {
			return false
		}
		for _, m := range all {
			if m.Text == text {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

func joined(t *testing.T, c *parley.Client, name string) {
	t.Helper()
	wait(t, c, c.Account().Name+" is a member", func(parley.Event) bool {
		now, err := c.Community(t.Context(), name)
		return err == nil && now.Joined
	})
}

func fails(_ any, err error) error { return err }

// blank is a PNG of a size.
func blank(t *testing.T, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func settings(name string) parley.CommunitySettings { return parley.CommunitySettings{Name: &name} }

// A full and a light client talk in a channel of a community, which one of them
// has made and the other has joined by its link; then with manual acceptance.
//
// Proves: AP-036, AP-041, AP-061, AP-063, AP-064, AP-065, AP-066, AP-068, AP-070.
func TestCommunity(t *testing.T) {
	t.Parallel()
	service, ctx := serve(t), t.Context()
	owner := open(t, newAccount(t, t.TempDir(), "Olive"), t.TempDir(), parley.Full, service)
	member := open(t, newAccount(t, t.TempDir(), "Mabel"), t.TempDir(), parley.Light, service)

	made, err := owner.CreateCommunity(ctx, settings("Book club"))
	if err != nil || !made.Joined || !made.Control || made.Role != community.Owner || len(made.Channels) != 1 || made.Description != "Book club" {
		t.Fatalf("%+v, %v", made, err)
	}
	link, err := owner.CommunityURL(ctx, "book club", "")
	if err != nil || !strings.HasPrefix(link, "https://status.app/c/") {
		t.Fatalf("%q, %v", link, err)
	}
	asked, err := member.JoinCommunity(ctx, link)
	if err != nil || asked.ID != made.ID || asked.Name != "Book club" || asked.Request != community.Pending && !asked.Joined {
		t.Fatalf("%+v, %v", asked, err)
	}
	joined(t, member, "Book club")
	wait(t, owner, "the owner sees the member", func(parley.Event) bool {
		all, err := owner.CommunityMembers(ctx, made.ID)
		return err == nil && len(all) == 2
	})
	name := "Poetry"
	channel, err := owner.CreateChannel(ctx, "Book club", parley.ChannelSettings{Name: &name})
	if err != nil || channel.ID != made.ID+channel.UUID || channel.Name != "Poetry" {
		t.Fatalf("%+v, %v", channel, err)
	}
	wait(t, member, "the channel comes", func(parley.Event) bool {
		now, err := member.Chat(ctx, "Book club/#poetry")
		return err == nil && now.ID == channel.ID && now.CommunityName == "Book club" && now.Community == made.ID
	})
	for i := range 2 {
		for _, from := range []*parley.Client{owner, member} {
			text := fmt.Sprintf("%d of %s", i, from.Account().Name)
			if _, err := from.Send(ctx, "Book club/poetry", text, parley.SendOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, to := range []*parley.Client{owner, member} {
				if m := said(t, to, channel.ID, text); m.From != from.Self() || m.Chat != channel.ID {
					t.Errorf("%+v", m)
				}
			}
		}
	}
	if m := said(t, member, channel.ID, "0 of Olive"); m.ID != said(t, owner, "Book club/"+channel.UUID, "0 of Olive").ID {
		t.Error("one message has two ids")
	}
	left, err := member.LeaveCommunity(ctx, made.ID)
	if err != nil || left.Joined || left.Spectated {
		t.Fatalf("%+v, %v", left, err)
	}
	wait(t, owner, "the owner hears of the leaving", func(parley.Event) bool {
		all, err := owner.CommunityMembers(ctx, made.ID)
		return err == nil && len(all) == 1
	})
	if _, err := member.Send(ctx, channel.ID, "?", parley.SendOptions{}); err == nil {
		t.Error("who has left can write")
	}

	manual := string(community.ManualAccept)
	if now, err := owner.EditCommunity(ctx, made.ID, parley.CommunitySettings{Access: &manual}); err != nil || now.Access != community.ManualAccept || now.Name != "Book club" {
		t.Fatalf("%+v, %v", now, err)
	}
	wait(t, member, "the member is let in by hand", func(e parley.Event) bool {
		now, err := member.FollowCommunity(ctx, made.ID)
		return err == nil && now.Access == community.ManualAccept
	})
	request := func(state community.RequestState) {
		t.Helper()
		wait(t, owner, "the owner has a request that is "+string(state), func(parley.Event) bool {
			all, err := owner.CommunityRequests(ctx, "")
			return err == nil && len(all) == 1 && all[0].State == state && all[0].From == member.Self()
		})
	}
	if _, err := member.JoinCommunity(ctx, made.Key.String()); err != nil {
		t.Fatal(err)
	}
	request(community.Pending)
	if now, err := member.CancelJoin(ctx, made.ID); err != nil || now.Request != community.Canceled {
		t.Fatalf("%+v, %v", now, err)
	}
	request(community.Canceled)
	if _, err := member.JoinCommunity(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	request(community.Pending)
	if r, err := owner.RejectJoin(ctx, "Book club", "Mabel"); err != nil || r.State != community.Declined {
		t.Fatalf("%+v, %v", r, err)
	}
	r, err := owner.AcceptJoin(ctx, "Book club", "mabel")
	if err != nil || r.State != community.Accepted || r.From != member.Self() || len(r.Addresses) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	joined(t, member, made.ID)
	if _, err := member.Send(ctx, "Book club/general", "I am back", parley.SendOptions{}); err != nil {
		t.Fatal(err)
	}
	said(t, owner, "Book club/general", "I am back")
}

// How communities and channels are named, and what is said of those that are not
// there.
func TestCommunityNames(t *testing.T) {
	t.Parallel()
	service, ctx := serve(t), t.Context()
	c := open(t, newAccount(t, t.TempDir(), "Olive"), "", parley.Light, service)
	made, err := c.CreateCommunity(ctx, settings("Books/Films"))
	if err != nil {
		t.Fatal(err)
	}
	general := made.Channels[0]
	link, err := c.CommunityURL(ctx, made.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	channelLink, err := c.CommunityURL(ctx, made.ID, "#general")
	if err != nil || !strings.HasPrefix(channelLink, "https://status.app/cc/") {
		t.Fatalf("%q, %v", channelLink, err)
	}
	for _, name := range []string{made.ID, made.Key.String(), made.Key.Hex(), link, channelLink, "books/FILMS"} {
		if got, err := c.Community(ctx, name); err != nil || got.ID != made.ID {
			t.Errorf("community %s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{
		general.ID, channelLink, made.ID + "/general", link + "/general", "Books/Films/#General", "books/films/" + general.UUID, made.Key.String() + "/" + general.UUID,
	} {
		if got, err := c.ResolveChat(ctx, name); err != nil || got != general.ID {
			t.Errorf("channel %s: %q, %v", name, got, err)
		}
	}
	other := newAccount(t, t.TempDir(), "Other").Chat.Public()
	for name, want := range map[string]error{
		"nobody":                  fails(c.Community(ctx, "nobody")),
		"another key":             fails(c.Community(ctx, other.CompressedHex())),
		"no channel":              fails(c.ResolveChat(ctx, "Books/Films/nothing")),
		"no community":            fails(c.ResolveChat(ctx, "Books/general")),
		"link to no channel":      fails(c.CommunityURL(ctx, made.ID, "nothing")),
		"edit of no channel":      fails(c.EditChannel(ctx, made.ID, "nothing", parley.ChannelSettings{})),
		"no category":             fails(c.RenameCategory(ctx, made.ID, "nothing", "x")),
		"member that is none":     fails(c.KickMember(ctx, made.ID, other.String())),
		"request that is none":    fails(c.AcceptJoin(ctx, made.ID, other.String())),
		"ban that is none":        fails(c.UnbanMember(ctx, made.ID, other.String())),
		"picture that is none":    fails(c.CommunityPicture(ctx, made.ID, "large", 0)),
		"requests to none":        fails(c.CommunityRequests(ctx, "nobody")),
		"channel moved into none": fails(c.MoveChannel(ctx, made.ID, "general", "nothing", 0)),
	} {
		if fault.KindOf(want) != fault.NotFound {
			t.Errorf("%s: %v", name, want)
		}
	}
	if err := fails(c.ResolveChat(ctx, made.ID)); fault.KindOf(err) != fault.Usage {
		t.Errorf("a community for a chat: %v", err)
	}
	if err := fails(c.LeaveCommunity(ctx, made.ID)); fault.KindOf(err) != fault.Denied {
		t.Errorf("the owner leaves: %v", err)
	}
	if err := fails(c.ImportCommunityKey(ctx, "0x12")); fault.KindOf(err) != fault.Usage {
		t.Errorf("not a key: %v", err)
	}
	if err := fails(c.CreateCommunity(ctx, parley.CommunitySettings{})); fault.KindOf(err) != fault.Usage {
		t.Errorf("a community without name: %v", err)
	}
	secret, err := c.ExportCommunityKey(ctx, made.ID)
	if err != nil || len(secret.PrivateKey) != 66 || strings.Contains(fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret), secret.PrivateKey[4:]) {
		t.Errorf("the key is shown, or none: %v", err)
	}
	if _, err := c.CreateCommunity(ctx, settings("Books/Films")); err != nil {
		t.Fatal(err)
	}
	if err := fails(c.Community(ctx, "Books/Films")); fault.KindOf(err) != fault.Conflict {
		t.Errorf("two of a name: %v", err)
	}
}

// A community's owner puts channels into categories and pictures on it.
//
// Proves: AP-038.
func TestCommunityRooms(t *testing.T) {
	t.Parallel()
	service, ctx := serve(t), t.Context()
	c := open(t, newAccount(t, t.TempDir(), "Olive"), "", parley.Light, service)
	s := settings("Club")
	tags := community.Tags()
	s.Tags, s.Picture, s.Banner = []string{tags[1].Name}, blank(t, 300, 200), blank(t, 900, 300)
	if _, err := c.CreateCommunity(ctx, s); err != nil {
		t.Fatal(err)
	}
	name, description, emoji := "b", "second", "🎬"
	if _, err := c.CreateChannel(ctx, "Club", parley.ChannelSettings{Name: &name, Description: &description, Emoji: &emoji}); err != nil {
		t.Fatal(err)
	}
	category, err := c.CreateCategory(ctx, "Club", "Rooms", []string{"b", "general"})
	if err != nil || category.Name != "Rooms" {
		t.Fatalf("%+v, %v", category, err)
	}
	names := func() (all []string) {
		now, err := c.Community(ctx, "Club")
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range now.Channels {
			place := ""
			if ch.Category == category.ID {
				place = "/"
			}
			all = append(all, place+ch.Name)
		}
		return all
	}
	look := func(step, want string, err error) {
		t.Helper()
		if got := strings.Join(names(), " "); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", step, got, err, want)
		}
	}
	look("category", "/b /general", nil)
	moved, err := c.MoveChannel(ctx, "Club", "general", "rooms", 0)
	look("move", "/general /b", err)
	_, err = c.MoveChannel(ctx, "Club", moved.ID, "rooms", 1)
	look("move by the id of the chat", "/b /general", err)
	_, err = c.MoveChannel(ctx, "Club", moved.UUID, "rooms", 0)
	look("move by UUID", "/general /b", err)
	other := strings.NewReplacer("0x02", "0x03", "0x03", "0x02").Replace(moved.ID[:4]) + moved.ID[4:]
	if _, err = c.DeleteChannel(ctx, "Club", other); fault.KindOf(err) != fault.NotFound {
		t.Errorf("channel of another community: %v", err)
	}
	none, renamed := "", "bee"
	_, err = c.EditChannel(ctx, "Club", "#b", parley.ChannelSettings{Name: &renamed, Category: &none})
	look("edit", "bee /general", err)
	_, err = c.FillCategory(ctx, "Club", "Rooms", []string{"bee"})
	look("fill", "general /bee", err)
	if got, err := c.RenameCategory(ctx, "Club", "Rooms", "Halls"); err != nil || got.Name != "Halls" || got.ID != category.ID {
		t.Errorf("%+v, %v", got, err)
	}
	look("rename", "general /bee", nil)
	if _, err := c.CreateCategory(ctx, "Club", "First", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := c.MoveCategory(ctx, "Club", "First", 0); err != nil || got.Position != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	now, err := c.DeleteCategory(ctx, "Club", "halls")
	if err != nil || len(now.Categories) != 1 {
		t.Errorf("%+v, %v", now, err)
	}
	now, err = c.DeleteChannel(ctx, "Club", "bee")
	look("delete", "general", err)
	if strings.Join(now.Images, " ") != "banner large thumbnail" || len(now.Tags) != 1 || now.Tags[0] != tags[1].Name {
		t.Errorf("%+v", now)
	}
	if p, err := c.CommunityPicture(ctx, "Club", "large", 0); err != nil || p.Width != p.Height || p.Width == 0 {
		t.Errorf("%d×%d, %v", p.Width, p.Height, err)
	}
	text := "All about books"
	if now, err = c.EditCommunity(ctx, "Club", parley.CommunitySettings{Description: &text, NoPicture: true, Tags: []string{}}); err != nil ||
		strings.Join(now.Images, " ") != "banner" || len(now.Tags) != 0 || now.Description != text || now.Name != "Club" {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := c.EditCommunity(ctx, "Club", parley.CommunitySettings{Picture: []byte("no picture")}); fault.KindOf(err) != fault.Usage {
		t.Errorf("not a picture: %v", err)
	}
}
