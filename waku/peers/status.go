package peers

import (
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Status is what a Manager has, for metrics.
type Status struct {
	// Known peers, and those of them that were connected before (Proven), wait
	// after a failure or a parting (BackedOff), and are dialled now.
	Known, Proven, BackedOff, Dialling int
	BySource                           map[Source]int
	// Connected peers by direction, whether known or not.
	Inbound, Outbound int
	// Lacking is what discovery should look for, as of the last plan.
	Lacking []Need
}

// Status returns what there is now.
func (m *Manager) Status() Status {
	conns := m.conns()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Known: m.book.Len(), Dialling: m.dialling, BySource: make(map[Source]int), Lacking: slices.Clone(m.last.Lacking)}
	for _, c := range conns {
		if c.Inbound {
			s.Inbound++
		} else {
			s.Outbound++
		}
	}
	now := time.Now()
	for _, e := range m.book.list {
		s.BySource[e.source]++
		if e.proven() {
			s.Proven++
		}
		if e.connected.IsZero() && e.dialling.IsZero() && !e.fresh(now) {
			s.BackedOff++
		}
	}
	return s
}

// Peers returns all that is known, sorted by id.
func (m *Manager) Peers() []Known {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Peers()
}

// Kept returns the connected peers that something wanted depends on, sorted.
func (m *Manager) Kept() []peer.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.kept))
}
