package community

import (
	"testing"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Who may do what in which channel, after the description that is known.
//
// Proves: AP-039.
func TestRights(t *testing.T) {
	t.Parallel()
	p := people(9)
	community, owner, admin, master, plain, viewer, outside, banned, stranger := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8]
	c := create(t, admin, master, plain, viewer, outside, banned)
	c, second, err := c.CreateChannel(by(1), ChannelParams{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	general := uuidOf(t, c.Description, "general")
	id := func(k key.Private) string { return k.Public().Hex() }
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		m.Members[id(admin)].Roles = []apppb.CommunityMember_Roles{apppb.CommunityMember_ROLE_ADMIN}
		m.Members[id(master)].Roles = []apppb.CommunityMember_Roles{apppb.CommunityMember_ROLE_ADMIN, apppb.CommunityMember_ROLE_TOKEN_MASTER}
		m.BanList = []string{id(banned)} // an older client's list, and still a member
		m.Chats[second].Members = map[string]*apppb.CommunityMember{
			id(owner): {}, id(admin): {}, id(master): {}, id(plain): {}, id(banned): {},
			id(viewer): {ChannelRole: apppb.CommunityMember_CHANNEL_ROLE_VIEWER},
		}
		m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {
			Type: apppb.CommunityTokenPermission_CAN_VIEW_AND_POST_CHANNEL, ChatIds: []string{ChannelID(c.Key, second)},
			TokenCriteria: []*apppb.TokenCriteria{{}},
		}}
	})
	for _, tc := range []struct {
		name string
		who  key.Private
		role Role
		// Rights in general and in second: view, post, react, pin, delete.
		general, second string
	}{
		{"the community", community, Owner, "vprxd", "vprxd"},
		{"owner", owner, Owner, "vprxd", "vprxd"},
		{"admin", admin, Admin, "vprxd", "vprxd"},
		{"token master", master, TokenMaster, "vprxd", "vprxd"},
		{"plain", plain, Plain, "vpr", "vpr"},
		{"viewer", viewer, Plain, "vpr", "v"},
		{"outside the channel", outside, Plain, "vpr", ""},
		{"banned", banned, Plain, "", ""},
		{"stranger", stranger, Plain, "", ""},
	} {
		k := tc.who.Public()
		if got := c.Role(k); got != tc.role || c.IsPrivileged(k) != (tc.role != Plain) {
			t.Errorf("%s: role %q", tc.name, got)
		}
		if got := rights(c, k, general); got != tc.general {
			t.Errorf("%s: %q in general, want %q", tc.name, got, tc.general)
		}
		if got := rights(c, k, second); got != tc.second {
			t.Errorf("%s: %q in second, want %q", tc.name, got, tc.second)
		}
		if got := rights(c, k, "none"); got != "" {
			t.Errorf("%s: %q in no channel", tc.name, got)
		}
	}
	if got := rights(c, key.Public{}, general); got != "" {
		t.Errorf("nobody may %q", got)
	}
	// Two settings give more.
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		m.AdminSettings.PinMessageAllMembersEnabled = true
		m.Chats[second].ViewersCanPostReactions = true
	})
	if got := rights(c, viewer.Public(), second) + " " + rights(c, plain.Public(), general); got != "vrx vprx" {
		t.Errorf("viewer and plain: %q", got)
	}
	if c.IsBanned(plain.Public()) || !c.IsBanned(banned.Public()) || !c.IsMember(viewer.Public()) || c.IsMember(stranger.Public()) {
		t.Error("lists of members and banned are confused")
	}
}

func rights(c Community, k key.Public, uuid string) string {
	out := ""
	for _, r := range []struct {
		letter string
		may    bool
	}{
		{"v", c.CanView(k, uuid)}, {"p", c.CanPost(k, uuid)}, {"r", c.CanReact(k, uuid)},
		{"x", c.CanPin(k, uuid)}, {"d", c.CanDelete(k, uuid)},
	} {
		if r.may {
			out += r.letter
		}
	}
	return out
}
