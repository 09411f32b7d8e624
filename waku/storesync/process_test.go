package storesync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const hour = int64(time.Hour)

// talk lets two sets reconcile and counts payloads and bytes, each payload
// through its encoding. aHas is what a alone has, as both sides found.
func talk(t testing.TB, a, b *Set, start, end int64) (aHas, bHas []store.ID, rounds, bytes int) {
	t.Helper()
	scope := Scope{Cluster: 16, Shards: []uint16{32}}
	send := func(ranges []Range) []Range {
		raw, err := (&Payload{scope, ranges}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > MaxPayload {
			t.Fatalf("payload of %d bytes", len(raw))
		}
		rounds, bytes = rounds+1, bytes+len(raw)
		p, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		return p.Ranges
	}
	var found [2]Result
	sets := [2]*Set{b, a}
	ranges := send(Open(a, start, end))
	for i := 0; len(ranges) > 0; i = 1 - i {
		if rounds > 2*MaxRounds {
			t.Fatalf("no end after %d rounds", rounds)
		}
		res := Process(ranges, sets[i])
		found[i].Have = append(found[i].Have, res.Have...)
		found[i].Want = append(found[i].Want, res.Want...)
		ranges = send(res.Reply)
	}
	for i := range found {
		slices.SortFunc(found[i].Have, compareIDs)
		slices.SortFunc(found[i].Want, compareIDs)
	}
	if !slices.Equal(found[1].Have, found[0].Want) || !slices.Equal(found[0].Have, found[1].Want) {
		t.Fatalf("one side has %d and %d, the other wants %d and %d",
			len(found[1].Have), len(found[0].Have), len(found[0].Want), len(found[1].Want))
	}
	return found[1].Have, found[0].Have, rounds, bytes
}

// split gives each id to one of two sets or, mostly, to both.
func split(rng *rand.Rand, ids []store.ID, differences int) (a, b, onlyA, onlyB []store.ID) {
	alone := make(map[int]bool)
	for len(alone) < differences {
		alone[rng.IntN(len(ids))] = true
	}
	for i, id := range ids {
		switch {
		case alone[i] && rng.IntN(2) == 0:
			a, onlyA = append(a, id), append(onlyA, id)
		case alone[i]:
			b, onlyB = append(b, id), append(onlyB, id)
		default:
			a, b = append(a, id), append(b, id)
		}
	}
	return a, b, onlyA, onlyB
}

// TestReconcile: whatever two sets hold, both sides find exactly what differs.
func TestReconcile(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 90 {
		n := rng.IntN(3000)
		width := []int64{1, 3, 20, 1_000_000, hour, 30 * 24 * hour}[i%6]
		differences := 0
		if n > 0 {
			differences = rng.IntN(min(n, []int{1, 10, 3000}[rng.IntN(3)])) + rng.IntN(2)
		}
		start := int64(1_700_000_000_000_000_000)
		ids := randomIDs(rng, n, start, start+width)
		a, b, onlyA, onlyB := split(rng, ids, differences)
		gotA, gotB, _, _ := talk(t, setOf(t, a...), setOf(t, b...), start, start+width)
		if !slices.Equal(gotA, onlyA) || !slices.Equal(gotB, onlyB) {
			t.Fatalf("%d ids within %d ns, %d and %d alone: found %d and %d", n, width, len(onlyA), len(onlyB), len(gotA), len(gotB))
		}
	}
}

// TestReconcileCost grows with what differs and hardly with what does not.
func TestReconcileCost(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	cost := func(n, differences int) (rounds, bytes int) {
		ids := randomIDs(rng, n, 0, hour)
		a, b, _, _ := split(rng, ids, differences)
		_, _, rounds, bytes = talk(t, setOf(t, a...), setOf(t, b...), 0, hour)
		return rounds, bytes
	}
	// A difference is listed with its range and the seven beside it, of
	// Threshold ids at most, by both sides.
	const perDifference = 2 * Partitions * Threshold * (message.HashSize + 6)
	for _, c := range []struct{ n, differences, rounds, bytes int }{
		{20_000, 0, 2, 100},
		{20_000, 1, 9, perDifference},
		{20_000, 10, 9, 10 * perDifference},
		{60_000, 1, 9, perDifference},
		{60_000, 10, 9, 10 * perDifference},
	} {
		rounds, bytes := cost(c.n, c.differences)
		t.Logf("%d ids, %d differ: %d payloads, %d bytes", c.n, c.differences, rounds, bytes)
		if rounds > c.rounds || bytes > c.bytes {
			t.Errorf("%d ids, %d differ: %d payloads, %d bytes", c.n, c.differences, rounds, bytes)
		}
	}
}

// TestReconcileMany: what does not fit one payload is put off, on either side.
func TestReconcileMany(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	ids := randomIDs(rng, MaxReplyItems+20_000, 0, hour)
	many, none := setOf(t, ids...), setOf(t)
	for _, sets := range [][2]*Set{{many, none}, {none, many}} {
		a, b, rounds, _ := talk(t, sets[0], sets[1], 0, hour)
		if len(a) != len(sets[0].ids) || len(b) != len(sets[1].ids) {
			t.Errorf("found %d and %d in %d rounds", len(a), len(b), rounds)
		}
	}
	odd, even := []store.ID{}, []store.ID{}
	for i, id := range ids {
		if i%2 == 0 {
			even = append(even, id)
		} else {
			odd = append(odd, id)
		}
	}
	a, b, rounds, bytes := talk(t, setOf(t, odd...), setOf(t, even...), 0, hour)
	if len(a) != len(odd) || len(b) != len(even) {
		t.Errorf("found %d and %d", len(a), len(b))
	}
	t.Logf("%d ids, nothing in common: %d rounds, %d bytes", len(ids), rounds, bytes)
}

// at1 returns n ids with one timestamp.
func at1(n int) []store.ID {
	ids := make([]store.ID, n)
	for i := range ids {
		ids[i] = store.ID{Timestamp: 7, Hash: message.Hash{byte(i >> 16), byte(i >> 8), byte(i), 1}}
	}
	return ids
}

// TestDense: ids of one timestamp are listed up to MaxReplyItems, and given up
// above.
func TestDense(t *testing.T) {
	t.Parallel()
	print := []Range{{Bounds: Between(0, hour), Kind: Print, Print: Fingerprint{1}}}
	for n, dense := range map[int]int{MaxReplyItems: 0, MaxReplyItems + 1: 1} {
		set := setOf(t, at1(n)...)
		ranges, listed, given := print, 0, 0
		for range MaxRounds {
			res := Process(ranges, set)
			given += res.Dense
			ranges = nil
			for _, r := range res.Reply {
				listed += len(r.Items)
				if r.Kind == Print {
					r.Print[0] ^= 1
				} else {
					r = Range{Bounds: r.Bounds}
				}
				ranges = append(ranges, r)
			}
		}
		if given != dense || listed != n*(1-dense) {
			t.Errorf("%d ids of one time: %d listed, %d ranges given up", n, listed, given)
		}
	}
}

// TestReplyBounds: no payload makes a reply that is too large.
func TestReplyBounds(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	set := setOf(t, randomIDs(rng, MaxReplyItems+20_000, 0, MaxRanges)...)
	for _, kind := range []Kind{Print, Items} {
		for _, n := range []int{1, 100, MaxRanges / 8, MaxRanges} {
			var in []Range
			for i := range int64(n) {
				in = append(in, Range{Bounds: Between(i*MaxRanges/int64(n), (i+1)*MaxRanges/int64(n)), Kind: kind, Print: Fingerprint{1}})
			}
			res := Process(in, set)
			items := 0
			for _, r := range res.Reply {
				items += len(r.Items)
			}
			if len(res.Reply) > MaxRanges || items > MaxReplyItems {
				t.Errorf("%d ranges of kind %d: %d ranges, %d ids", n, kind, len(res.Reply), items)
			}
			raw, err := (&Payload{Ranges: res.Reply}).Append(nil)
			if err != nil || len(raw) > MaxPayload {
				t.Errorf("%d ranges of kind %d: %d bytes, %v", n, kind, len(raw), err)
			}
			if _, err := Decode(raw); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestProcess: the single rules of the reply.
func TestProcess(t *testing.T) {
	t.Parallel()
	own := []store.ID{at(10, 1), at(12, 2), at(14, 4)}
	set := setOf(t, own...)
	sum := set.Fingerprint(Between(10, 20))
	b := Between(10, 20)
	for name, c := range map[string]struct {
		in, reply  Range
		have, want []store.ID
	}{
		"skip":                  {Range{Bounds: b}, Range{Bounds: b}, nil, nil},
		"same fingerprint":      {Range{Bounds: b, Kind: Print, Print: sum}, Range{Bounds: b}, nil, nil},
		"another fingerprint":   {Range{Bounds: b, Kind: Print}, Range{Bounds: b, Kind: Items, Items: own}, nil, nil},
		"items":                 {Range{Bounds: b, Kind: Items, Items: []store.ID{at(11), at(12, 2)}}, Range{Bounds: b, Kind: Items, Items: own, Reconciled: true}, []store.ID{own[0], own[2]}, []store.ID{at(11)}},
		"reconciled items":      {Range{Bounds: b, Kind: Items, Items: []store.ID{at(19)}, Reconciled: true}, Range{Bounds: b}, own, []store.ID{at(19)}},
		"same items":            {Range{Bounds: b, Kind: Items, Items: own, Reconciled: true}, Range{Bounds: b}, nil, nil},
		"nothing here":          {Range{Bounds: Between(30, 40), Kind: Print, Print: sum}, Range{Bounds: Between(30, 40), Kind: Items}, nil, nil},
		"nothing here or there": {Range{Bounds: Between(30, 40), Kind: Print}, Range{Bounds: Between(30, 40)}, nil, nil},
	} {
		// A range that stays open, so that the reply is never none.
		open := Range{Bounds: Between(c.in.Upper.Timestamp, 50), Kind: Print, Print: Fingerprint{9}}
		res := Process([]Range{c.in, open}, set)
		if got, want := fmt.Sprint(res.Reply[:1]), fmt.Sprint([]Range{c.reply}); got != want {
			t.Errorf("%s: reply %s, want %s", name, got, want)
		}
		if !slices.Equal(res.Have, c.have) || !slices.Equal(res.Want, c.want) {
			t.Errorf("%s: have %v, want %v", name, res.Have, res.Want)
		}
	}
	// Neighbours that are done with become one; when all are, it is over.
	two := []Range{{Bounds: Between(0, 10)}, {Bounds: b, Kind: Print, Print: sum}}
	if res := Process(two, set); res.Reply != nil {
		t.Errorf("reply %v", res.Reply)
	}
	res := Process(append(two, Range{Bounds: Between(20, 30), Kind: Print, Print: sum}), set)
	if len(res.Reply) != 2 || res.Reply[0].Bounds != Between(0, 20) {
		t.Errorf("reply %v", res.Reply)
	}
}

// TestDivide: parts of equal time, the remainder with the first.
func TestDivide(t *testing.T) {
	t.Parallel()
	ids := make([]store.ID, Threshold+1)
	for i := range ids {
		ids[i] = at(int64(i%5), byte(i+1))
	}
	slices.SortFunc(ids, compareIDs)
	res := Process([]Range{{Bounds: Between(0, 19), Kind: Print, Print: Fingerprint{0xff}}}, setOf(t, ids...))
	var widths []int64
	for _, r := range res.Reply {
		widths = append(widths, r.Upper.Timestamp-r.Lower.Timestamp)
	}
	if !slices.Equal(widths, []int64{3, 3, 3, 2, 2, 2, 2, 2}) {
		t.Errorf("parts of %v ns", widths)
	}
	if kinds := res.Reply; kinds[0].Kind != Items || len(kinds[0].Items) != 61 || kinds[7].Kind != Items {
		t.Errorf("reply %+v", res.Reply)
	}
}
