package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/vectors"
)

// printed returns a result as a script sees it: its JSON, decoded.
func printed(t testing.TB, v any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	out := make(map[string]any)
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return out
}

// same compares what is printed with what is recorded, in the words that both
// are written in.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s is %s, want %s", what, g, w)
	}
}

func hexOf(b []byte) string { return Hex(b).String() }

func TestVectorsInspectKey(t *testing.T) {
	t.Parallel()
	for i, c := range vectors.Cases[struct {
		Address, Alias, CompressedChatKey, ContactID string
		ColorHash                                    [][2]int
		ColorID                                      int
		EmojiHash                                    []string
		MulticodecMultibase16                        string
		PublicKeyCompressed, PublicKeyUncompressed   vectors.Hex
	}](t, "keys_identity") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for _, form := range []string{
				c.ContactID, c.CompressedChatKey, c.MulticodecMultibase16, hexOf(c.PublicKeyCompressed),
				share.Base + "/u#" + c.CompressedChatKey, " " + c.CompressedChatKey + "\n",
			} {
				s, err := ParseSubject(form)
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				p := printed(t, DescribeKey(s.Key))
				same(t, "public_key", p["public_key"], c.ContactID)
				same(t, "public_key", p["public_key"], hexOf(c.PublicKeyUncompressed))
				same(t, "compressed", p["compressed"], hexOf(c.PublicKeyCompressed))
				same(t, "key", p["key"], c.CompressedChatKey)
				same(t, "address", p["address"], c.Address)
				same(t, "alias", p["alias"], c.Alias)
				same(t, "emoji_hash", p["emoji_hash"], c.EmojiHash)
				same(t, "color_hash", p["color_hash"], c.ColorHash)
				same(t, "color_id", p["color_id"], c.ColorID)
				if len(p) != 8 {
					t.Errorf("%d fields, want 8", len(p))
				}
			}
		})
	}
}

func TestVectorsInspectMnemonic(t *testing.T) {
	t.Parallel()
	type derived struct{ Address, PublicKey, PrivateKey string }
	for i, c := range vectors.Cases[struct {
		Mnemonic, BIP39Passphrase                        string
		KeyUID                                           string
		MasterAddress, MasterPublicKey, MasterPrivateKey string
		ChatKeyPath, EncryptionKeyPath                   string
		WalletRootPath, DefaultWalletPath, EIP1581Path   string
		Derived                                          map[string]derived
	}](t, "keys_mnemonic") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			m, err := DescribeMnemonic(c.Mnemonic, c.BIP39Passphrase, true)
			if err != nil {
				t.Fatal(err)
			}
			p := printed(t, m)
			same(t, "public_key", p["public_key"], c.Derived[c.ChatKeyPath].PublicKey)
			same(t, "key_uid", p["key_uid"], c.KeyUID)
			same(t, "wallet_root_address", p["wallet_root_address"], c.Derived[c.WalletRootPath].Address)
			same(t, "wallet_address", p["wallet_address"], c.Derived[c.DefaultWalletPath].Address)
			paths := p["paths"].(map[string]any)
			want := map[string]derived{"m": {c.MasterAddress, c.MasterPublicKey, c.MasterPrivateKey}}
			for _, path := range []string{c.ChatKeyPath, c.EncryptionKeyPath, c.WalletRootPath, c.DefaultWalletPath} {
				want[path] = c.Derived[path]
			}
			// What deployed clients have under the EIP-1581 path is its parent.
			want[strings.TrimSuffix(c.EIP1581Path, "/1581'")] = c.Derived[c.EIP1581Path]
			if len(paths) != len(want)+1 || paths[c.EIP1581Path] == nil {
				t.Errorf("%d paths, want %d and %s", len(paths), len(want), c.EIP1581Path)
			}
			for path, w := range want {
				at, ok := paths[path].(map[string]any)
				if !ok {
					t.Errorf("no %s", path)
					continue
				}
				same(t, path+" address", at["address"], w.Address)
				same(t, path+" public_key", at["public_key"], w.PublicKey)
				same(t, path+" private_key", at["private_key"], w.PrivateKey)
			}

			// Without being asked, no secret: neither in JSON nor as text.
			m, err = DescribeMnemonic(c.Mnemonic, c.BIP39Passphrase, false)
			if err != nil {
				t.Fatal(err)
			}
			public, _ := json.Marshal(m)
			var text strings.Builder
			if err := WriteText(&text, m); err != nil {
				t.Fatal(err)
			}
			for path, w := range want {
				if secret := strings.TrimPrefix(w.PrivateKey, "0x"); strings.Contains(string(public)+text.String(), secret) {
					t.Errorf("the private key of %s shows unasked", path)
				}
			}
		})
	}
}

func TestVectorsInspectTopics(t *testing.T) {
	t.Parallel()
	purposes := map[string]string{
		"contact code":                             "contact_code",
		"partitioned discovery":                    "partitioned",
		"personal discovery":                       "personal",
		"community description and events":         "community",
		"community status updates":                 "ping",
		"community magnetlinks":                    "magnetlinks",
		"community member updates":                 "universal",
		"community requests (to the control node)": "control",
		"community shard info":                     "shard_info",
		"community channel":                        "channel",
	}
	// The topics of a person or community occur in several cases, and their
	// keys are slow to derive on purpose.
	var mu sync.Mutex
	derived := make(map[string][]Topic)
	topicsOf := func(subject string, community bool, channel string) ([]Topic, error) {
		mu.Lock()
		defer mu.Unlock()
		if topics, ok := derived[subject+channel]; ok {
			return topics, nil
		}
		s, err := ParseSubject(subject)
		if err != nil {
			return nil, err
		}
		s.Channel = channel
		topics, err := Topics(s, community)
		derived[subject+channel] = topics
		return topics, err
	}
	known := 0
	for i, c := range vectors.Cases[struct {
		ChatID, ContentTopic, Kind string
		PublicKey, CommunityID     string
		PayloadEncryption          string
	}](t, "topics") {
		purpose := purposes[c.Kind]
		if purpose != "" {
			known++
		}
		t.Run(fmt.Sprint(i, " ", c.Kind), func(t *testing.T) {
			t.Parallel()
			d, err := DescribeTopic(c.ChatID)
			if err != nil {
				t.Fatal(err)
			}
			p := printed(t, d)
			same(t, "name", p["name"], c.ChatID)
			same(t, "content_topic", p["content_topic"], c.ContentTopic)
			if purpose == "" {
				return
			}
			var channel string
			if purpose == "channel" {
				channel = strings.TrimPrefix(c.ChatID, c.CommunityID)
			}
			topics, err := topicsOf(c.PublicKey+c.CommunityID, c.CommunityID != "", channel)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(topics, func(t Topic) bool { return t.Purpose == purpose })
			if at < 0 {
				t.Fatalf("no %s in %v", purpose, topics)
			}
			listed := printed(t, topics[at])
			same(t, "name", listed["name"], c.ChatID)
			same(t, "content_topic", listed["content_topic"], c.ContentTopic)
			if c.PayloadEncryption != "" {
				_, hasKey := listed["symmetric_key"]
				if symmetric := strings.HasPrefix(c.PayloadEncryption, "symmetric"); symmetric != hasKey {
					t.Errorf("%s: a symmetric key is listed: %v", c.PayloadEncryption, hasKey)
				}
			}
			if k, ok := listed["symmetric_key"]; ok {
				same(t, "symmetric_key", k, p["symmetric_key"])
			}
		})
	}
	if known == 0 {
		t.Error("no case with a purpose")
	}
}

func TestVectorsInspectSymkeys(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[struct {
		ChatID string
		SymKey vectors.Hex
	}](t, "symkeys") {
		t.Run(c.ChatID, func(t *testing.T) {
			t.Parallel()
			d, err := DescribeTopic(c.ChatID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "symmetric_key", printed(t, d)["symmetric_key"], hexOf(c.SymKey))
		})
	}
}

func TestVectorsInspectURL(t *testing.T) {
	t.Parallel()
	type community struct {
		DisplayName, Description, Color, CommunityID string
		MembersCount                                 int
		TagIndices                                   []int
	}
	for i, c := range vectors.Cases[struct {
		Kind, URL, ParseError string
		Parsed                struct {
			Contact   *struct{ DisplayName, Description, PublicKey string }
			Community *community
			Channel   *struct{ Emoji, DisplayName, Description, Color, ChannelUUID string }
		}
	}](t, "share_urls") {
		t.Run(fmt.Sprint(i, " ", c.Kind), func(t *testing.T) {
			t.Parallel()
			u, err := ParseURL(c.URL)
			if c.ParseError != "" {
				// Deployed clients do not read names; we show them.
				if err == nil && (u.ENSName == "" || u.Key != nil) {
					t.Errorf("was read as %+v", u)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := printed(t, u)
			data := p["data"].(map[string]any)
			// The recording has a preview's texts empty when there is none.
			sameText := func(of map[string]any, name, want string) {
				t.Helper()
				if got, ok := of[name]; ok || want != "" {
					same(t, name, got, want)
				}
			}
			sameCommunity := func(of map[string]any, want *community) {
				t.Helper()
				same(t, "compressed key", compressedOf(t, p["public_key"]), want.CommunityID)
				sameText(of, "display_name", want.DisplayName)
				sameText(of, "description", want.Description)
				sameText(of, "color", want.Color)
				if n, ok := of["members_count"]; ok || want.MembersCount != 0 {
					same(t, "members_count", n, want.MembersCount)
				}
				if tags, ok := of["tag_indices"]; ok || len(want.TagIndices) != 0 {
					same(t, "tag_indices", tags, want.TagIndices)
				}
			}
			switch parsed := c.Parsed; {
			case parsed.Contact != nil:
				same(t, "kind", p["kind"], "user")
				same(t, "key", p["key"], parsed.Contact.PublicKey)
				sameText(data, "display_name", parsed.Contact.DisplayName)
				sameText(data, "description", parsed.Contact.Description)
			case parsed.Channel != nil:
				same(t, "kind", p["kind"], "channel")
				same(t, "uuid", data["uuid"], parsed.Channel.ChannelUUID)
				sameText(data, "emoji", parsed.Channel.Emoji)
				sameText(data, "display_name", parsed.Channel.DisplayName)
				sameText(data, "description", parsed.Channel.Description)
				sameText(data, "color", parsed.Channel.Color)
				of, _ := data["community"].(map[string]any)
				sameCommunity(of, parsed.Community)
			default:
				same(t, "kind", p["kind"], "community")
				sameCommunity(data, parsed.Community)
			}
		})
	}
}

func compressedOf(t *testing.T, public any) string {
	t.Helper()
	pub, err := key.ParsePublic(public.(string))
	if err != nil {
		t.Fatal(err)
	}
	return pub.CompressedHex()
}
