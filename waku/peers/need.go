package peers

import (
	"cmp"
	"slices"
	"time"
)

// Want is what a node wants of its peers.
type Want struct {
	Cluster uint16
	// Shards that the node relays, or in light mode uses services on.
	Shards []uint16
	// RelayPeers is the number of relay peers wanted on each shard; 0 where
	// the node does not relay. RelayOutbound of them must have been dialled
	// from here, which keeps those who dial in from being all there is; 0
	// stands for a third, rounded up.
	RelayPeers, RelayOutbound int
	// Services are the numbers of peers wanted for each service, per shard
	// except for peer exchange.
	Services map[Capability]int
	// MaxOutbound and MaxInbound bound the connected peers of each direction;
	// 0 is no bound.
	MaxOutbound, MaxInbound int
	// SubnetLimit bounds the peers in one subnet that are dialled; 0 stands
	// for DefaultSubnetLimit.
	SubnetLimit int
}

// DefaultSubnetLimit is below the 5 peers of one address that GossipSub
// scoring of deployed relays takes without a penalty.
const DefaultSubnetLimit = 4

// LightServices are what a light node wants.
func LightServices() map[Capability]int {
	return map[Capability]int{Filter: 2, Lightpush: 2, Store: 1}
}

// Need is a want that is not met.
type Need struct {
	Capability Capability
	// Shard is AnyShard where any will do.
	Shard uint16
	// Missing is the number of peers that nobody known can be dialled for.
	Missing int
}

// need is one thing wanted and what there is of it.
type need struct {
	Need
	target, outbound   int
	have, haveOutbound int
	pending            int
	exhausted          bool // nobody known can be dialled for it
}

// missing is the number of peers still to dial.
func (n *need) missing() int {
	return max(n.target-n.have-n.pending, n.outbound-n.haveOutbound-n.pending, 0)
}

// urgency orders needs: relay before services, then by what part is missing.
func (n *need) urgency() float64 {
	if n.missing() == 0 {
		return 0
	}
	u := float64(n.missing()) / float64(max(n.target, 1))
	if n.Capability == Relay {
		u += 10
	}
	return u
}

// needs lists what is wanted.
func (w Want) needs() []*need {
	var out []*need
	shards := validShards(w.Shards)
	if w.RelayPeers > 0 {
		outbound := w.RelayOutbound
		if outbound == 0 {
			outbound = (w.RelayPeers + 2) / 3
		}
		for _, s := range shards {
			out = append(out, &need{
				Need:   Need{Capability: Relay, Shard: s},
				target: w.RelayPeers, outbound: min(outbound, w.RelayPeers),
			})
		}
	}
	for i := range capabilities {
		c := Capability(1) << i
		target := w.Services[c]
		switch {
		case target <= 0:
		case c == PeerExchange || len(shards) == 0:
			out = append(out, &need{Need: Need{Capability: c, Shard: AnyShard}, target: target})
		default:
			for _, s := range shards {
				out = append(out, &need{Need: Need{Capability: c, Shard: s}, target: target})
			}
		}
	}
	return out
}

// serves says whether a connected peer fills a need. A relay must say its
// shards; a service on shards it does not tell may be any.
func (c *Conn) serves(n *need) bool {
	if !c.Capabilities.Has(n.Capability) {
		return false
	}
	return n.Shard == AnyShard || len(c.Shards) == 0 && n.Capability != Relay || slices.Contains(c.Shards, n.Shard)
}

// count adds the connected peers, and those being dialled, to the needs.
// Peers that did not say yet what they are count as what is known of them.
func (b *Book) count(conns []*Conn, needs []*need, now time.Time) {
	for _, c := range conns {
		e := b.entries[c.ID]
		settling := !c.Judged && e != nil && now.Sub(c.Since) < Settling
		for _, n := range needs {
			switch {
			case c.Judged && c.serves(n) && !e.poorAt(n.Capability, now):
				n.have++
				if !c.Inbound {
					n.haveOutbound++
				}
			case settling && (e.claims(n) || e.ours && e.may(n)):
				n.pending++
			}
		}
	}
	for _, e := range b.list {
		if e.dialling.IsZero() {
			continue
		}
		for _, n := range needs {
			if e.claims(n) || e.caps == 0 && e.may(n) { // nobody knows which need it is dialled for
				n.pending++
			}
		}
	}
}

// poorAt says whether a peer serves a capability too badly to count.
func (e *entry) poorAt(c Capability, now time.Time) bool {
	i, ok := c.index()
	return e != nil && ok && e.quality[i].poor(now)
}

// most returns the need to fill next, nil when there is none left.
func most(needs []*need) *need {
	var best *need
	for _, n := range needs {
		if !n.exhausted && n.missing() > 0 && (best == nil || n.urgency() > best.urgency()) {
			best = n
		}
	}
	return best
}

// lacking returns the needs that nobody known can be dialled for, the most
// pressing first.
func lacking(needs []*need) []Need {
	slices.SortStableFunc(needs, func(x, y *need) int { return cmp.Compare(y.urgency(), x.urgency()) })
	var out []Need
	for _, n := range needs {
		if n.exhausted && n.missing() > 0 {
			n.Missing = n.missing()
			out = append(out, n.Need)
		}
	}
	return out
}
