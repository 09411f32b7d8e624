// Package peers keeps a Waku node in company (27/WAKU2-PEERS, WAKU2-RELAY-SHARDING):
// enough relay peers for each shard, enough peers for each service it uses,
// proven ones first, dead ones ever more rarely, and not too many from one
// part of the network.
//
// [Book] is what is known of peers and the rules by which some of them are
// dialled and others parted from. It has no goroutine, clock, socket or file:
// times and randomness are arguments, and [Book.Plan] returns what to do.
// [Manager] drives a Book with a libp2p host, and keeps it in a file over
// restarts. [Gate] bounds the inbound connections of an address and of its
// subnet.
package peers

import (
	"math/bits"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// Bounds of what is kept. What discovery brings is foreign: none of it makes
// a Book larger than these.
const (
	// MaxPeers is the number of peers known, static ones aside.
	MaxPeers = 2000
	// MaxAddrs is the number of addresses of a peer, and MaxAddrSize the size
	// of one in bytes.
	MaxAddrs    = 8
	MaxAddrSize = 256
	// MaxUntriedPerSubnet is the number of peers in a subnet that are known
	// but have never been connected.
	MaxUntriedPerSubnet = 32
)

// Times of a peer's life.
const (
	// MinBackoff is the wait after the first failure. It doubles with each
	// further one up to MaxBackoff, for a peer that was never reached up to
	// MaxBackoffUnproven; up to a quarter more is random.
	MinBackoff         = time.Minute
	MaxBackoff         = time.Hour
	MaxBackoffUnproven = 8 * time.Hour
	// ReconnectWait is how long a peer that went is left alone, which is
	// GossipSub's prune back-off as 27/WAKU2-PEERS asks.
	ReconnectWait = time.Minute
	// RestartWait is how long a node that starts again and again dials nobody,
	// from the start of a run on: the network is not to be knocked at by each
	// attempt of a node that crashes. The first FreeStarts runs within
	// RestartWindow do not wait.
	RestartWait   = 10 * time.Second
	RestartWindow = time.Minute
	FreeStarts    = 2
	// SurplusWait and UselessWait are the same for peers parted from because
	// there were better ones, and because they turned out to be of no use.
	SurplusWait = 10 * time.Minute
	UselessWait = time.Hour
	// SteadyAfter is how long a connection must hold to prove a peer.
	SteadyAfter = 30 * time.Second
	// Settling is the time a new connection has to say what it is good for.
	Settling = time.Minute
	// SetAside is how long an address is not counted on after its network
	// could not be reached from here.
	SetAside = time.Hour
	// AloneBackoff is the longest wait for a peer while none is connected at
	// all: then it is more likely this node that is cut off. AloneDials peers
	// that back off are tried every AloneEvery.
	AloneBackoff = 5 * time.Minute
	AloneEvery   = 30 * time.Second
	AloneDials   = 4
	// ForgetAfter is how long a peer is remembered after its last sign of
	// life, ForgetUnprovenAfter one that never gave any and fails.
	ForgetAfter         = 14 * 24 * time.Hour
	ForgetUnprovenAfter = 2 * 24 * time.Hour
	// lostDial is the time after which a dial that nobody told the outcome of
	// counts as failed.
	lostDial = 5 * time.Minute
)

// AnyShard stands for a need or a choice that no shard narrows.
const AnyShard = 0xffff

// Capability is a set of what a peer does for others. The first five bits are
// those of the waku2 field of a node record (31/WAKU2-ENR).
type Capability uint8

// The capabilities.
const (
	Relay Capability = 1 << iota
	Store
	Filter
	Lightpush
	Sync
	PeerExchange

	capabilities = iota
)

var capabilityNames = [capabilities]string{"relay", "store", "filter", "lightpush", "sync", "peer-exchange"}

// Has says whether c has everything of other.
func (c Capability) Has(other Capability) bool { return c&other == other }

// String lists the capabilities: "relay,store".
func (c Capability) String() string {
	var names []string
	for i, name := range capabilityNames {
		if c.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// index of a single capability among those with quality; false for a set, and
// for none.
func (c Capability) index() (int, bool) {
	i := bits.TrailingZeros8(uint8(c))
	return i, bits.OnesCount8(uint8(c)) == 1 && i < capabilities
}

// The protocols that show a capability.
var protocolCapabilities = map[protocol.ID]Capability{
	"/vac/waku/relay/2.0.0":                  Relay,
	"/vac/waku/store-query/3.0.0":            Store,
	"/vac/waku/filter-subscribe/2.0.0-beta1": Filter,
	"/vac/waku/lightpush/2.0.0-beta1":        Lightpush,
	"/vac/waku/lightpush/3.0.0":              Lightpush,
	"/vac/waku/reconciliation/1.0.0":         Sync,
	"/vac/waku/peer-exchange/2.0.0-alpha1":   PeerExchange,
}

// CapabilityOf returns what a protocol is part of; none for a protocol that is
// none of Waku's services.
func CapabilityOf(p protocol.ID) Capability { return protocolCapabilities[p] }

// CapabilitiesOf returns what the protocols of a peer show.
func CapabilitiesOf(protocols []protocol.ID) (c Capability) {
	for _, p := range protocols {
		c |= protocolCapabilities[p]
	}
	return c
}

// Source is how a peer became known, the least trusted first.
type Source uint8

// The sources.
const (
	// Saved peers were known to an earlier run, in another way than the others.
	Saved Source = iota
	// Identified peers came by themselves and said what they are.
	Identified
	PeerExchanged
	Discv5
	DNS
	MDNS
	// Static peers are configured. They are kept connected by others, and are
	// never dialled, dropped or forgotten here.
	Static

	sources = iota
)

var sourceNames = [sources]string{"saved", "identify", "peer-exchange", "discv5", "dns", "mdns", "static"}

// String is the source's name in files, logs and metrics.
func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return "unknown"
}

// Sources returns all sources.
func Sources() []Source {
	out := make([]Source, sources)
	for i := range out {
		out[i] = Source(i)
	}
	return out
}

// sourceNamed is the other way of Source.String; Saved for foreign names.
func sourceNamed(name string) Source {
	for i, s := range sourceNames {
		if s == name {
			return Source(i)
		}
	}
	return Saved
}

// Facts are what is said of a peer by whoever found it. They are claims until
// the peer was connected.
type Facts struct {
	// Cluster is nil where not known.
	Cluster *uint16
	// Shards of the cluster; nil where not known.
	Shards []uint16
	// Capabilities are 0 where not known.
	Capabilities Capability
	Source       Source
}
