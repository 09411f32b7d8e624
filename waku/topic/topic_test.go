package topic

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

type topicCase struct {
	Kind                string
	ChatID              string
	ContentTopic        string
	Topic               vectors.Hex
	PrivateKey          string
	PrivateKeyA         string
	PublicKeyB          string
	SharedSecret        vectors.Hex
	CommunityID         string
	CommunityPrivateKey string
}

// name derives the chat id of the case from its keys; a public chat has none
// and is its own name.
func (c topicCase) name(t *testing.T) string {
	private := func(s string) key.Private {
		k, err := key.ParsePrivate(s)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	switch c.Kind {
	case "public chat":
		return c.ChatID
	case "contact code":
		return ContactCodeName(private(c.PrivateKey).Public())
	case "partitioned discovery":
		return PartitionedName(private(c.PrivateKey).Public())
	case "personal discovery":
		return PersonalName(private(c.PrivateKey).Public())
	case "negotiated":
		b, err := key.ParsePublic(c.PublicKeyB)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := private(c.PrivateKeyA).ECDH(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(secret[:], c.SharedSecret) {
			t.Errorf("shared secret %x, want %x", secret, c.SharedSecret)
		}
		return NegotiatedName(secret)
	}
	community := private(c.CommunityPrivateKey).Public()
	if id := CommunityName(community); id != c.CommunityID {
		t.Errorf("community id %s, want %s", id, c.CommunityID)
	}
	switch c.Kind {
	case "community description and events":
		return CommunityName(community)
	case "community status updates":
		return PingName(community)
	case "community magnetlinks":
		return MagnetlinksName(community)
	case "community member updates":
		return UniversalName(community)
	case "community channel":
		uuid, ok := strings.CutPrefix(c.ChatID, c.CommunityID)
		if !ok {
			t.Fatalf("channel %s is not of community %s", c.ChatID, c.CommunityID)
		}
		return ChannelName(community, uuid)
	case "community requests (to the control node)":
		return ControlName(community)
	case "community shard info":
		return ShardInfoName(community)
	}
	t.Fatalf("unknown kind %q", c.Kind)
	return ""
}

func TestVectorsTopics(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[topicCase](t, "topics") {
		t.Run(c.Kind+"/"+c.ChatID, func(t *testing.T) {
			t.Parallel()
			name := c.name(t)
			if name != c.ChatID {
				t.Errorf("name %q, want %q", name, c.ChatID)
			}
			if got := Content(name); got != c.ContentTopic {
				t.Errorf("content topic %s, want %s", got, c.ContentTopic)
			}
			p, err := ParseContent(c.ContentTopic)
			if err != nil {
				t.Fatal(err)
			}
			if h, ok := p.Hash(); !ok || !bytes.Equal(h[:], c.Topic) {
				t.Errorf("hash %x, %v, want %x", h, ok, c.Topic)
			}
		})
	}
}

func TestVectorsSymkeys(t *testing.T) {
	t.Parallel()
	type symkeyCase struct {
		ChatID string
		SymKey vectors.Hex
	}
	var keys Keys
	for _, c := range vectors.Cases[symkeyCase](t, "symkeys") {
		t.Run(c.ChatID, func(t *testing.T) {
			t.Parallel()
			if got := keys.Key(c.ChatID); !bytes.Equal(got[:], c.SymKey) {
				t.Errorf("key %x, want %x", got, c.SymKey)
			}
		})
	}
}

func TestVectorsPubsubTopics(t *testing.T) {
	t.Parallel()
	type pubsubCase struct {
		Cluster, Index *uint16
		PubsubTopic    string
		// One case names the two topics of deployed clients instead.
		Default, DefaultNonProtected string
	}
	check := func(t *testing.T, text string, want *pubsubCase) {
		cluster, shard, err := ParsePubsub(text)
		if err != nil {
			t.Fatal(err)
		}
		if want != nil && (cluster != *want.Cluster || shard != *want.Index) {
			t.Errorf("%s is %d, %d, want %d, %d", text, cluster, shard, *want.Cluster, *want.Index)
		}
		if got := Pubsub(cluster, shard); got != text {
			t.Errorf("%s came back as %s", text, got)
		}
	}
	for _, c := range vectors.Cases[pubsubCase](t, "pubsub_topics") {
		t.Run(c.PubsubTopic+c.Default, func(t *testing.T) {
			t.Parallel()
			if c.Cluster == nil {
				check(t, c.Default, nil)
				check(t, c.DefaultNonProtected, nil)
				return
			}
			check(t, c.PubsubTopic, &c)
		})
	}
}

func testKey(t *testing.T, digit string) key.Public {
	t.Helper()
	k, err := key.PrivateFromBytes([]byte(strings.Repeat(digit, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func TestDerivations(t *testing.T) {
	t.Parallel()
	a, b := testKey(t, "0"), testKey(t, "2")
	secret, err := hex.DecodeString("1ab7edc9b10c6daa4ee8eefa49daacef715779b96d146375e372c8901d3cc204")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, topic, key string }{
		{"contact-discovery-0", "fb3c1c67", "6424e36d45307b5a59e2ceb81aa4ad3d17dff2093920e41a17416088cf113e3a"},
		{"contact-discovery-4999", "3d7333e1", "5e0dc1abae88a7d4139c66ff43acddcee7b54caa7032b7c560d884f79a49d1d8"},
		{PartitionedName(a), "4f35e7c9", ""},
		{PartitionedName(b), "9dc04959", ""},
		{PersonalName(a), "da4a198a", ""},
		{ContactCodeName(a), "b8a3a416", "d2f1d08e4c8b500bf8b2465e17653d7fbe82e3edb4efde28eb5ec2005225bfd0"},
		{NegotiatedName([32]byte(secret)), "fd0a0dd5", "3039db8270aadab888756814804782b3e9855caf9bcabe1daf9786d6dcf5ad03"},
		{CommunityName(b), "e12fd1d0", "a8f4da57a685becd47d3d7b0eb4d4bdc9431c80c9ab84945882aa4072300130b"},
		{UniversalName(b), "69a457ab", "c24183fa326767d7c7cf051895d5a11a182e025c8611d0995954b885d4988a2e"},
		{ShardInfoName(b), "9d57d4ac", "1907ca53d707bf3d6a76df04402878848518f381db759ad772321a1c0c24fdd9"},
		{ControlName(b), "2c59e28e", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, want := Content(c.name), "/waku/1/0x"+c.topic+"/rfc26"; got != want {
				t.Errorf("content topic %s, want %s", got, want)
			}
			if c.key == "" {
				return
			}
			if got := Key(c.name); hex.EncodeToString(got[:]) != c.key {
				t.Errorf("key %x, want %s", got, c.key)
			}
		})
	}
	if got := PartitionedName(a); got != "contact-discovery-1023" {
		t.Errorf("partition of A: %s", got)
	}
	if got := PartitionedName(b); got != "contact-discovery-797" {
		t.Errorf("partition of B: %s", got)
	}
}

func TestPushQueryName(t *testing.T) {
	t.Parallel()
	// SHAKE-256 over the 33 bytes, first 64 of its output, computed with
	// another implementation (Python's hashlib).
	const want = "0c09bf6555fc310287743b5114900e358fff27b8771693d3549ef9afa52b6fc0" +
		"a3b2920cbf220a4bd7d459e763e3dbcd116414439944ea009b0fa05857e65bc4"
	if got := PushQueryName(testKey(t, "0")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParsePubsubLimits(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"/waku/2/rs/0/0", "/waku/2/rs/65535/1023", "/waku/2/rs/16/960"} {
		c, s, err := ParsePubsub(good)
		if err != nil || Pubsub(c, s) != good {
			t.Errorf("%s: %d, %d, %v", good, c, s, err)
		}
	}
	for _, bad := range []string{
		"", "/waku/2/rs/", "/waku/2/rs/16", "/waku/2/rs/16/", "/waku/2/rs//32", "/waku/2/rs/16/1024",
		"/waku/2/rs/65536/0", "/waku/2/rs/016/32", "/waku/2/rs/16/032", "/waku/2/rs/+1/2", "/waku/2/rs/1/-2",
		"/waku/2/rs/16/32/", "/waku/2/rs/16/32/proto", "waku/2/rs/16/32", "/waku/2/default-waku/proto",
		"/waku/2/rs/1_6/32", "/waku/2/rs/0x1/32", "/waku/2/rs/١/32",
	} {
		if _, _, err := ParsePubsub(bad); !errors.Is(err, ErrPubsub) {
			t.Errorf("%q: %v, want ErrPubsub", bad, err)
		}
	}
}

func TestParseContent(t *testing.T) {
	t.Parallel()
	p, err := ParseContent("/toychat/2/huilong/proto")
	want := Parsed{Application: "toychat", Version: "2", Name: "huilong", Encoding: "proto"}
	if err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = ParseContent("/0/toychat/2/huilong/proto")
	want.HasGeneration = true
	if err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{
		"", "/", "toychat/2/huilong/proto", "/toychat/2/huilong", "/toychat/2/huilong/", "//2/huilong/proto",
		"/x/toychat/2/huilong/proto", "/00/toychat/2/huilong/proto", "/4294967296/a/b/c/d", "/0/1/a/b/c/d",
		"/a/b/c/" + strings.Repeat("d", MaxContent-6),
	} {
		if _, err := ParseContent(bad); !errors.Is(err, ErrContent) {
			t.Errorf("%.40q: %v, want ErrContent", bad, err)
		}
	}
	if _, err := ParseContent("/a/b/c/" + strings.Repeat("d", MaxContent-7)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	for _, other := range []string{
		"/toychat/2/huilong/proto", "/waku/1/0xCD423760/rfc26", "/waku/1/cd423760/rfc26", "/waku/1/0xcd4237/rfc26",
		"/waku/1/0xcd42376g/rfc26", "/waku/2/0xcd423760/rfc26", "/waku/1/0xcd423760/proto", "/0/waku/1/0xcd423760/rfc26",
	} {
		p, err := ParseContent(other)
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := p.Hash(); ok {
			t.Errorf("%s has hash %x", other, h)
		}
	}
}

func FuzzParsePubsub(f *testing.F) {
	f.Add("/waku/2/rs/16/32")
	f.Add("/waku/2/rs/65535/1023")
	f.Add("/waku/2/default-waku/proto")
	f.Fuzz(func(t *testing.T, s string) {
		if c, i, err := ParsePubsub(s); err == nil && Pubsub(c, i) != s {
			t.Fatalf("%q became %q", s, Pubsub(c, i))
		}
	})
}

func FuzzParseContent(f *testing.F) {
	for _, c := range vectors.Cases[topicCase](f, "topics") {
		f.Add(c.ContentTopic)
	}
	f.Add("/0/toychat/2/huilong/proto")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseContent(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Fatalf("%q became %q", s, p.String())
		}
		if h, ok := p.Hash(); ok && s != "/waku/1/0x"+hex.EncodeToString(h[:])+"/rfc26" {
			t.Fatalf("%q shows hash %x", s, h)
		}
	})
}
