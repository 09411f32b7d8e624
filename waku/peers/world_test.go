package peers

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// peerID is the i-th peer: a well-formed id of a key that nobody has.
func peerID(i int) peer.ID {
	h := sha256.Sum256(fmt.Appendf(nil, "peer %d", i))
	return peer.ID("\x12\x20" + string(h[:]))
}

func addr(t testing.TB, s string) multiaddr.Multiaddr {
	t.Helper()
	a, err := multiaddr.NewMultiaddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// info is peer i at an address; without one, in a subnet of its own.
func info(t testing.TB, i int, addrs ...string) peer.AddrInfo {
	t.Helper()
	if len(addrs) == 0 {
		addrs = []string{fmt.Sprintf("/ip4/%d.%d.%d.1/tcp/60000", 20+i/65536, i/256%256, i%256)}
	}
	out := peer.AddrInfo{ID: peerID(i)}
	for _, a := range addrs {
		out.Addrs = append(out.Addrs, addr(t, a))
	}
	return out
}

func cluster(c uint16) *uint16 { return &c }

// relayFacts are those of a relay on shards of cluster 16, found by discv5.
func relayFacts(shards ...uint16) Facts {
	return Facts{Cluster: cluster(16), Shards: shards, Capabilities: Relay, Source: Discv5}
}

// relayWant is what a relay on shards of cluster 16 wants.
func relayWant(target int, shards ...uint16) Want {
	return Want{Cluster: 16, Shards: shards, RelayPeers: target}
}

// world is a network of peers that a book's plans meet.
type world struct {
	t     testing.TB
	book  *Book
	want  Want
	now   time.Time
	r     *rand.Rand
	conns []Conn
	// up says whether a dialled peer answers, and what it then is.
	up func(peer.ID) (Conn, bool)
	// dialled are the times of all attempts.
	dialled map[peer.ID][]time.Time
	last    Actions
	dials   int // at once
}

func newWorld(t testing.TB, want Want) *world {
	return &world{
		t: t, book: NewBook(peerID(-1)), want: want, now: epoch, r: newRand(7), dials: 8,
		up:      func(peer.ID) (Conn, bool) { return Conn{}, false },
		dialled: make(map[peer.ID][]time.Time),
	}
}

// relays makes all of the listed peers answer as relays on shards.
func (w *world) relays(shards []uint16, up func(peer.ID) bool) {
	w.up = func(id peer.ID) (Conn, bool) {
		return Conn{Capabilities: Relay, Shards: shards}, up(id)
	}
}

// step plans once and does it, then lets time pass.
func (w *world) step(d time.Duration) Actions {
	w.t.Helper()
	w.last = w.book.Plan(w.now, State{Conns: slices.Clone(w.conns), Dials: w.dials}, w.want, w.r)
	if len(w.last.Dial) > w.dials {
		w.t.Fatalf("%d dials at once, at most %d", len(w.last.Dial), w.dials)
	}
	for _, p := range w.last.Drop {
		w.book.Parted(p, w.now)
		w.disconnect(p.ID)
	}
	for _, info := range w.last.Dial {
		w.dialled[info.ID] = append(w.dialled[info.ID], w.now)
		if len(info.Addrs) == 0 {
			w.t.Fatal("dialled without an address")
		}
		c, ok := w.up(info.ID)
		if !ok {
			w.book.Failed(info.ID, Failure{Refused: true}, w.now, w.r)
			continue
		}
		w.book.Connected(info.ID, false, info.Addrs[0], w.now)
		w.book.Reached(info.ID)
		c.ID, c.Since, c.Judged, c.IP = info.ID, w.now, true, addrIP(info.Addrs[0])
		w.conns = append(w.conns, c)
		w.book.Spoken(c.ID, c.Capabilities, c.Shards, w.now)
	}
	w.now = w.now.Add(d)
	return w.last
}

func (w *world) disconnect(id peer.ID) {
	w.conns = slices.DeleteFunc(w.conns, func(c Conn) bool { return c.ID == id })
	w.book.Disconnected(id, w.now, w.r)
}

// cut closes all connections.
func (w *world) cut() {
	for len(w.conns) > 0 {
		w.disconnect(w.conns[0].ID)
	}
}

func (w *world) run(d, every time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		w.step(every)
	}
}
