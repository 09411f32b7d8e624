package storesync

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
)

// compared collects the differences of two sources.
func compared(t testing.TB, a, b Source, span store.Span) (out []Difference, sum Summary) {
	t.Helper()
	sum, err := Compare(t.Context(), a, b, span, func(d Difference) error {
		out = append(out, d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, sum
}

// TestCompare: two archives, at hand or not, and every difference in order.
func TestCompare(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	rng := rand.New(rand.NewPCG(1, 2))
	a, b := archiveOf(t), archiveOf(t)
	end := time.Now().Add(-time.Minute)
	want := map[store.ID]Side{}
	var inA, inB []store.Entry
	for i := range 900 {
		// Some days are empty, one hour is full, and some have one timestamp.
		at := end.Add(-time.Duration(rng.Int64N(int64(time.Hour))))
		if i%3 == 0 {
			at = end.Add(-time.Duration(rng.IntN(20)*10) * 24 * time.Hour)
		}
		e := entry([]string{topicA, topicB}[i%2], at, i)
		switch rng.IntN(10) {
		case 0:
			want[idOf(&e)], inA = A, append(inA, e)
		case 1:
			want[idOf(&e)], inB = B, append(inB, e)
		default:
			inA, inB = append(inA, e), append(inB, e)
		}
	}
	for arch, list := range map[*memory][]store.Entry{a: inA, b: inB} {
		if err := arch.Insert(t.Context(), list...); err != nil {
			t.Fatal(err)
		}
	}
	queried(t, y, b)
	for name, other := range map[string]Source{"local": Local{b}, "remote": NewRemote(x, y.ID())} {
		for _, topics := range [][]string{nil, {topicB}} {
			t.Run(name, func(t *testing.T) {
				span := store.Span{Start: 1, End: end.UnixNano() + 1, PubsubTopics: topics}
				got, sum := compared(t, Local{a}, other, span)
				var last store.ID
				n := 0
				for _, d := range got {
					id := idOf(&d.Entry)
					if compareIDs(last, id) >= 0 {
						t.Fatal("out of order")
					}
					last = id
					if want[id] != d.In {
						t.Fatalf("%s is in %d, want %d", id.Hash, d.In, want[id])
					}
					if len(topics) > 0 && d.Entry.PubsubTopic != topicB {
						t.Fatal("another topic")
					}
				}
				for id := range want {
					e := a.entries[id]
					if e.Message == nil {
						e = b.entries[id]
					}
					if len(topics) == 0 || e.PubsubTopic == topicB {
						n++
					}
				}
				if len(got) != n || sum.OnlyA+sum.OnlyB != n || sum.Same != 900-len(want) {
					t.Errorf("%d differences, want %d; %+v", len(got), n, sum)
				}
			})
		}
	}
}

// dense is a source that lists few hashes at a time.
type dense struct {
	Local
	most, asked int
}

func (d *dense) Hashes(ctx context.Context, start, end int64, limit int) ([]message.Hash, error) {
	d.asked++
	return d.Local.Hashes(ctx, start, end, min(limit, d.most))
}

// TestCompareNarrows where there is much, down to one timestamp.
func TestCompareNarrows(t *testing.T) {
	t.Parallel()
	list := entries(topicA, 0, 500)
	a, b := archiveOf(t, list...), archiveOf(t, list[3:497]...)
	src := &dense{Local: Local{b}, most: 20}
	got, sum := compared(t, Local{a}, src, lastDay())
	if len(got) != 6 || sum != (Summary{Same: 494, OnlyA: 6}) {
		t.Errorf("%d differences, %+v", len(got), sum)
	}
	t.Logf("%d lists", src.asked)
	src.most = 0
	_, err := Compare(t.Context(), Local{a}, src, lastDay(), func(Difference) error { return nil })
	if !errors.Is(err, ErrDense) {
		t.Error(err)
	}
}

// odd lists a hash of nothing, and an entry at the end of the time asked for.
type odd struct {
	Local
	hash message.Hash
	late store.Entry
}

func (o *odd) Hashes(ctx context.Context, start, end int64, limit int) ([]message.Hash, error) {
	hashes, err := o.Local.Hashes(ctx, start, end, limit)
	if ts := o.late.Message.GetTimestamp(); ts >= start && ts <= end {
		hashes = append(hashes, o.hash, o.late.Hash)
	}
	return hashes, err
}

// TestCompareOddStores: what a store lists and cannot show is a difference
// without a message; what is listed outside of its time is none.
func TestCompareOddStores(t *testing.T) {
	t.Parallel()
	list := entries(topicA, 0, 5)
	src := &odd{Local{archiveOf(t, list...)}, message.Hash{1}, list[4]}
	span := store.Span{Start: list[0].Message.GetTimestamp(), End: list[4].Message.GetTimestamp()}
	got, _ := compared(t, Local{archiveOf(t, list...)}, src, span)
	if len(got) != 1 || got[0].Entry.Hash != src.hash || got[0].Entry.Message != nil || got[0].In != B {
		t.Errorf("%+v", got)
	}
}

// TestCompareEnds with an error of its caller, and refuses a span that is none.
func TestCompareEnds(t *testing.T) {
	t.Parallel()
	a, b, enough := Local{archiveOf(t, entries(topicA, 0, 5)...)}, Local{archiveOf(t)}, errors.New("enough")
	n := 0
	if _, err := Compare(t.Context(), a, b, lastDay(), func(Difference) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := Compare(t.Context(), a, b, store.Span{Start: 2, End: 1}, nil); !errors.Is(err, ErrOutside) {
		t.Error(err)
	}
}

// TestRepair copies both ways, into another node through a session; one that
// only answers queries is left as it is, and said to be so.
func TestRepair(t *testing.T) {
	t.Parallel()
	common := entries(topicA, 0, 50)
	onlyA, onlyB := entries(topicA, 100, offerSize+30), entries(topicA, 2000, 40)
	for name, c := range map[string]struct {
		remote, syncs bool
		into          Side
		toA, toB      int
		err           error
	}{
		"two archives":              {false, false, A | B, 40, offerSize + 30, nil},
		"one archive":               {false, false, A, 40, 0, nil},
		"a node that synchronizes":  {true, true, A | B, 40, offerSize + 30, nil},
		"a node that only answers":  {true, false, A | B, 40, 0, ErrTakesNone},
		"a node that is only asked": {true, false, A, 40, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, y := rpctest.Pair(t)
			a, b := archiveOf(t, slices.Concat(common, onlyA)...), archiveOf(t, slices.Concat(common, onlyB)...)
			var dst Source = Local{b}
			if c.remote {
				queried(t, y, b)
				dst = NewRemote(x, y.ID())
			}
			if c.syncs {
				serve(t, y, b, nil)
			}
			got, err := Repair(t.Context(), Local{a}, dst, lastDay(), c.into)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatal(err)
			}
			if got.ToA != c.toA || got.ToB != c.toB || got.OnlyA != len(onlyA) || got.OnlyB != len(onlyB) || got.Same != len(common) {
				t.Errorf("%+v", got)
			}
			if len(a.all()) != 50+len(onlyA)+c.toA || len(b.all()) != 50+len(onlyB)+c.toB {
				t.Errorf("%d and %d messages", len(a.all()), len(b.all()))
			}
		})
	}
}

// TestRepairScopes: a node gets what it stores of several topics.
func TestRepairScopes(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	a, b := archiveOf(t, slices.Concat(entries(topicA, 0, 30), entries(topicB, 100, 30))...), archiveOf(t)
	queried(t, y, b)
	serve(t, y, b, nil) // stores topicA
	got, err := Repair(t.Context(), Local{a}, NewRemote(x, y.ID()), lastDay(), B)
	if !errors.Is(err, ErrScope) || errors.Is(err, ErrTakesNone) || got.ToB != 30 || len(b.all()) != 30 {
		t.Errorf("%+v, %v, %d there", got, err, len(b.all()))
	}
}
