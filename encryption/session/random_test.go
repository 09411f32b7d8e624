package session

import (
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"testing"
	"time"
)

// Two people with two devices each write to each other in any order, both
// starting at once; messages are lost for a while, come late, out of order and
// twice, over days with new signed pre keys. Whatever was encrypted for a
// device opens there exactly once.
func TestRandomConversations(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		r := mathrand.New(mathrand.NewPCG(seed, 2))
		var devices []*device
		for range 2 {
			identity := fresh(t)
			for range 2 {
				devices = append(devices, newDevice(t, identity, fmt.Sprintf("device %d", len(devices))))
			}
		}
		for _, d := range devices {
			for _, other := range devices {
				if d != other && r.IntN(4) > 0 {
					d.learn(t, other)
					if d.self() == other.self() {
						d.SetEnabled(d.st, d.self(), other.InstallationID, true)
					}
				}
			}
		}
		type sent struct {
			from      *device
			data      []byte
			plaintext string
			targets   map[string]bool // installations, not opened yet
			dh        bool
		}
		var wire []*sent
		deliver := func(s *sent, to *device) {
			if to == s.from || s.dh {
				return
			}
			before := to.content()
			o, err := to.open(s.from, s.data)
			if s.targets[to.InstallationID] {
				if err != nil || string(o.Payload) != s.plaintext {
					t.Fatalf("seed %d: %s: %v", seed, s.plaintext, err)
				}
				delete(s.targets, to.InstallationID)
				return
			}
			if err == nil {
				t.Fatalf("seed %d: %s opened twice", seed, s.plaintext)
			}
			if !maps.Equal(before, to.content()) {
				t.Fatalf("seed %d: %v changed the store", seed, err)
			}
		}
		now := start
		for n := range 120 {
			now = now.Add(time.Duration(r.IntN(3600)) * time.Second)
			from, to := devices[r.IntN(4)], devices[r.IntN(4)]
			from.now = now
			s := from.seal(t, to, fmt.Sprintf("message %d", n))
			m := &sent{from, s.Bytes, fmt.Sprintf("message %d", n), map[string]bool{}, len(s.Installations) == 0}
			for _, id := range s.Installations {
				m.targets[id] = true
			}
			wire = append(wire, m)
			for range r.IntN(4) {
				deliver(wire[len(wire)-1-r.IntN(min(len(wire), 30))], devices[r.IntN(4)])
			}
		}
		r.Shuffle(len(wire), func(i, j int) { wire[i], wire[j] = wire[j], wire[i] })
		for _, s := range wire {
			for _, d := range devices {
				deliver(s, d)
			}
			if len(s.targets) != 0 {
				t.Fatalf("seed %d: %s did not arrive at %v", seed, s.plaintext, s.targets)
			}
		}
	}
}

// Both begin at the same time: each goes on in the session that it began, and
// both open both.
func TestConcurrentStart(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	fromAlice, fromBob := alice.seal(t, bob, "a").Bytes, bob.seal(t, alice, "b").Bytes
	alice.mustOpen(t, bob, fromBob, "b")
	bob.mustOpen(t, alice, fromAlice, "a")
	for range 3 {
		bob.mustOpen(t, alice, alice.seal(t, bob, "a").Bytes, "a")
		alice.mustOpen(t, bob, bob.seal(t, alice, "b").Bytes, "b")
	}
	if alice.count(sessionPrefix) != 2 || bob.count(sessionPrefix) != 2 {
		t.Error("not two sessions")
	}
	if own := entryOf(decode(t, alice.seal(t, bob, "a").Bytes)).DrHeader.Id; string(own) == string(entryOf(decode(t, fromBob)).DrHeader.Id) {
		t.Error("went over to the other session")
	}
}
