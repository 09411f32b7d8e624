package share

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

type vector struct {
	Kind            string
	URL             string
	ParseError      string
	URLDataProtobuf vectors.Hex
	Parsed          *struct {
		Contact   *struct{ DisplayName, Description, PublicKey string }
		Channel   *struct{ Emoji, DisplayName, Description, Color, ChannelUUID string }
		Community *struct {
			DisplayName, Description, Color, CommunityID string
			MembersCount                                 uint32
			TagIndices                                   []uint32
		}
		Shard *struct{ Cluster, Index int32 }
	}
}

func TestVectorsShareURLs(t *testing.T) {
	for _, v := range vectors.Cases[vector](t, "share_urls") {
		t.Run(v.Kind, func(t *testing.T) {
			u, err := Parse(v.URL)
			if v.Parsed == nil {
				// Deployed clients do not look up names; a name is read here
				// and left to who can verify it.
				if err == nil && u.ENSName == "" {
					t.Fatalf("accepted, want %q", v.ParseError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			compare(t, u, v)
			for _, s := range []string{u.String(), strings.Replace(u.String(), Base, Internal, 1), strings.ReplaceAll(u.String(), "=", "")} {
				again, err := Parse(s)
				if err != nil {
					t.Fatalf("%s: %v", s, err)
				}
				compare(t, again, v)
			}
		})
	}
}

func compare(t *testing.T, u *URL, v vector) {
	t.Helper()
	equal := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	if p := v.Parsed.Contact; p != nil {
		equal("kind", u.Kind, User)
		equal("key", u.Key.String(), p.PublicKey)
		equal("name", u.User.GetDisplayName(), p.DisplayName)
		equal("description", u.User.GetDescription(), p.Description)
	}
	if p := v.Parsed.Community; p != nil {
		equal("community", u.Key.CompressedHex(), p.CommunityID)
		equal("name", u.Community.GetDisplayName(), p.DisplayName)
		equal("description", u.Community.GetDescription(), p.Description)
		equal("members", u.Community.GetMembersCount(), p.MembersCount)
		equal("tags", len(u.Community.GetTagIndices()), len(p.TagIndices))
		for i, tag := range u.Community.GetTagIndices() {
			equal("tag", tag, p.TagIndices[i])
		}
	}
	if p := v.Parsed.Channel; p != nil {
		equal("kind", u.Kind, Channel)
		equal("uuid", u.Channel.GetUuid(), p.ChannelUUID)
		equal("name", u.Channel.GetDisplayName(), p.DisplayName)
		equal("emoji", u.Channel.GetEmoji(), p.Emoji)
		equal("description", u.Channel.GetDescription(), p.Description)
	}
	if p := v.Parsed.Shard; p != nil {
		equal("cluster", u.Shard.GetCluster(), p.Cluster)
		equal("shard", u.Shard.GetIndex(), p.Index)
	}
}

const aKey = "zQ3shuKb2nzoiBgTtu9USEk16k6gkUvP2iSU6D1qJUFCwdAeG"

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url  string
		want error
	}{
		{"", ErrNotShare},
		{"https://example.com/u#" + aKey, ErrNotShare},
		{Base + "/x#" + aKey, ErrNotShare},
		{Base + "/cc#" + aKey, ErrNotShare},
		{Base + "/u#", ErrKey},
		{Base + "/u#zQ3shNonsense", ErrKey},
		{Base + "/c#name.eth", ErrKey},
		{Base + "/u/!!!#" + aKey, ErrData},
		{Base + "/u/AAAA#" + aKey, ErrData},
		{Base + "/u/" + strings.Repeat("A", MaxURL) + "#" + aKey, ErrTooLarge},
		{Base + "/u/" + bomb(MaxData+1) + "#" + aKey, ErrTooLarge},
	} {
		if _, err := Parse(c.url); !errors.Is(err, c.want) {
			t.Errorf("%.60s: %v, want %v", c.url, err, c.want)
		}
	}
}

func TestParseAtTheLimit(t *testing.T) {
	t.Parallel()
	if _, err := Parse(Base + "/u/" + bomb(MaxData) + "#" + aKey); errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// bomb packs n bytes that are a valid preview with unknown fields.
func bomb(n int) string {
	var b strings.Builder
	w := brotli.NewWriter(&b)
	raw, _ := proto.Marshal(&apppb.UrlData{Content: make([]byte, n-3)})
	w.Write(raw[:n])
	w.Close()
	return base64.RawURLEncoding.EncodeToString([]byte(b.String()))
}

func FuzzParse(f *testing.F) {
	f.Add(Base + "/u#" + aKey)
	f.Add(Base + "/u/CwSACgcKBWFsaWNlAw==#" + aKey)
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		if err != nil {
			t.Fatalf("%q was read, its own form %q is not: %v", s, u, err)
		}
		if again.Key != u.Key || again.ENSName != u.ENSName || !proto.Equal(again.User, u.User) {
			t.Fatalf("%q became %q", s, u)
		}
	})
}
