package discovery

import "slices"

// Want says which records of a cluster are looked for.
type Want struct {
	// Shards are those of which a record has at least one; nil is any.
	Shards []uint16
	// Capabilities are those that a record has, all of them.
	Capabilities Capabilities
}

// Serves reports whether r is of use to a node of cluster that looks for w: it
// names some capability, as nodes in discv5 must (31/WAKU2-ENR, Key Usage), the
// cluster, a shard and an address to dial.
func (r *Record) Serves(cluster uint16, w Want) bool {
	if r.Capabilities == (Capabilities{}) || !r.Capabilities.include(w.Capabilities) {
		return false
	}
	if r.Cluster == nil || *r.Cluster != cluster || len(r.Multiaddrs) == 0 {
		return false
	}
	return w.Shards == nil || slices.ContainsFunc(w.Shards, func(s uint16) bool {
		return slices.Contains(r.Shards, s)
	})
}

// include reports whether c has all that want has.
func (c Capabilities) include(want Capabilities) bool {
	return c.bits()&want.bits() == want.bits()
}
