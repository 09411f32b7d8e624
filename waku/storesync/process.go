package storesync

import "github.com/parley-im/parley/waku/store"

// Result is what follows from a payload.
type Result struct {
	// Reply are the ranges to answer with; none ends the reconciliation.
	Reply []Range
	// Have are ids of the set that the peer lacks, Want ids of the peer that
	// the set lacks, as far as the payload lists them.
	Have, Want []store.ID
	// Dense is the number of ranges that were given up: more than
	// MaxReplyItems ids with one timestamp.
	Dense int
}

// Open returns the ranges that begin a reconciliation of a stretch of time,
// start ≤ timestamp < end in nanoseconds (WAKU-SYNC, Initial Message).
func Open(set *Set, start, end int64) []Range {
	b := Between(start, end)
	return []Range{{Bounds: b, Kind: Print, Print: set.Fingerprint(b)}}
}

// Process answers the ranges of a peer's payload out of a set (WAKU-SYNC,
// Responding to a RangesData payload). The reply is bounded by MaxRanges and
// MaxReplyItems: ranges that have no room are answered with their fingerprint,
// so that the peer brings them up again.
func Process(in []Range, set *Set) Result {
	p := processor{set: set}
	for i := range in {
		p.left = len(in) - i - 1
		p.process(&in[i])
	}
	for i := range p.out.Reply {
		if p.out.Reply[i].Kind != Skip {
			return p.out
		}
	}
	p.out.Reply = nil
	return p.out
}

type processor struct {
	set   *Set
	out   Result
	items int // listed in the reply
	left  int // ranges of the payload still to come
}

func (p *processor) process(r *Range) {
	from, to := p.set.find(r.Bounds)
	own := p.set.ids[from:to]
	switch {
	case r.Kind == Print:
		if sum := p.set.between(from, to); sum != r.Print {
			p.divide(r.Bounds, from, to)
			return
		}
	case r.Kind == Items && r.Reconciled:
		p.compare(r.Items, own)
	case r.Kind == Items:
		if len(own) > MaxReplyItems {
			p.divide(r.Bounds, from, to)
			return
		}
		if !p.list(r.Bounds, from, to, true) {
			p.print(r.Bounds, from, to)
			return
		}
		p.compare(r.Items, own)
		return
	}
	p.skip(r.Bounds)
}

// compare finds what only one side has.
func (p *processor) compare(theirs, own []store.ID) {
	for len(theirs) > 0 && len(own) > 0 {
		switch c := compareIDs(theirs[0], own[0]); {
		case c < 0:
			p.out.Want = append(p.out.Want, theirs[0])
			theirs = theirs[1:]
		case c > 0:
			p.out.Have = append(p.out.Have, own[0])
			own = own[1:]
		default:
			theirs, own = theirs[1:], own[1:]
		}
	}
	p.out.Want = append(p.out.Want, theirs...)
	p.out.Have = append(p.out.Have, own...)
}

// divide answers a range that differs: listed when it is small, else in parts
// of equal time.
func (p *processor) divide(b Bounds, from, to int) {
	width := endOf(b) - b.Lower.Timestamp
	switch {
	case to-from <= Threshold || width <= 1 && to-from <= MaxReplyItems:
		if !p.list(b, from, to, false) {
			p.print(b, from, to)
		}
		return
	case width <= 1:
		p.out.Dense++
		p.skip(b)
		return
	case len(p.out.Reply)+Partitions+p.left > MaxRanges:
		p.print(b, from, to)
		return
	}
	parts := min(Partitions, width)
	lower := b.Lower
	for i := range parts {
		// The remainder goes to the first parts, one nanosecond each.
		step := width / parts
		if i < width%parts {
			step++
		}
		part := Bounds{lower, store.ID{Timestamp: lower.Timestamp + step}}
		if i == parts-1 {
			part.Upper = b.Upper
		}
		lower = part.Upper
		from, to := p.set.find(part)
		if to-from > Threshold || !p.list(part, from, to, false) {
			p.print(part, from, to)
		}
	}
}

// list answers a range with its ids, unless there is no room for them.
func (p *processor) list(b Bounds, from, to int, reconciled bool) bool {
	n := to - from
	if p.items+n > MaxReplyItems {
		return false
	}
	p.items += n
	p.add(Range{Bounds: b, Kind: Items, Items: p.set.ids[from:to:to], Reconciled: reconciled})
	return true
}

// print answers a range with its fingerprint.
func (p *processor) print(b Bounds, from, to int) {
	p.add(Range{Bounds: b, Kind: Print, Print: p.set.between(from, to)})
}

// skip answers a range that is done with. Neighbours become one, unless their
// bound could not be written: a hash goes only with the timestamp of the bound
// before.
func (p *processor) skip(b Bounds) {
	if n := len(p.out.Reply); n > 0 && p.out.Reply[n-1].Kind == Skip {
		last := &p.out.Reply[n-1]
		if b.Upper.Hash.IsZero() || b.Upper.Timestamp == last.Lower.Timestamp {
			last.Upper = b.Upper
			return
		}
	}
	p.add(Range{Bounds: b})
}

func (p *processor) add(r Range) { p.out.Reply = append(p.out.Reply, r) }
