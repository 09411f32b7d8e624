package share

import (
	"bytes"
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
	EncodedData     string
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

// Recorded URLs are read, and written as the same bytes where the recording has
// the bytes of its data.
func TestVectorsShareURLs(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.Cases[vector](t, "share_urls") {
		t.Run(v.Kind, func(t *testing.T) {
			u, err := Parse(v.URL)
			if v.Parsed == nil {
				// Deployed clients do not look up names; a name is read here
				// and left to who can verify it.
				if err == nil && (u.ENSName == "" || u.Kind != User || u.String() != v.URL) {
					t.Fatalf("read as %+v, want %q", u, v.ParseError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			compare(t, u, v)
			for _, s := range []string{u.String(), u.Internal(), strings.ReplaceAll(u.String(), "=", ""), strings.ReplaceAll(u.Internal(), "=", "")} {
				again, err := Parse(s)
				if err != nil {
					t.Fatalf("%s: %v", s, err)
				}
				compare(t, again, v)
			}
			if preview := u.preview(); len(v.URLDataProtobuf) > 0 {
				raw, err := outer(preview, u.Shard)
				if err != nil || !bytes.Equal(raw, v.URLDataProtobuf) {
					t.Errorf("data %x, %v; want %x", raw, err, []byte(v.URLDataProtobuf))
				}
				if v.EncodedData != "" && pack(preview, u.Shard) != v.EncodedData {
					t.Errorf("packed %s, want %s", pack(preview, u.Shard), v.EncodedData)
				}
				if u.String() != v.URL {
					t.Errorf("written as %s, want %s", u, v.URL)
				}
			} else if preview == nil && u.String() != v.URL {
				t.Errorf("written as %s, want %s", u, v.URL)
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
		equal("colour", u.Community.GetColor(), p.Color)
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
		equal("colour", u.Channel.GetColor(), p.Color)
		equal("chat", u.ChatID(), u.Key.CompressedHex()+p.ChannelUUID)
	} else if u.ChatID() != "" {
		t.Errorf("no channel, and yet the chat %s", u.ChatID())
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
		{Base + "/cc/003cdcd5-e065-48f9-b166-b1a94ac75a11#name.eth", ErrKey},
		{Base + "/u#zQ3shname.eth", ErrKey},
		{Base + "/u#na me.eth", ErrKey},
		{Base + "/u#name%20.eth", ErrKey},
		{Base + "/u#name%.eth", ErrKey},
		{Base + "/u#" + strings.Repeat("a", 300) + ".eth", ErrKey},
		{Base + "/cc/003cdcd5#" + aKey, ErrData},
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
	for _, v := range vectors.Cases[vector](f, "share_urls") {
		f.Add(v.URL)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		if err != nil {
			t.Fatalf("%q was read, its own form %q is not: %v", s, u, err)
		}
		if again.Key != u.Key || again.ENSName != u.ENSName || again.Kind != u.Kind || !proto.Equal(again.Shard, u.Shard) ||
			!proto.Equal(again.User, u.User) || !proto.Equal(again.Community, u.Community) || !proto.Equal(again.Channel, u.Channel) {
			t.Fatalf("%q became %q", s, u)
		}
		if strings.ContainsAny(u.User.GetDisplayName()+u.Channel.GetEmoji()+u.Community.GetDescription(), "\n\x1b\u202e") {
			t.Fatalf("%q shows as %+v", s, u)
		}
	})
}
