package community

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// What a received description may be and may not be, at the limits and past
// them.
func TestValidate(t *testing.T) {
	t.Parallel()
	c := create(t, people(3)[2])
	someone := people(3)[2].Public().Hex()
	label := strings.Repeat("é", MaxLabel)
	category := func(m *apppb.CommunityDescription, id, itsID, name string) {
		m.Categories = map[string]*apppb.CommunityCategory{id: {CategoryId: itsID, Name: name}}
	}
	channel := func(m *apppb.CommunityDescription) *apppb.CommunityChat {
		for _, ch := range m.Chats {
			return ch
		}
		return nil
	}
	many := func(n int) []*apppb.TokenCriteria {
		return slices.Repeat([]*apppb.TokenCriteria{{}}, n)
	}
	for name, tc := range map[string]struct {
		edit func(m *apppb.CommunityDescription)
		want error
	}{
		"as it is":             {func(m *apppb.CommunityDescription) {}, nil},
		"without id":           {func(m *apppb.CommunityDescription) { m.ID = "" }, nil},
		"another's id":         {func(m *apppb.CommunityDescription) { m.ID = people(2)[1].Public().CompressedHex() }, ErrAuthor},
		"id in capitals":       {func(m *apppb.CommunityDescription) { m.ID = strings.ToUpper(m.ID) }, ErrAuthor},
		"clock 0":              {func(m *apppb.CommunityDescription) { m.Clock = 0 }, ErrMalformed},
		"no permissions":       {func(m *apppb.CommunityDescription) { m.Permissions = nil }, ErrAccess},
		"no access":            {func(m *apppb.CommunityDescription) { m.Permissions.Access = 0 }, ErrAccess},
		"access to come":       {func(m *apppb.CommunityDescription) { m.Permissions.Access = 9 }, nil},
		"no identity":          {func(m *apppb.CommunityDescription) { m.Identity = nil }, ErrName},
		"no name":              {func(m *apppb.CommunityDescription) { m.Identity.DisplayName = "" }, ErrName},
		"name at limit":        {func(m *apppb.CommunityDescription) { m.Identity.DisplayName = strings.Repeat("é", MaxName) }, nil},
		"name past limit":      {func(m *apppb.CommunityDescription) { m.Identity.DisplayName = strings.Repeat("é", MaxName+1) }, ErrName},
		"text at limit":        {func(m *apppb.CommunityDescription) { m.Identity.Description = strings.Repeat("é", MaxText) }, nil},
		"text past limit":      {func(m *apppb.CommunityDescription) { m.Identity.Description = strings.Repeat("é", MaxText+1) }, ErrText},
		"intro at limit":       {func(m *apppb.CommunityDescription) { m.IntroMessage = strings.Repeat("é", MaxIntro) }, nil},
		"intro past limit":     {func(m *apppb.CommunityDescription) { m.IntroMessage = strings.Repeat("é", MaxIntro+1) }, ErrText},
		"outro at limit":       {func(m *apppb.CommunityDescription) { m.OutroMessage = strings.Repeat("é", MaxOutro) }, nil},
		"outro past limit":     {func(m *apppb.CommunityDescription) { m.OutroMessage = strings.Repeat("é", MaxOutro+1) }, ErrText},
		"colour past limit":    {func(m *apppb.CommunityDescription) { m.Identity.Color = label + "x" }, ErrText},
		"category":             {func(m *apppb.CommunityDescription) { category(m, "a", "a", label) }, nil},
		"category, long":       {func(m *apppb.CommunityDescription) { category(m, "a", "a", label+"x") }, ErrCategory},
		"category, no id":      {func(m *apppb.CommunityDescription) { category(m, "", "", "b") }, ErrCategory},
		"category, other id":   {func(m *apppb.CommunityDescription) { category(m, "a", "b", "b") }, ErrCategory},
		"category, no name":    {func(m *apppb.CommunityDescription) { category(m, "a", "a", "") }, ErrCategory},
		"channel, closed":      {func(m *apppb.CommunityDescription) { channel(m).Permissions = nil }, ErrChannel},
		"channel, no identity": {func(m *apppb.CommunityDescription) { channel(m).Identity = nil }, ErrChannel},
		"channel, label":       {func(m *apppb.CommunityDescription) { channel(m).Identity.Description = label }, nil},
		"channel, long":        {func(m *apppb.CommunityDescription) { channel(m).Identity.Description = label + "x" }, ErrChannel},
		"channel, stray":       {func(m *apppb.CommunityDescription) { channel(m).CategoryId = "a" }, ErrChannel},
		"channel, member": {func(m *apppb.CommunityDescription) {
			channel(m).Members = map[string]*apppb.CommunityMember{someone: {}}
		}, nil},
		"channel, stranger": {func(m *apppb.CommunityDescription) {
			channel(m).Members = map[string]*apppb.CommunityMember{people(9)[8].Public().Hex(): {}}
		}, ErrMembers},
		"criteria at limit": {func(m *apppb.CommunityDescription) {
			m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {TokenCriteria: many(MaxCriteria)}}
		}, nil},
		"criteria past limit": {func(m *apppb.CommunityDescription) {
			m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {TokenCriteria: many(MaxCriteria + 1)}}
		}, ErrPermissions},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := rewritten(t, c, tc.edit)
			if _, err := Parse(c.Key, raw); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			// A refused one changes nothing.
			got, changes, err := c.Receive(Incoming{Author: c.Key, Payload: raw, At: now})
			if tc.want != nil && (err == nil || changes != nil || !bytes.Equal(got.Description.Encode(), c.Description.Encode())) {
				t.Errorf("received as %+v, %v", changes, err)
			}
		})
	}
}

// Lists at the limit and past it.
func TestValidateCounts(t *testing.T) {
	t.Parallel()
	c := create(t)
	for _, tc := range []struct {
		name  string
		limit int
		want  error
		fill  func(m *apppb.CommunityDescription, n int)
	}{
		{"members", MaxMembers, ErrMembers, func(m *apppb.CommunityDescription, n int) {
			for i := len(m.Members); i < n; i++ {
				m.Members[fmt.Sprint(i)] = &apppb.CommunityMember{}
			}
		}},
		{"banned", 2 * MaxBanned, ErrMembers, func(m *apppb.CommunityDescription, n int) {
			m.BanList = make([]string, n)
		}},
		{"categories", MaxCategories, ErrCategory, func(m *apppb.CommunityDescription, n int) {
			m.Categories = map[string]*apppb.CommunityCategory{}
			for i := range n {
				m.Categories[fmt.Sprint(i)] = &apppb.CommunityCategory{CategoryId: fmt.Sprint(i), Name: "a"}
			}
		}},
		{"channels", MaxChannels, ErrChannel, func(m *apppb.CommunityDescription, n int) {
			m.Chats = map[string]*apppb.CommunityChat{}
			for i := range n {
				m.Chats[fmt.Sprint(i)] = &apppb.CommunityChat{
					Permissions: &apppb.CommunityPermissions{Access: 1}, Identity: &apppb.ChatIdentity{},
				}
			}
		}},
		{"permissions", MaxPermissions, ErrPermissions, func(m *apppb.CommunityDescription, n int) {
			m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{}
			for i := range n {
				m.TokenPermissions[fmt.Sprint(i)] = &apppb.CommunityTokenPermission{}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for n, want := range map[int]error{tc.limit: nil, tc.limit + 1: tc.want} {
				raw := rewritten(t, c, func(m *apppb.CommunityDescription) { tc.fill(m, n) })
				if _, err := Parse(c.Key, raw); !errors.Is(err, want) {
					t.Errorf("%d: %v", n, err)
				}
			}
		})
	}
	// A field that is not known fills up to the largest size.
	raw := c.Description.Encode()
	pad := func(size int) []byte {
		room := size - len(raw)
		out := protowire.AppendTag(bytes.Clone(raw), 3000, protowire.BytesType)
		return protowire.AppendBytes(out, make([]byte, room-(len(out)-len(raw))-protowire.SizeVarint(uint64(room))))
	}
	for size, want := range map[int]error{MaxDescriptionSize: nil, MaxDescriptionSize + 1: ErrTooLarge} {
		b := pad(size)
		if len(b) != size {
			t.Fatalf("%d bytes, want %d", len(b), size)
		}
		if _, err := Parse(c.Key, b); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := Parse(c.Key, []byte{0xff}); !errors.Is(err, ErrMalformed) {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := Parse(key.Public{}, raw); !errors.Is(err, ErrAuthor) {
		t.Errorf("of nobody: %v", err)
	}
}

// Who is in a channel without permission follows from the community, whatever
// is listed there; of a channel with one, from its own list.
func TestRefill(t *testing.T) {
	t.Parallel()
	p := people(4)
	c := create(t, p[2], p[3])
	c, second, err := c.CreateChannel(by(1), ChannelParams{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	general := uuidOf(t, c.Description, "general")
	for _, ch := range c.Description.Channels {
		if len(ch.Members) != 3 {
			t.Errorf("%s has %d members", ch.Name, len(ch.Members))
		}
	}
	for _, ch := range wire(t, c).Chats {
		if len(ch.Members) != 0 {
			t.Error("members of an open channel are published")
		}
	}
	only := map[string]*apppb.CommunityMember{p[2].Public().Hex(): {ChannelRole: apppb.CommunityMember_CHANNEL_ROLE_VIEWER}}
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		m.Chats[general].Members, m.Chats[second].Members = only, only
		m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {
			Type: apppb.CommunityTokenPermission_CAN_VIEW_CHANNEL, ChatIds: []string{ChannelID(c.Key, second)},
		}}
	})
	g, _ := c.Description.Channel(general)
	s, _ := c.Description.Channel(second)
	if len(g.Members) != 3 || g.Restricted || len(s.Members) != 1 || !s.Restricted || !s.Members[0].Viewer {
		t.Errorf("general %+v, second %+v", g, s)
	}
	// Everybody may view it, so it is not encrypted; a real criterion makes it so.
	if s.Encrypted {
		t.Error("a channel that everybody may view is taken as encrypted")
	}
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		m.TokenPermissions["a"].TokenCriteria = []*apppb.TokenCriteria{{}}
		m.Encrypted = true
	})
	if s, _ = c.Description.Channel(second); !s.Encrypted || c.Description.Gated {
		t.Errorf("encrypted %v, gated %v", s.Encrypted, c.Description.Gated)
	}
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		m.TokenPermissions["b"] = &apppb.CommunityTokenPermission{Type: apppb.CommunityTokenPermission_BECOME_MEMBER}
	})
	if !c.Description.Gated || c.Description.Permissions != 2 {
		t.Errorf("gated %v by %d", c.Description.Gated, c.Description.Permissions)
	}
}

// What is no key in the one form that names somebody is nobody; so is a channel
// that no chat id can name, and a tag that is not in the vocabulary.
func TestSkipped(t *testing.T) {
	t.Parallel()
	c := create(t)
	id := people(3)[2].Public().Hex()
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		for _, bad := range []string{"", "0x04", strings.ToUpper(id), "0X" + id[2:], id + "0", id[:131] + "g"} {
			m.Members[bad] = &apppb.CommunityMember{}
			m.BanList = append(m.BanList, bad)
		}
		m.BanList = append(m.BanList, id, id)
		m.Chats["a b"] = &apppb.CommunityChat{Permissions: &apppb.CommunityPermissions{Access: 1}, Identity: &apppb.ChatIdentity{}}
		m.Tags = []string{"Art", "nonsense", "Art"}
	})
	d := c.Description
	if len(d.Members) != 1 || len(d.Banned) != 1 || d.Banned[0].ID != ID(id) || len(d.Channels) != 1 || !slices.Equal(d.Tags, []string{"Art"}) {
		t.Errorf("read as %d members, %v, %v, %v", len(d.Members), d.Banned, names(d), d.Tags)
	}
	if _, err := ID("0x04" + strings.Repeat("0", 128)).Key(); !errors.Is(err, key.ErrPublic) {
		t.Errorf("a point off the curve: %v", err)
	}
	if k, err := ID(id).Key(); err != nil || k.Hex() != id {
		t.Errorf("%s, %v", k.Hex(), err)
	}
}

// channelOf finds the channel of a community that a chat id names.
func channelOf(c Community, chatID string) (Channel, bool) {
	k, uuid, err := SplitChannelID(chatID)
	if err != nil || k != c.Key {
		return Channel{}, false
	}
	return c.Description.Channel(uuid)
}

// Proves: AP-165.
func TestChannelID(t *testing.T) {
	t.Parallel()
	c := create(t)
	ch := c.Description.Channels[0]
	chatID := ChannelID(c.Key, ch.UUID)
	if len(ch.UUID) != 36 || chatID != c.ID()+ch.UUID {
		t.Errorf("chat id %s", chatID)
	}
	if k, uuid, err := SplitChannelID(chatID); err != nil || k != c.Key || uuid != ch.UUID {
		t.Errorf("%s %s, %v", k.Hex(), uuid, err)
	}
	if got, ok := channelOf(c, chatID); !ok || got.UUID != ch.UUID {
		t.Errorf("%+v", got)
	}
	other := ChannelID(people(2)[1].Public(), ch.UUID)
	for _, bad := range []string{"", c.ID(), other, chatID + "x", ch.UUID} {
		if _, ok := channelOf(c, bad); ok {
			t.Errorf("%q is a channel", bad)
		}
	}
	for _, bad := range []string{"", c.ID(), strings.ToUpper(c.ID()) + ch.UUID, c.Key.Hex(), c.ID()[2:] + ch.UUID + "00",
		c.ID() + "a b", c.ID() + "é", "0x02" + strings.Repeat("f", 64) + ch.UUID, c.ID() + strings.Repeat("a", MaxChannelID+1)} {
		if _, _, err := SplitChannelID(bad); !errors.Is(err, ErrChannelID) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, uuid, err := SplitChannelID(c.ID() + strings.Repeat("a", MaxChannelID)); err != nil || len(uuid) != MaxChannelID {
		t.Errorf("longest: %v", err)
	}
}

// The wrapper must be a signed description.
func TestUnwrap(t *testing.T) {
	t.Parallel()
	c := create(t)
	k, payload, err := Unwrap(c.Wrapped)
	if err != nil || k != c.Key || !bytes.Equal(payload, c.Description.Encode()) {
		t.Errorf("%s, %v", k.Hex(), err)
	}
	chat, _, err := message.Wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, payload, people(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Unwrap(chat); !errors.Is(err, ErrMalformed) {
		t.Errorf("another type: %v", err)
	}
	unsigned, err := message.Encode(&apppb.ApplicationMetadataMessage{Payload: payload, Type: apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Unwrap(unsigned); !errors.Is(err, message.ErrNoAuthor) {
		t.Errorf("unsigned: %v", err)
	}
}
