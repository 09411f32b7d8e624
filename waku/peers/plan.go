package peers

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Conn is a connected peer.
type Conn struct {
	ID peer.ID
	// Inbound says that it dialled this node and was not dialled from here.
	Inbound bool
	// IP is its address; not valid where not known.
	IP    netip.Addr
	Since time.Time
	// Judged says that it told what it does. Until then it counts as what is
	// known of it, for some time.
	Judged       bool
	Capabilities Capability
	// Shards it told; empty where it told none.
	Shards []uint16
}

// State is what there is.
type State struct {
	Conns []Conn
	// Dials is the number of peers that may be dialled now.
	Dials int
	// Allowed says whether a peer may be dialled or stay; nil allows all.
	Allowed func(peer.ID) bool
}

// Reason says why to part from a peer.
type Reason string

// The reasons.
const (
	Forbidden Reason = "not allowed"
	Crowded   Reason = "too many of its subnet"
	Useless   Reason = "serves nothing that is needed"
	Surplus   Reason = "better ones are needed"
	TooMany   Reason = "too many inbound"
)

// Parting is advice to disconnect a peer.
type Parting struct {
	ID  peer.ID
	Why Reason
}

// Actions is what to do.
type Actions struct {
	// Dial are peers to connect; the caller tells Reached or Failed of each.
	Dial []peer.AddrInfo
	// Drop are peers to disconnect; the caller tells Parted of each.
	Drop []Parting
	// Keep are the connected peers that something wanted depends on, for a
	// connection manager to spare.
	Keep []peer.ID
	// Lacking is what nobody known can be dialled for: what discovery should
	// look for.
	Lacking []Need
	// Alone says that nobody at all is connected.
	Alone bool
}

// Plan says what to do at now to come closer to what is wanted: whom to dial
// and whom to part from. What it says to dial counts as being dialled until
// Reached, Failed or some minutes.
//
// Shards without enough relay peers come first, then services. For each need
// the peers known for it are tried, the most reliable ones likely first, then
// those of which nothing is known that speaks against it. Chance has a part
// in the order, so that the nodes of a network do not all choose the same.
func (b *Book) Plan(now time.Time, s State, w Want, r *rand.Rand) Actions {
	p := &plan{b: b, now: now, state: s, want: w, r: r, needs: w.needs(), used: make(map[netip.Prefix]int)}
	if p.want.SubnetLimit == 0 {
		p.want.SubnetLimit = DefaultSubnetLimit
	}
	b.forget(now)
	b.reconcile(s, now, r)
	for i := range s.Conns {
		p.conns = append(p.conns, &s.Conns[i])
	}
	b.count(p.conns, p.needs, now)
	p.keepers()
	p.dropOutbound()
	p.dropInbound()
	p.dial()
	p.out.Lacking, p.out.Alone = lacking(p.needs), b.alone
	return p.out
}

// reconcile brings the book in line with who is connected, whatever events
// were missed.
func (b *Book) reconcile(s State, now time.Time, r *rand.Rand) {
	if b.alone && len(s.Conns) > 0 {
		b.rejoin(now, r)
	}
	b.alone = len(s.Conns) == 0
	connected := make(map[peer.ID]bool, len(s.Conns))
	for _, c := range s.Conns {
		connected[c.ID] = true
		e := b.entries[c.ID]
		if e == nil {
			continue
		}
		if e.connected.IsZero() {
			e.connected = c.Since
		}
		e.lastSeen = now
		if e.ours && !e.credited && now.Sub(e.connected) >= SteadyAfter {
			e.credit(now)
		}
	}
	for _, e := range b.list {
		if !e.connected.IsZero() && !connected[e.id] {
			b.Disconnected(e.id, now, r)
		}
		if !e.dialling.IsZero() && (connected[e.id] || now.Sub(e.dialling) > lostDial) {
			if e.dialling = (time.Time{}); !connected[e.id] {
				e.failed(now, b.alone, r)
			}
		}
	}
}

// plan is a Plan in the making.
type plan struct {
	b     *Book
	now   time.Time
	state State
	want  Want
	r     *rand.Rand
	needs []*need
	conns []*Conn
	keep  map[peer.ID]bool
	// used counts the peers of each subnet that were dialled.
	used     map[netip.Prefix]int
	outbound int
	// spare are peers dialled from here that nothing wanted depends on.
	spare []*Conn
	out   Actions
}

// candidate is a peer that may be dialled.
type candidate struct {
	*entry
	score float64
	// despite says that its addresses set aside are tried too.
	despite bool
}

// dial chooses whom to dial.
func (p *plan) dial() {
	budget := p.state.Dials
	for _, e := range p.b.list {
		if !e.dialling.IsZero() {
			p.outbound++
			p.occupy(e)
		}
	}
	if p.want.MaxOutbound > 0 {
		budget = min(budget, p.want.MaxOutbound-p.outbound)
	}
	list := p.candidates()
	for {
		n := most(p.needs)
		if n == nil {
			return
		}
		i := p.pick(list, n)
		if i < 0 {
			n.exhausted = true
			continue
		}
		if budget <= 0 {
			if p.want.MaxOutbound > 0 && p.outbound >= p.want.MaxOutbound && len(p.spare) > 0 {
				p.dropSpare()
			}
			return
		}
		p.choose(list[i], n)
		list[i].entry = nil
		budget--
	}
}

// candidates lists who may be dialled, in the order of trying.
func (p *plan) candidates() []candidate {
	if most(p.needs) == nil || p.now.Before(p.b.held) {
		return nil
	}
	var list, waiting []candidate
	for _, e := range p.b.list {
		if !p.eligible(e) {
			continue
		}
		switch {
		case e.fresh(p.now) && e.anyUsable(p.now):
			list = append(list, candidate{entry: e, score: e.reliability(p.now) + 0.3*p.r.Float64()})
		case p.b.alone && p.now.Sub(e.attempted) >= AloneBackoff && p.now.Sub(e.left) >= ReconnectWait:
			waiting = append(waiting, candidate{entry: e, despite: true})
		}
	}
	slices.SortFunc(list, func(x, y candidate) int { return cmp.Compare(y.score, x.score) })
	if len(list) < AloneDials && p.now.Sub(p.b.lastAlone) >= AloneEvery {
		list = append(list, p.longest(waiting)...)
	}
	return list
}

// longest returns the peers to try in spite of their back-off because nobody
// is connected: proven ones, those that wait longest first.
func (p *plan) longest(waiting []candidate) []candidate {
	slices.SortFunc(waiting, func(x, y candidate) int {
		if x.proven() != y.proven() {
			if x.proven() {
				return -1
			}
			return 1
		}
		return x.attempted.Compare(y.attempted)
	})
	return waiting[:min(len(waiting), AloneDials)]
}

func (p *plan) eligible(e *entry) bool {
	switch {
	case e.source == Static, !e.connected.IsZero(), !e.dialling.IsZero(), len(e.addrs) == 0:
		return false
	case e.hasCluster && e.cluster != p.want.Cluster:
		return false
	}
	return p.state.Allowed == nil || p.state.Allowed(e.id)
}

// pick returns the candidate to dial for a need, -1 if there is none.
func (p *plan) pick(list []candidate, n *need) int {
	maybe := -1
	for i, c := range list {
		switch {
		case c.entry == nil || !c.may(n) || c.poorAt(n.Capability, p.now) || !p.room(c.entry):
		case c.claims(n):
			return i
		case maybe < 0:
			maybe = i
		}
	}
	return maybe
}

// choose dials a candidate for a need, and counts it for all that it claims.
func (p *plan) choose(c candidate, chosenFor *need) {
	if c.despite {
		p.b.lastAlone = p.now
	}
	p.out.Dial = append(p.out.Dial, peer.AddrInfo{ID: c.id, Addrs: c.usable(p.now, c.despite)})
	c.attempted, c.dialling = p.now, p.now
	p.outbound++
	p.occupy(c.entry)
	for _, n := range p.needs {
		if n == chosenFor || c.claims(n) {
			n.pending++
		}
	}
}

// room says whether all subnets of a peer may have one more.
func (p *plan) room(e *entry) bool {
	return !slices.ContainsFunc(e.subnets, func(s netip.Prefix) bool { return p.used[s] >= p.want.SubnetLimit })
}

func (p *plan) occupy(e *entry) {
	for _, s := range e.subnets {
		p.used[s]++
	}
}
