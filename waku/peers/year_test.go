package peers

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestYear of protocol time with dead peers that discovery goes on to tell
// of: they are tried ever more rarely.
func TestYear(t *testing.T) {
	t.Parallel()
	const dead = 20
	w := newWorld(t, relayWant(3, 32))
	w.relays([]uint16{32}, func(id peer.ID) bool { return id == peerID(0) })
	for day := range 365 {
		for i := range dead + 1 {
			w.book.Found(info(t, i), relayFacts(32), w.now)
		}
		if day == 1 { // the last sign of life of peer 1, which then is proven
			w.book.entries[peerID(1)].dialling = w.now
			w.book.Connected(peerID(1), false, nil, w.now)
			w.conns = append(w.conns, Conn{ID: peerID(1), Since: w.now, Judged: true, Capabilities: Relay, Shards: []uint16{32}})
			w.run(time.Hour, 10*time.Minute)
			w.disconnect(peerID(1))
		}
		w.run(24*time.Hour, 15*time.Minute)
	}
	if len(w.conns) != 1 || len(w.dialled[peerID(0)]) != 1 {
		t.Errorf("the living peer was dialled %d times", len(w.dialled[peerID(0)]))
	}
	for i := 1; i <= dead; i++ {
		times := w.dialled[peerID(i)]
		first := 0
		for first < len(times) && times[first].Before(epoch.AddDate(0, 0, 2)) {
			first++
		}
		// While it is proven, once an hour; else fewer than nine times a day,
		// and it takes some days to be forgotten and told of anew.
		most := 365 * 9
		if i == 1 {
			most += 14 * 24
		}
		if len(times) > most || len(times) < 300 {
			t.Errorf("peer %d was dialled %d times", i, len(times))
		}
		for k := 1; k < len(times); k++ {
			if gap := times[k].Sub(times[k-1]); gap < MinBackoff {
				t.Fatalf("peer %d dialled %s after another time", i, gap)
			}
		}
	}
}

// TestEverMoreRarely: without news of it, the waits of a dead peer only grow
// up to their bound, and then it is forgotten.
func TestEverMoreRarely(t *testing.T) {
	t.Parallel()
	w := newWorld(t, relayWant(3, 32))
	w.relays([]uint16{32}, func(id peer.ID) bool { return id == peerID(0) })
	w.book.Found(info(t, 0), relayFacts(32), epoch)
	w.book.Found(info(t, 1), relayFacts(32), epoch)
	w.run(60*24*time.Hour, time.Minute)
	times := w.dialled[peerID(1)]
	if len(times) < 8 || len(times) > 20 {
		t.Errorf("dialled %d times", len(times))
	}
	for k := 2; k < len(times); k++ {
		before, gap := times[k-1].Sub(times[k-2]), times[k].Sub(times[k-1])
		if gap < before && gap < MaxBackoffUnproven {
			t.Errorf("%s after %s", gap, before)
		}
	}
	if _, ok := w.book.Peer(peerID(1)); ok {
		t.Error("not forgotten")
	}
	if _, ok := w.book.Peer(peerID(0)); !ok {
		t.Error("the living peer is forgotten")
	}
}

// TestForgotten at the limit and not before.
func TestForgotten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(b *Book)
		after   time.Duration
	}{
		"untried": {func(*Book) {}, ForgetAfter},
		"failing": {func(b *Book) { b.Failed(peerID(1), Failure{Refused: true}, epoch, newRand(1)) }, ForgetUnprovenAfter},
		"proven": {func(b *Book) {
			b.Found(info(t, 1), Facts{}, epoch.Add(-100*time.Hour))
			b.entries[peerID(1)].credit(epoch)
			b.Failed(peerID(1), Failure{Refused: true}, epoch, newRand(1))
		}, ForgetAfter},
	} {
		b := NewBook(peerID(-1))
		b.Found(info(t, 1), Facts{}, epoch)
		c.prepare(b)
		b.Plan(epoch.Add(c.after), State{}, Want{}, newRand(1))
		if b.Len() != 1 {
			t.Errorf("%s: forgotten early", name)
		}
		b.Plan(epoch.Add(c.after+1), State{}, Want{}, newRand(1))
		if b.Len() != 0 {
			t.Errorf("%s: not forgotten", name)
		}
	}
}

// TestPartition: a node cut off for days is back in minutes, and does not
// flood the network of which nothing answers meanwhile.
func TestPartition(t *testing.T) {
	t.Parallel()
	const known = 100
	for _, cutFor := range []time.Duration{10 * time.Minute, 6 * time.Hour, 24 * time.Hour} {
		w := newWorld(t, relayWant(6, 32))
		online := true
		w.relays([]uint16{32}, func(peer.ID) bool { return online })
		for i := range known {
			w.book.Found(info(t, i), relayFacts(32), epoch)
		}
		w.run(time.Hour, 15*time.Second)
		if len(w.conns) != 6 {
			t.Fatalf("%d connected", len(w.conns))
		}
		before := len(slices.Concat(mapValues(w.dialled)...))

		online = false
		w.cut()
		w.run(cutFor, 15*time.Second)
		tried := len(slices.Concat(mapValues(w.dialled)...)) - before
		// All of them as they back off, and some in spite of it.
		if most := known*12 + int(cutFor/AloneEvery)*AloneDials + 14*known*int(cutFor/(24*time.Hour)); tried > most {
			t.Errorf("cut for %s: %d dials, at most %d", cutFor, tried, most)
		}

		online = true
		healed := w.now
		for len(w.conns) == 0 {
			w.step(15 * time.Second)
			if w.now.Sub(healed) > AloneBackoff+time.Minute {
				t.Fatalf("cut for %s: alone still", cutFor)
			}
		}
		w.run(2*time.Minute, 15*time.Second)
		if len(w.conns) != 6 {
			t.Errorf("cut for %s: %d connected", cutFor, len(w.conns))
		}
		for _, k := range w.book.Peers() {
			if k.Failures > 1 {
				t.Errorf("cut for %s: %d failures count against a peer", cutFor, k.Failures)
				break
			}
		}
	}
}

func mapValues(m map[peer.ID][]time.Time) (out [][]time.Time) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// TestReplacement: a peer that dies is replaced at the next plan, and one
// that comes back is dialled again when it is due.
func TestReplacement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, relayWant(2, 32))
	dead := map[peer.ID]bool{}
	w.relays([]uint16{32}, func(id peer.ID) bool { return !dead[id] })
	for i := range 3 {
		w.book.Found(info(t, i), relayFacts(32), epoch)
	}
	w.run(time.Hour, 15*time.Second)
	lost := w.conns[0].ID
	dead[lost] = true
	w.disconnect(lost)
	w.step(15 * time.Second)
	if len(w.conns) != 2 {
		t.Errorf("%d connected", len(w.conns))
	}
	w.want.RelayPeers = 3
	w.run(3*time.Hour, 15*time.Second)
	if n := len(w.dialled[lost]); n < 5 || n > 10 {
		t.Errorf("the dead peer was dialled %d times in three hours", n)
	}
	dead[lost] = false
	w.run(MaxBackoff+MaxBackoff/4, 15*time.Second)
	if len(w.conns) != 3 {
		t.Errorf("%d connected when all are back", len(w.conns))
	}
}
