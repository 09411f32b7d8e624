package peers

import (
	"cmp"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// keepers finds the connected peers that something wanted depends on: all of
// a kind of which there are no more than wanted, else the best ones among
// those dialled from here. Who dials in and claims to be scarce is kept only
// as long as nothing better is there.
func (p *plan) keepers() {
	p.keep = make(map[peer.ID]bool)
	for _, n := range p.needs {
		var serving []*Conn
		for _, c := range p.conns {
			if c.Judged && c.serves(n) && !p.b.entries[c.ID].poorAt(n.Capability, p.now) {
				serving = append(serving, c)
			}
		}
		slices.SortStableFunc(serving, func(x, y *Conn) int {
			if x.Inbound != y.Inbound {
				if y.Inbound {
					return -1
				}
				return 1
			}
			return cmp.Or(cmp.Compare(p.cost(x, n), p.cost(y, n)), x.Since.Compare(y.Since))
		})
		for _, c := range serving[:min(len(serving), n.target)] {
			if !p.keep[c.ID] {
				p.keep[c.ID] = true
				p.out.Keep = append(p.out.Keep, c.ID)
			}
		}
	}
}

// cost of a service with a peer; equal for relay.
func (p *plan) cost(c *Conn, n *need) int64 {
	i, _ := n.Capability.index()
	q := new(quality)
	if e := p.b.entries[c.ID]; e != nil {
		q = &e.quality[i]
	}
	return q.cost(p.now).Milliseconds()
}

// dropOutbound parts from peers dialled by the plan that are of no use, too
// many of one subnet, or in the way of better ones. Peers that others dialled
// are theirs.
func (p *plan) dropOutbound() {
	// The longest connected come first, and occupy their subnet.
	conns := slices.SortedStableFunc(slices.Values(p.conns), func(x, y *Conn) int { return x.Since.Compare(y.Since) })
	for _, c := range conns {
		if c.Inbound {
			continue
		}
		e := p.b.entries[c.ID]
		ours := e != nil && e.ours && e.source != Static
		settled := p.now.Sub(c.Since) >= Settling
		s := subnet(c.IP)
		switch {
		case p.forbidden(c):
			p.drop(c, Forbidden)
		case ours && s.IsValid() && p.used[s] >= p.want.SubnetLimit:
			p.drop(c, Crowded)
		case ours && settled && len(p.needs) > 0 && (!c.Judged || !slices.ContainsFunc(p.needs, c.serves)):
			p.drop(c, Useless)
		default:
			p.outbound++
			if s.IsValid() {
				p.used[s]++
			}
			if ours && settled && !p.keep[c.ID] {
				p.spare = append(p.spare, c)
			}
		}
	}
	for p.want.MaxOutbound > 0 && p.outbound > p.want.MaxOutbound && len(p.spare) > 0 {
		p.dropSpare()
	}
}

// dropSpare parts from the least reliable of those that nothing depends on.
func (p *plan) dropSpare() {
	worst := 0
	reliability := func(i int) float64 { return p.b.entries[p.spare[i].ID].reliability(p.now) }
	for i := range p.spare {
		if reliability(i) < reliability(worst) {
			worst = i
		}
	}
	p.drop(p.spare[worst], Surplus)
	p.spare = slices.Delete(p.spare, worst, worst+1)
	p.outbound--
}

// dropInbound parts from those who dialled in beyond the bound: who serves
// nothing that is needed first, then the latest to come, so that nobody is
// displaced by coming in numbers.
func (p *plan) dropInbound() {
	var in []*Conn
	for _, c := range p.conns {
		if !c.Inbound {
			continue
		}
		if p.forbidden(c) {
			p.drop(c, Forbidden)
			continue
		}
		in = append(in, c)
	}
	if p.want.MaxInbound == 0 || len(in) <= p.want.MaxInbound {
		return
	}
	rank := func(c *Conn) int {
		switch {
		case p.static(c.ID):
			return 3
		case p.keep[c.ID]:
			return 2
		case c.Judged && slices.ContainsFunc(p.needs, c.serves):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(in, func(x, y *Conn) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), y.Since.Compare(x.Since))
	})
	for _, c := range in[:len(in)-p.want.MaxInbound] {
		if !p.static(c.ID) {
			p.drop(c, TooMany)
		}
	}
}

func (p *plan) static(id peer.ID) bool {
	e := p.b.entries[id]
	return e != nil && e.source == Static
}

func (p *plan) forbidden(c *Conn) bool {
	return p.state.Allowed != nil && !p.state.Allowed(c.ID) && !p.static(c.ID)
}

func (p *plan) drop(c *Conn, why Reason) {
	if p.keep[c.ID] {
		delete(p.keep, c.ID)
		p.out.Keep = slices.DeleteFunc(p.out.Keep, func(id peer.ID) bool { return id == c.ID })
	}
	p.out.Drop = append(p.out.Drop, Parting{c.ID, why})
}
