package stack

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/reliability/mvds"
)

// Synced is what data synchronisation took since the start, by direction, kind
// and peer. Bytes are those of the payloads, before encryption.
type Synced struct {
	Sent     mvds.Usage `json:"sent"`
	Received mvds.Usage `json:"received"`
	// Peers are those with the most traffic.
	Peers []PeerSynced `json:"peers,omitempty"`
	// Communities are the busiest channels of communities, which are not in the
	// counts above.
	Communities []CommunitySynced `json:"communities,omitempty"`
}

// PeerSynced is what data synchronisation with one peer took.
type PeerSynced struct {
	// With is the peer, zQ3sh….
	With     key.Public `json:"with"`
	Sent     mvds.Usage `json:"sent"`
	Received mvds.Usage `json:"received"`
}

func (p PeerSynced) bytes() uint64 { return p.Sent.Payloads.Bytes + p.Received.Payloads.Bytes }

const (
	// syncedMost is how many peers are counted for themselves.
	syncedMost = 1024
	// syncedShown is how many of them Synced lists.
	syncedShown = 20
)

// syncedCounts counts payloads. A step that fails may have counted what did not
// go out.
type syncedCounts struct {
	mu             sync.Mutex
	sent, received mvds.Usage
	peers          map[key.Public]PeerSynced
}

func (c *syncedCounts) add(with key.Public, sent, received mvds.Usage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent.Add(sent)
	c.received.Add(received)
	p, ok := c.peers[with]
	if !ok && len(c.peers) >= syncedMost {
		return
	}
	if c.peers == nil {
		c.peers = make(map[key.Public]PeerSynced)
	}
	p.With = with
	p.Sent.Add(sent)
	p.Received.Add(received)
	c.peers[with] = p
}

// Synced returns what data synchronisation took since the start.
func (s *Stack) Synced() Synced {
	c := &s.synced
	c.mu.Lock()
	defer c.mu.Unlock()
	peers := slices.SortedFunc(maps.Values(c.peers), func(a, b PeerSynced) int {
		return cmp.Or(cmp.Compare(b.bytes(), a.bytes()), cmp.Compare(a.With.Hex(), b.With.Hex()))
	})
	return Synced{c.sent, c.received, peers[:min(len(peers), syncedShown)], s.channels.list()}
}

// storedLife is for how long stores are taken to keep what we publish after they
// were seen to have something of it.
const storedLife = 24 * time.Hour

// syncing returns the parameters of data synchronisation for sending: with few
// copies to who is away, where stores have what we publish, and as deployed
// clients send otherwise.
func (s *Stack) syncing(now time.Time) *mvds.Sync {
	at := s.storedAt.Load()
	if at != nil && now.Sub(*at) < storedLife {
		return s.mvds
	}
	all := *s.mvds
	all.AwayGap = 0
	return &all
}
