package share

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

const aUUID = "003cdcd5-e065-48f9-b166-b1a94ac75a11"

func parseKey(t *testing.T) key.Public {
	t.Helper()
	pub, err := key.ParsePublic(aKey)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// Whatever is made is read, in both schemes.
func TestMake(t *testing.T) {
	t.Parallel()
	pub := parseKey(t)
	community := &apppb.CommunityUrlData{DisplayName: "c", Color: "#102030", MembersCount: 3, TagIndices: []uint32{1, 33}}
	for _, test := range []struct {
		name string
		make func() (*URL, error)
		want string
	}{
		{"user", func() (*URL, error) { return ForUser(pub, nil) }, "/u#" + aKey},
		{"user with preview", func() (*URL, error) { return ForUser(pub, &apppb.UserUrlData{DisplayName: "alice"}) }, "/u/CwSACgcKBWFsaWNlAw==#" + aKey},
		{"username", func() (*URL, error) { return ForName("Alice") }, "/u#alice.stateofus.eth"},
		{"ENS name", func() (*URL, error) { return ForName("alice.eth") }, "/u#alice.eth"},
		{"odd ENS name", func() (*URL, error) { return ForName("é.eth") }, "/u#%C3%A9.eth"},
		{"community", func() (*URL, error) { return ForCommunity(pub, nil) }, "/c#" + aKey},
		{"community with preview", func() (*URL, error) { return ForCommunity(pub, community) }, ""},
		{"channel", func() (*URL, error) { return ForChannel(pub, &apppb.ChannelUrlData{Uuid: aUUID}) }, "/cc/" + aUUID + "#" + aKey},
		{"channel with preview", func() (*URL, error) {
			return ForChannel(pub, &apppb.ChannelUrlData{Uuid: aUUID, DisplayName: "general", Community: community})
		}, ""},
	} {
		u, err := test.make()
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if test.want != "" && (u.String() != Base+test.want || u.Internal() != "status-app:/"+test.want) {
			t.Errorf("%s: %s, %s", test.name, u, u.Internal())
		}
		for _, s := range []string{u.String(), u.Internal()} {
			again, err := Parse(s)
			if err != nil || again.Kind != u.Kind || again.Key != u.Key || again.ENSName != u.ENSName || again.ChatID() != u.ChatID() ||
				!proto.Equal(again.User, u.User) || !proto.Equal(again.Community, u.Community) || !proto.Equal(again.Channel, u.Channel) {
				t.Errorf("%s: %s is read as %+v, %v", test.name, s, again, err)
			}
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	pub := parseKey(t)
	long := func(n int) *apppb.UserUrlData { return &apppb.UserUrlData{Description: strings.Repeat("x", n)} }
	// A field of text and the outer field have a tag and a length of two
	// bytes each.
	const atLimit = MaxData - 6
	for name, test := range map[string]struct {
		make func() (*URL, error)
		want error
	}{
		"nobody":         {func() (*URL, error) { return ForUser(key.Public{}, nil) }, ErrKey},
		"no name":        {func() (*URL, error) { return ForName("") }, ErrKey},
		"bad name":       {func() (*URL, error) { return ForName("a b.eth") }, ErrKey},
		"no community":   {func() (*URL, error) { return ForCommunity(key.Public{}, nil) }, ErrKey},
		"no channel":     {func() (*URL, error) { return ForChannel(pub, nil) }, ErrNotShare},
		"bad channel":    {func() (*URL, error) { return ForChannel(pub, &apppb.ChannelUrlData{Uuid: "general"}) }, ErrNotShare},
		"at the limit":   {func() (*URL, error) { return ForUser(pub, long(atLimit)) }, nil},
		"over the limit": {func() (*URL, error) { return ForUser(pub, long(atLimit+1)) }, ErrTooLarge},
		"no text":        {func() (*URL, error) { return ForUser(pub, &apppb.UserUrlData{DisplayName: "\xff"}) }, ErrData},
		"shard": {func() (*URL, error) {
			return made(&URL{Kind: Community, Key: pub, Shard: &apppb.Shard{Cluster: 16, Index: 128}})
		}, nil},
		"incompressible?": {func() (*URL, error) { return made(&URL{Kind: User, ENSName: strings.Repeat("x", MaxURL)}) }, ErrTooLarge},
	} {
		u, err := test.make()
		if !errors.Is(err, test.want) || (u == nil) != (err != nil) {
			t.Errorf("%s: %v, %v", name, u, err)
		}
		if err == nil {
			if _, err := Parse(u.String()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestEscape(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"alice.eth": "alice.eth", "A_b-9": "A_b-9", "é#%/": "%C3%A9%23%25%2F", "": ""} {
		if got := escape(name); got != want {
			t.Errorf("%q: %s", name, got)
		}
		if back, ok := unescape(want); !ok || back != name {
			t.Errorf("%s: %q, %v", want, back, ok)
		}
	}
	if back, ok := unescape("é%c3%a9"); !ok || back != "éé" {
		t.Errorf("%q, %v", back, ok)
	}
	for _, bad := range []string{"%", "%1", "a%", "%zz", "%1g", "%g1", "% 1", "%\x101"} {
		if back, ok := unescape(bad); ok || back != "" {
			t.Errorf("%q is read as %q", bad, back)
		}
	}
}

// A preview is a stranger's text: it cannot steer a terminal, and what is no
// colour is none. That it names somebody else than the key does is nobody's
// concern here: the key is what counts.
func TestPreviewIsStrangers(t *testing.T) {
	t.Parallel()
	pub := parseKey(t)
	u := &URL{Kind: User, Key: pub, User: &apppb.UserUrlData{DisplayName: "a\x1b[2Jb\nc", Description: "\u202eevil\u2028x 👩‍👧", Color: "red; --x"}}
	read, err := Parse(u.String())
	if err != nil || read.User.DisplayName != "a[2Jb c" || read.User.Description != "evil x 👩‍👧" || read.User.Color != "" || read.Key != pub {
		t.Errorf("%+v, %v", read, err)
	}
	c := &URL{Kind: Channel, Key: pub, Channel: &apppb.ChannelUrlData{
		Uuid: aUUID, DisplayName: "a\rb", Emoji: "\x07", Color: "#12345", Community: &apppb.CommunityUrlData{DisplayName: "c\td", Color: "#1234567"},
	}}
	read, err = Parse(c.String())
	if err != nil || read.Channel.DisplayName != "a b" || read.Channel.Emoji != "" || read.Channel.Color != "" ||
		read.Community.DisplayName != "c d" || read.Community.Color != "" || read.Channel.Community != read.Community {
		t.Errorf("%+v, %v", read, err)
	}
	// The shard as URL Data has it, two numbers, is skipped.
	raw, err := outer(&apppb.UserUrlData{DisplayName: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var outer apppb.UrlData
	if err := proto.Unmarshal(append(raw, 0x10, 16, 0x18, 32), &outer); err != nil || outer.Shard != nil {
		t.Errorf("%v, %v", &outer, err)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(Base + "/u/CwSACgcKBWFsaWNlAw==#" + aKey); err != nil {
			b.Fatal(err)
		}
	}
}

// The link to somebody has their name, and goes without one that is too long.
func TestLink(t *testing.T) {
	t.Parallel()
	pub := parseKey(t)
	for name, want := range map[string]string{
		"alice":                     Base + "/u/CwSACgcKBWFsaWNlAw==#" + aKey,
		"":                          Base + "/u#" + aKey,
		strings.Repeat("é", MaxURL): Base + "/u#" + aKey,
	} {
		if got := Link(pub, name); got != want {
			t.Errorf("%.20q: %s", name, got)
		}
	}
}
