package client

import (
	"reflect"
	"strings"
	"testing"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
)

// TestCallsOfCommunities: what the calls about communities answer is what the
// client itself says then, whatever names have in them.
func TestCallsOfCommunities(t *testing.T) {
	t.Parallel()
	served, dir := daemon(t)
	c, ctx := New(Config{DataDir: dir}), t.Context()
	const club, room = "Club/1 #2?", "a/b"
	name, text, channel := club, "We read", room
	made, err := c.CreateCommunity(ctx, parley.CommunitySettings{Name: &name, Description: &text, Picture: pixels(t, 90, 90)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateChannel(ctx, club, parley.ChannelSettings{Name: &channel}); err != nil {
		t.Fatal(err)
	}
	whole := func() result { return of(served.Community(ctx, club)) }
	about := "b"
	for _, step := range []struct {
		name string
		do   func() result
		then func() result
	}{
		{"community", func() result { return of(c.Community(ctx, made.ID)) }, whole},
		{"communities", func() result { return of(c.Communities(ctx)) }, func() result { return of(served.Communities(ctx)) }},
		{"members", func() result { return of(c.CommunityMembers(ctx, club)) }, func() result { return of(served.CommunityMembers(ctx, club)) }},
		{"picture", func() result { return of(c.CommunityPicture(ctx, club, "large", 32)) }, func() result { return of(served.CommunityPicture(ctx, club, "large", 32)) }},
		{"thumbnail", func() result { return of(c.CommunityPicture(ctx, club, "thumbnail", 0)) }, func() result { return of(served.CommunityPicture(ctx, club, "thumbnail", 0)) }},
		{"tags", func() result { return of(c.CommunityTags(ctx)) }, func() result { return of(served.CommunityTags(ctx)) }},
		{"url", func() result { return of(c.CommunityURL(ctx, club, "")) }, func() result { return of(served.CommunityURL(ctx, club, "")) }},
		{"url of a channel", func() result { return of(c.CommunityURL(ctx, club, room)) }, func() result { return of(served.CommunityURL(ctx, club, room)) }},
		{"follow", func() result { return of(c.FollowCommunity(ctx, club)) }, whole},
		{"edit", func() result {
			return of(c.EditCommunity(ctx, club, parley.CommunitySettings{Description: &about, NoPicture: true}))
		}, whole},
		{"requests", func() result { return of(c.CommunityRequests(ctx, club)) }, func() result { return of(served.CommunityRequests(ctx, club)) }},
		{"ban", func() result { return of(c.BanMember(ctx, club, stranger(t).String(), true)) }, whole},
		{"unban", func() result {
			now, err := served.Community(ctx, club)
			if err != nil || len(now.Banlist) != 1 || !now.Banlist[0].DeleteAll {
				return of(now, err)
			}
			return of(c.UnbanMember(ctx, club, now.Banlist[0].Key.String()))
		}, whole},
		{"channel", func() result { return of(c.Chat(ctx, club+"/"+room)) }, func() result { return of(served.Chat(ctx, club+"/"+room)) }},
		{"delete category", func() result {
			if err := fails(c.CreateCategory(ctx, club, "c/d", []string{room})); err != nil {
				return of(nil, err)
			}
			if err := fails(c.RenameCategory(ctx, club, "c/d", "e")); err != nil {
				return of(nil, err)
			}
			if err := fails(c.FillCategory(ctx, club, "e", nil)); err != nil {
				return of(nil, err)
			}
			if err := fails(c.MoveCategory(ctx, club, "e", 1)); err != nil {
				return of(nil, err)
			}
			if err := fails(c.MoveChannel(ctx, club, room, "e", 0)); err != nil {
				return of(nil, err)
			}
			if err := fails(c.EditChannel(ctx, club, room, parley.ChannelSettings{Description: &about})); err != nil {
				return of(nil, err)
			}
			return of(c.DeleteCategory(ctx, club, "e"))
		}, whole},
		{"delete channel", func() result { return of(c.DeleteChannel(ctx, club, room)) }, whole},
		{"key", func() result { return of(c.ExportCommunityKey(ctx, club)) }, func() result { return of(served.ExportCommunityKey(ctx, club)) }},
		{"forget key", func() result { return of(c.ForgetCommunityKey(ctx, club)) }, whole},
	} {
		got, want := step.do(), step.then()
		if got.err != nil || want.err != nil || !reflect.DeepEqual(got.value, want.value) {
			t.Errorf("%s: %+v, %v; the client says %+v, %v", step.name, got.value, got.err, want.value, want.err)
		}
	}
}

// TestFaultsOfCommunities: what cannot be done is refused as the client itself
// refuses it.
func TestFaultsOfCommunities(t *testing.T) {
	t.Parallel()
	served, dir := daemon(t)
	c, ctx := New(Config{DataDir: dir}), t.Context()
	name, none, who := "Club", "Nobody", stranger(t).String()
	if _, err := served.CreateCommunity(ctx, parley.CommunitySettings{Name: &name}); err != nil {
		t.Fatal(err)
	}
	for what, step := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"no community":      {fails(c.Community(ctx, none)), fault.NotFound},
		"members of none":   {fails(c.CommunityMembers(ctx, none)), fault.NotFound},
		"picture of none":   {fails(c.CommunityPicture(ctx, name, "banner", 0)), fault.NotFound},
		"url of none":       {fails(c.CommunityURL(ctx, name, none)), fault.NotFound},
		"follow nobody":     {fails(c.FollowCommunity(ctx, none)), fault.NotFound},
		"unfollow own":      {fails(c.UnfollowCommunity(ctx, name)), fault.Conflict},
		"join own":          {fails(c.JoinCommunity(ctx, name)), fault.Conflict},
		"cancel no request": {fails(c.CancelJoin(ctx, name)), fault.Conflict},
		"leave own":         {fails(c.LeaveCommunity(ctx, name)), fault.Denied},
		"edit of none":      {fails(c.EditCommunity(ctx, none, parley.CommunitySettings{})), fault.NotFound},
		"accept nobody":     {fails(c.AcceptJoin(ctx, name, who)), fault.NotFound},
		"reject nobody":     {fails(c.RejectJoin(ctx, name, who)), fault.NotFound},
		"kick a stranger":   {fails(c.KickMember(ctx, name, who)), fault.NotFound},
		"ban in none":       {fails(c.BanMember(ctx, none, who, false)), fault.NotFound},
		"share to none":     {fails(c.ShareAddresses(ctx, none)), fault.NotFound},
		"no private key":    {fails(c.ImportCommunityKey(ctx, "nonsense")), fault.Usage},
		"channel in none":   {fails(c.CreateChannel(ctx, none, parley.ChannelSettings{Name: &name})), fault.NotFound},
		"nameless channel":  {fails(c.CreateChannel(ctx, name, parley.ChannelSettings{})), fault.Usage},
		"no category":       {fails(c.DeleteCategory(ctx, name, none)), fault.NotFound},
	} {
		if fault.KindOf(step.err) != step.kind {
			t.Errorf("%s: %v; want %s", what, step.err, step.kind)
		}
	}
	if err := fails(c.ImportCommunityKey(ctx, "0x"+strings.Repeat("00", 31)+"zz")); err == nil || strings.Contains(err.Error(), "zz") {
		t.Errorf("the error tells the key: %v", err)
	}
}
