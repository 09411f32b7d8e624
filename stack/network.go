package stack

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// Network is where an account lives: the cluster, which shard carries which
// functional scope, and the first peers to dial. It is data; presets are
// values of it and operators write their own as JSON.
type Network struct {
	Name    string `json:"name"`
	Cluster uint16 `json:"cluster"`
	Shards  Shards `json:"shards"`
	// MaxFrame is the largest GossipSub frame in bytes that the network's
	// relays take, and so the largest message that is read. Zero is the 150 kB
	// of 64/WAKU2-NETWORK, which is also what is published at most.
	MaxFrame int `json:"max_frame,omitempty"`
	// Bootstrap are multiaddrs with /p2p/…, ENRs or enrtree:// addresses.
	Bootstrap []string `json:"bootstrap,omitempty"`
	// Stores are multiaddrs of store nodes.
	Stores []string `json:"stores,omitempty"`
	// SDS is how messages of communities are made reliable.
	SDS SDSMode `json:"sds,omitempty"`
	// ChannelTopics publishes what is said in a community's channels a second
	// time, on the content topic of each channel, for clients that listen
	// nowhere else: the JavaScript client and status-go before the topic that
	// all channels share. It doubles what content costs. Both topics are always
	// listened to.
	ChannelTopics bool `json:"channel_topics,omitempty"`
}

// SDSMode says what is sent of Scalable Data Sync, the reliability of
// communities. What comes is read in either layout and without it, whatever the
// mode.
type SDSMode string

// The modes. All members of a community on one network have to use the same.
const (
	// SDSNone sends messages of communities as they are, as deployed clients
	// did until December 2025, which read nothing else. It is the default.
	SDSNone SDSMode = "none"
	// SDSStandard is 109/SDS with the field numbers of the specification.
	SDSStandard SDSMode = "standard"
	// SDSNim is what deployed clients of 2026 exchange, by nim-sds.
	SDSNim SDSMode = "nim"
)

// Shards maps functional scopes (Status Protocol Stack, Pubsub topics and
// sharding) to shard indices. A list is published to in full; its first entry
// is where most traffic is.
type Shards struct {
	GlobalControl    []uint16 `json:"global_control"`
	GlobalContent    []uint16 `json:"global_content"`
	CommunityControl []uint16 `json:"community_control"`
	// CommunityRequest is community control addressed to a control node.
	CommunityRequest []uint16 `json:"community_request"`
	CommunityContent []uint16 `json:"community_content"`
	// Local is for self-addressed messages: published by lightpush and
	// fetched by store query, never subscribed to for their sake.
	Local []uint16 `json:"local"`
	// Large is for large messages of all scopes but the local one, empty when
	// they have no shard of their own. It is published to by lightpush and
	// fetched by store query, never subscribed to for their sake.
	Large []uint16 `json:"large,omitempty"`
	// LargeOf are the shards for large messages of single scopes, by their names
	// here (global_control, …, local); it goes before Large. Local ones are on
	// the shards of local scope where nothing is said, which nobody shares.
	LargeOf map[string][]uint16 `json:"large_of,omitempty"`
	// Listen are the shards that are read for global scopes besides those
	// published to, because other clients publish there.
	Listen []uint16 `json:"listen,omitempty"`
	// Communities are shards of single communities, by their ids (0x and 66
	// hexadecimal digits); all others share those above.
	Communities map[string]CommunityShards `json:"communities,omitempty"`
}

// CommunityShards are the shards of one community.
type CommunityShards struct {
	Control []uint16 `json:"control"`
	Content []uint16 `json:"content"`
}

// deployed is how today's clients use the shards: everything on 32, requests
// to a community also on 64 where older ones listen.
func deployed() Shards {
	return Shards{
		GlobalControl:    []uint16{32},
		GlobalContent:    []uint16{32},
		CommunityControl: []uint16{32},
		CommunityRequest: []uint16{32, 64},
		CommunityContent: []uint16{32},
		Local:            []uint16{32},
		Listen:           []uint16{32, 64, 128, 256},
	}
}

// specified is how the Status Protocol Stack asks for it: a shard for every
// scope, the local one exclusive.
func specified() Shards {
	return Shards{
		GlobalControl:    []uint16{896},
		GlobalContent:    []uint16{768},
		CommunityControl: []uint16{128},
		CommunityRequest: []uint16{128},
		CommunityContent: []uint16{256},
		Local:            []uint16{960},
		Large:            []uint16{992},
	}
}

// The names of the presets.
const (
	NetworkProd    = "status.prod"
	NetworkStaging = "status.staging"
	NetworkLocal   = "local"
)

const (
	// statusCluster is the cluster of all Status networks.
	statusCluster = 16
	// statusMaxFrame is what clients and fleets of the Status networks take:
	// deployed clients send images and community descriptions whole up to
	// three quarters of it.
	statusMaxFrame = 1 << 20
)

// presets are the networks known by name.
func presets() []Network {
	return []Network{
		{Name: NetworkProd, Cluster: statusCluster, Shards: deployed(), MaxFrame: statusMaxFrame, SDS: SDSNone, ChannelTopics: true, Bootstrap: []string{
			"enrtree://AMOJVZX4V6EXP7NTJPMAYJYST2QP6AJXYW76IU6VGJS7UVSNDYZG4@boot.prod.status.nodes.status.im",
		}},
		{Name: NetworkStaging, Cluster: statusCluster, Shards: deployed(), MaxFrame: statusMaxFrame, SDS: SDSNone, ChannelTopics: true, Bootstrap: []string{
			"enrtree://AI4W5N5IFEUIHF5LESUAOSMV6TKWF2MB6GU2YK7PU4TYUGUNOCEPW@boot.staging.status.nodes.status.im",
		}},
		{Name: NetworkLocal, Cluster: statusCluster, Shards: specified(), SDS: SDSStandard},
	}
}

// LoadNetwork returns a preset by its name, or reads a Network from the JSON
// file of that name.
func LoadNetwork(name string) (Network, error) {
	for _, n := range presets() {
		if n.Name == name {
			return n, nil
		}
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return Network{}, fault.New(fault.Usage, "no network is called %q, and it is not a file", name).
			WithHint("use %s, %s, %s or the path of a network file", NetworkProd, NetworkStaging, NetworkLocal)
	}
	var n Network
	if err := json.Unmarshal(raw, &n); err != nil {
		return Network{}, fault.Wrap(fault.Usage, "reading the network file "+name, err)
	}
	return n, fault.Wrap(fault.Usage, "network file "+name, n.Validate())
}

// shardsPerCluster is the number of shard indices of a cluster
// (WAKU2-RELAY-STATIC-SHARD-ALLOC).
const shardsPerCluster = 1024

// Validate checks that every scope has a shard, that every shard exists, and
// that the relays take what is published.
func (n Network) Validate() error {
	s := n.Shards
	for name, list := range map[string][]uint16{
		"global_control": s.GlobalControl, "global_content": s.GlobalContent,
		"community_control": s.CommunityControl, "community_request": s.CommunityRequest, "community_content": s.CommunityContent, "local": s.Local,
	} {
		if len(list) == 0 {
			return fmt.Errorf("shards: %s names no shard", name)
		}
	}
	for name := range s.LargeOf {
		if !slices.Contains(slices.Collect(maps.Values(scopeNames)), name) {
			return fmt.Errorf("shards: large_of: %q is no scope", name)
		}
	}
	if err := n.validateCommunities(); err != nil {
		return err
	}
	for _, i := range n.AllShards() {
		if i >= shardsPerCluster {
			return fmt.Errorf("shards: %d does not exist, the last one is %d", i, shardsPerCluster-1)
		}
	}
	if n.MaxFrame != 0 && (n.MaxFrame < wakumessage.MaxRPCSize || n.MaxFrame > wakumessage.MaxSize) {
		return fmt.Errorf("max_frame: %d bytes, not between %d and %d", n.MaxFrame, wakumessage.MaxRPCSize, wakumessage.MaxSize)
	}
	return nil
}

func (n Network) validateCommunities() error {
	switch n.SDS {
	case "", SDSNone, SDSStandard, SDSNim:
	default:
		return fmt.Errorf("sds: %q is none of %s, %s and %s", n.SDS, SDSNone, SDSStandard, SDSNim)
	}
	for id, own := range n.Shards.Communities {
		if k, err := key.ParsePublic(id); err != nil || k.CompressedHex() != id {
			return fmt.Errorf("shards: communities: %.80q is no id of a community", id)
		}
		if len(own.Control) == 0 || len(own.Content) == 0 {
			return fmt.Errorf("shards: communities: %s needs control and content", id)
		}
	}
	return nil
}

// CommunityTopics returns the pubsub topics on which a community's control and
// content are published and listened to: its own, where it has some.
func (n Network) CommunityTopics(community key.Public) (control, content []string) {
	if own, ok := n.Shards.Communities[community.CompressedHex()]; ok {
		return n.topics(own.Control), n.topics(own.Content)
	}
	return n.topics(n.Shards.CommunityControl), n.topics(n.Shards.CommunityContent)
}

// RequestTopics returns the pubsub topics of requests to control nodes.
func (n Network) RequestTopics() []string { return n.topics(n.Shards.CommunityRequest) }

// PublishTopics returns the pubsub topics that a message of a rule is published
// to.
func (n Network) PublishTopics(r message.Rule) []string {
	switch r.Shard {
	case message.ShardCommunityControl:
		return n.topics(n.Shards.CommunityControl)
	case message.ShardCommunityRequest:
		return n.topics(n.Shards.CommunityRequest)
	case message.ShardCommunityContent:
		return n.topics(n.Shards.CommunityContent)
	case message.ShardLocal:
		return n.topics(n.Shards.Local)
	}
	if r.Scope == message.GlobalContent {
		return n.topics(n.Shards.GlobalContent)
	}
	return n.topics(n.Shards.GlobalControl)
}

// GlobalPublishTopics returns the pubsub topics on which messages of global
// scope are published here.
func (n Network) GlobalPublishTopics() []string {
	return n.topics(slices.Concat(n.Shards.GlobalControl, n.Shards.GlobalContent))
}

// GlobalTopics returns the pubsub topics on which messages of global scope may
// arrive. Shards of the local scope and for large messages are left out unless
// global traffic shares them.
func (n Network) GlobalTopics() []string { return n.topics(n.GlobalShards()) }

// GlobalShards returns the shards of GlobalTopics: those that a full client
// relays, ascending.
func (n Network) GlobalShards() []uint16 {
	all := slices.Concat(n.Shards.GlobalControl, n.Shards.GlobalContent, n.Shards.Listen)
	slices.Sort(all)
	return slices.Compact(all)
}

// LocalTopics returns the pubsub topics of self-addressed messages, which are
// queried and never subscribed to.
func (n Network) LocalTopics() []string { return n.topics(n.Shards.Local) }

// scopeNames are the names of scopes in a network's file.
var scopeNames = map[message.Scope]string{
	message.GlobalControl:    "global_control",
	message.GlobalContent:    "global_content",
	message.CommunityControl: "community_control",
	message.CommunityContent: "community_content",
	message.Local:            "local",
}

// LargeTopics returns the pubsub topics that large messages of a rule are
// published to by lightpush, none when they go where all others go.
func (n Network) LargeTopics(r message.Rule) []string { return n.largeTopics(r.Scope) }

func (n Network) largeTopics(scope message.Scope) []string {
	if list, ok := n.Shards.LargeOf[scopeNames[scope]]; ok {
		return n.topics(list)
	}
	if scope == message.Local {
		return nil
	}
	return n.topics(n.Shards.Large)
}

// LargeQueryTopics returns the pubsub topics set aside for large messages of
// some scopes, which are queried and never subscribed to. What arrives live or
// is queried as local scope anyway is left out.
func (n Network) LargeQueryTopics(scopes ...message.Scope) (all []string) {
	others := slices.Concat(n.GlobalTopics(), n.LocalTopics())
	for _, scope := range scopes {
		for _, name := range n.largeTopics(scope) {
			if !slices.Contains(others, name) && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// AllShards returns every shard of the network, which its service nodes relay
// and store, ascending.
func (n Network) AllShards() []uint16 {
	s := n.Shards
	all := slices.Concat(s.GlobalControl, s.GlobalContent, s.CommunityControl, s.CommunityRequest, s.CommunityContent, s.Local, s.Large, s.Listen)
	for _, list := range s.LargeOf {
		all = append(all, list...)
	}
	for _, own := range s.Communities {
		all = append(all, slices.Concat(own.Control, own.Content)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (n Network) topics(shards []uint16) []string {
	var all []string
	for _, i := range shards {
		if t := topic.Pubsub(n.Cluster, i); !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}
