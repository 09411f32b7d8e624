package mvds

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Between two sends of a record there are at most MaxGap, the jitter and one
// epoch, over years and at any count, and at least the first gap; the gaps
// double at first.
func TestGapBound(t *testing.T) {
	t.Parallel()
	k := people(2)
	for i, s := range []*Sync{
		New(k[0]),
		(&Sync{Self: k[0], MaxGap: time.Hour}).Defaults(),
		(&Sync{Self: k[0], FirstGap: time.Hour, MaxGap: time.Minute}).Defaults(),
		(&Sync{Self: k[0], Epoch: time.Second, FirstGap: time.Second, MaxGap: 24 * time.Hour}).Defaults(),
		(&Sync{Self: k[0], Epoch: time.Minute, FirstGap: time.Second, MaxGap: time.Second}).Defaults(),
	} {
		for _, count := range []uint32{0, 1, 14, 15, 1 << 20, math.MaxUint32 - 100, math.MaxUint32} {
			p := newParty(t, k[0])
			p.sync = s
			id := p.append(to(k[0], k[1], "lonely"), k[1])
			tab := table{p.st}
			r := must(tab.record(id, compressed(k[1])))
			// Young for ever, so that it is not given up.
			if err := tab.change(r, func() { r.count, r.step, r.created = count, count, math.MaxInt64/2 }); err != nil {
				t.Fatal(err)
			}
			most := max(s.MaxGap, s.Epoch) + s.FirstGap/3 + s.Epoch
			last := time.Time{}
			rounds := 200
			if i == 0 {
				rounds = 3000 // more than a year
			}
			for range rounds {
				p.now = must2(s.Next(p.st, p.now))
				if len(must(s.Due(p.st, p.now, p.rand, 0))) != 1 {
					t.Fatal("nothing was due")
				}
				if gap := p.now.Sub(last); !last.IsZero() && (gap > most || gap < min(s.FirstGap, s.MaxGap)-s.Epoch) {
					t.Fatalf("gap of %s after count %d, at most %s", gap, count, most)
				}
				last = p.now
			}
			p.check()
		}
	}
}

func must2(at time.Time, ok bool, err error) time.Time {
	if !ok || err != nil {
		panic(fmt.Sprint("nothing outstanding ", err))
	}
	return at
}

func TestGapShape(t *testing.T) {
	t.Parallel()
	s := New(people(1)[0])
	for step, want := range map[uint32]int64{
		0: 90, 1: 90, 2: 180, 3: 360, 10: 46_080, // doubling
		11: 72_000,                         // MaxGap
		12: 11_520, 13: 23_040, 14: 46_080, // fallen back
		15: 72_000, 16: 11_520,
	} {
		if got := s.gap(step); got != want {
			t.Errorf("gap after send %d is %d epochs, want %d", step, got, want)
		}
	}
	huge := (&Sync{Epoch: 1, FirstGap: 1, MaxGap: math.MaxInt64}).Defaults()
	for _, step := range []uint32{1, 62, 63, 64, 65, 1000, math.MaxUint32} {
		if got := huge.gap(step); got < 1 {
			t.Errorf("gap after send %d is %d", step, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	m := to(k[0], k[1], strings.Repeat("x", longBody))
	id := p.append(m, k[1])
	begin, sends := p.now, 0
	for {
		if next, ok := p.next(); !ok {
			break
		} else {
			p.now = next
		}
		sends += len(p.due())
	}
	age := p.now.Sub(begin)
	if age < Expiry || age > Expiry+DefaultMaxGap+DefaultFirstGap {
		t.Errorf("given up after %s", age)
	}
	if sends < 150 || sends > 300 {
		t.Errorf("%d sends, documented as about 240", sends)
	}
	got := must(p.sync.TakeExpired(p.st))
	want := []Expired{{k[1], id, sends, time.Unix(0, begin.UnixNano()), m}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("expired %+v, want %+v", got, want)
	}
	if again := must(p.sync.TakeExpired(p.st)); len(again) != 0 {
		t.Error("reported twice")
	}
	if countKeys(p.st, keyRecord)+countKeys(p.st, keyBody)+countKeys(p.st, keyQueue) != 0 {
		t.Error("something is left")
	}
}

// Age alone is no reason: a client that ran rarely has not tried enough.
func TestExpiryNeedsSends(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	p.append(to(k[0], k[1], "rarely"), k[1])
	for i := range MinSends {
		if len(p.due()) != 1 {
			t.Fatalf("not sent in round %d", i)
		}
		p.now = p.now.Add(10 * 24 * time.Hour)
	}
	if len(p.due()) != 0 || len(must(p.sync.TakeExpired(p.st))) != 1 {
		t.Error("not given up")
	}
}

func TestRequestsAreGivenUp(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	var offers []MessageID
	for i := range MaxRequests + 2 {
		offers = append(offers, Message{Timestamp: int64(i)}.ID())
	}
	if got := p.receive(k[1], &Payload{Offers: append(offers, offers[0])}); got.Refused != 2 {
		t.Fatalf("refused %d", got.Refused)
	}
	sends := 0
	for {
		next, ok := p.next()
		if !ok {
			break
		}
		p.now = next
		for _, o := range p.due() {
			sends += len(o.Payload.Requests)
		}
	}
	if sends != MinSends*MaxRequests || len(must(p.sync.TakeExpired(p.st))) != 0 {
		t.Errorf("%d sends, want %d and no report", sends, MinSends*MaxRequests)
	}
	if got := p.receive(k[1], &Payload{Offers: offers[MaxRequests:]}); got.Refused != 0 {
		t.Error("there is no room again")
	}
}
