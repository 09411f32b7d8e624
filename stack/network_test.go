package stack

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

func networkOf(shards Shards) Network { return Network{Name: "test", Cluster: 16, Shards: shards} }

func pubsub(shards ...uint16) (all []string) {
	for _, i := range shards {
		all = append(all, topic.Pubsub(16, i))
	}
	return all
}

// Every scope of the specification's mapping has shards of its own; control
// and content are apart for global and for community messages.
//
// Proves: SP-36, SP-38, SP-40, SP-43, SP-44.
func TestSpecifiedShardsAreDistinct(t *testing.T) {
	t.Parallel()
	s := specified()
	owner := map[uint16]string{}
	for name, list := range map[string][]uint16{
		"global control": s.GlobalControl, "global content": s.GlobalContent,
		"community control": s.CommunityControl, "community content": s.CommunityContent,
		"local": s.Local, "large": s.Large,
	} {
		if len(list) == 0 {
			t.Errorf("%s has no shard", name)
		}
		for _, i := range list {
			if other, ok := owner[i]; ok {
				t.Errorf("%s and %s share shard %d", name, other, i)
			}
			owner[i] = name
		}
	}
	if len(s.Listen) > 0 {
		t.Errorf("listens to %v besides", s.Listen)
	}
	for _, i := range s.CommunityRequest {
		if owner[i] != "community control" {
			t.Errorf("community requests go to %d, which is for %s", i, owner[i])
		}
	}
}

// Every type has a place in both mappings, and it is the one of its scope. The
// local shard of the specification's mapping carries nothing but messages of
// local scope, and these are nowhere else.
//
// Proves: SP-09, SP-78.
func TestPublishTopicsOfEveryRule(t *testing.T) {
	t.Parallel()
	bySpecification := map[message.Scope][]string{
		message.GlobalControl: pubsub(896), message.GlobalContent: pubsub(768),
		message.CommunityControl: pubsub(128), message.CommunityContent: pubsub(256),
		message.Local: pubsub(960),
	}
	types := map[message.Type]bool{}
	for _, r := range message.Rules() {
		types[r.Type] = true
		if got, want := networkOf(specified()).PublishTopics(r), bySpecification[r.Scope]; len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s, %s (%s): published on %v, not %v", message.Name(r.Type), r.Chat, r.Scope, got, want)
		}
		want := pubsub(32)
		if r.Shard == message.ShardCommunityRequest {
			want = pubsub(32, 64)
		}
		if got := networkOf(deployed()).PublishTopics(r); !slices.Equal(got, want) {
			t.Errorf("%s, %s, deployed: published on %v, not %v", message.Name(r.Type), r.Chat, got, want)
		}
	}
	for number := range int32(91) {
		typ := message.Type(number)
		if name := message.Name(typ); number == 0 || strings.HasPrefix(name, "UNKNOWN_") {
			continue
		}
		if !types[typ] {
			t.Errorf("%s has no rule", message.Name(typ))
		}
	}
}

// What is relayed or filtered for global scopes holds neither the local shard
// nor the one for large messages; deployed clients are heard wherever they
// publish.
//
// Proves: SP-10, SP-56, SP-57, SP-80, SP-85.
func TestGlobalTopics(t *testing.T) {
	t.Parallel()
	if got, want := networkOf(specified()).GlobalTopics(), pubsub(768, 896); !slices.Equal(got, want) {
		t.Errorf("specified: %v, not %v", got, want)
	}
	if got, want := networkOf(deployed()).GlobalTopics(), pubsub(32, 64, 128, 256); !slices.Equal(got, want) {
		t.Errorf("deployed: %v, not %v", got, want)
	}
	for _, n := range []Network{networkOf(specified()), networkOf(deployed())} {
		global := n.GlobalTopics()
		for _, published := range n.GlobalPublishTopics() {
			if !slices.Contains(global, published) {
				t.Errorf("%s is published on and not listened to", published)
			}
		}
		for _, i := range slices.Concat(n.Shards.Local, n.Shards.Large, n.GlobalShards(), n.Shards.CommunityContent) {
			if !slices.Contains(n.AllShards(), i) {
				t.Errorf("shard %d is not among all", i)
			}
		}
		if !slices.IsSorted(n.AllShards()) || !slices.IsSorted(n.GlobalShards()) {
			t.Error("shards are not ascending")
		}
	}
	if got, want := networkOf(specified()).LocalTopics(), pubsub(960); !slices.Equal(got, want) {
		t.Errorf("local: %v, not %v", got, want)
	}
	shared := specified()
	shared.Listen = []uint16{960, 896}
	if got, want := networkOf(shared).GlobalTopics(), pubsub(768, 896, 960); !slices.Equal(got, want) {
		t.Errorf("with further shards to listen to: %v, not %v", got, want)
	}
}

// A scope with several shards is published to on each, once.
//
// Proves: SP-37, SP-39.
func TestSeveralShards(t *testing.T) {
	t.Parallel()
	s := specified()
	s.GlobalContent = []uint16{700, 701, 700}
	s.Local = []uint16{950, 951}
	n := networkOf(s)
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, r := range message.Rules() {
		switch r.Scope {
		case message.GlobalContent:
			if got := n.PublishTopics(r); !slices.Equal(got, pubsub(700, 701)) {
				t.Fatalf("%s on %v", message.Name(r.Type), got)
			}
		case message.Local:
			if got := n.PublishTopics(r); !slices.Equal(got, pubsub(950, 951)) {
				t.Fatalf("%s on %v", message.Name(r.Type), got)
			}
		}
	}
	if got := n.LocalTopics(); !slices.Equal(got, pubsub(950, 951)) {
		t.Errorf("queried: %v", got)
	}
}

func TestNetworkValidate(t *testing.T) {
	t.Parallel()
	fields := map[string]func(s *Shards) *[]uint16{
		"global_control":    func(s *Shards) *[]uint16 { return &s.GlobalControl },
		"global_content":    func(s *Shards) *[]uint16 { return &s.GlobalContent },
		"community_control": func(s *Shards) *[]uint16 { return &s.CommunityControl },
		"community_request": func(s *Shards) *[]uint16 { return &s.CommunityRequest },
		"community_content": func(s *Shards) *[]uint16 { return &s.CommunityContent },
		"local":             func(s *Shards) *[]uint16 { return &s.Local },
		"large":             func(s *Shards) *[]uint16 { return &s.Large },
		"listen":            func(s *Shards) *[]uint16 { return &s.Listen },
	}
	for name, field := range fields {
		s := specified()
		*field(&s) = []uint16{1023}
		if err := networkOf(s).Validate(); err != nil {
			t.Errorf("%s: the last shard: %v", name, err)
		}
		*field(&s) = []uint16{0, 1024}
		if err := networkOf(s).Validate(); err == nil || !strings.Contains(err.Error(), "1024") {
			t.Errorf("%s: a shard too many: %v", name, err)
		}
		*field(&s) = nil
		err := networkOf(s).Validate()
		if optional := name == "large" || name == "listen"; optional != (err == nil) {
			t.Errorf("%s: no shard: %v", name, err)
		} else if !optional && !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %q", name, err)
		}
	}
	for frame, ok := range map[int]bool{
		-1: false, 0: true, 1: false, wakumessage.MaxRPCSize - 1: false, wakumessage.MaxRPCSize: true,
		wakumessage.MaxSize: true, wakumessage.MaxSize + 1: false,
	} {
		n := networkOf(specified())
		n.MaxFrame = frame
		if err := n.Validate(); ok != (err == nil) {
			t.Errorf("frames of %d bytes: %v", frame, err)
		}
	}
	if _, err := New(Config{Identity: identity(t, 0), InstallationID: "x", DB: nil, Network: networkOf(specified())}); err == nil {
		t.Error("a stack without a database")
	}
	c := Config{Identity: identity(t, 0), InstallationID: "x", Network: networkOf(Shards{})}
	still, _ := still(t, 0)
	c.DB = still.db
	if _, err := New(c); err == nil {
		t.Error("a stack on a network without shards")
	}
}

func TestLoadNetwork(t *testing.T) {
	t.Parallel()
	for _, name := range []string{NetworkProd, NetworkStaging, NetworkLocal} {
		n, err := LoadNetwork(name)
		if err != nil || n.Name != name || n.Validate() != nil {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
		if name != NetworkLocal && len(n.Bootstrap) == 0 {
			t.Errorf("%s has nobody to begin with", name)
		}
		// Deployed clients send up to three quarters of a MiB whole.
		if name != NetworkLocal && n.MaxFrame != 1<<20 {
			t.Errorf("%s carries frames of %d bytes", name, n.MaxFrame)
		}
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := Network{Name: "mine", Cluster: 7, Shards: specified(), Stores: []string{"/ip4/127.0.0.1/tcp/1"}, Bootstrap: []string{"enr:x"}, MaxFrame: 200_000}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadNetwork(file("good.json", raw))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(got); err != nil || string(again) != string(raw) {
		t.Errorf("read %s, not %s", again, raw)
	}
	for name, path := range map[string]string{
		"unknown":  "status.moon",
		"no JSON":  file("bad.json", []byte("{")),
		"negative": file("negative.json", []byte(`{"cluster":-1}`)),
		"invalid":  file("invalid.json", []byte(`{"name":"x","cluster":16,"shards":{"global_control":[1024]}}`)),
	} {
		if _, err := LoadNetwork(path); fault.KindOf(err) != fault.Usage || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadNetwork("status.moon"); !strings.Contains(fault.HintOf(err), NetworkProd) {
		t.Errorf("the hint names no network: %q", fault.HintOf(err))
	}
}
