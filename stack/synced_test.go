package stack

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/waku/payload"
)

// A week in which the recipient is there a tenth of the time, in short visits or
// long ones, with a store that has what was sent: a message takes three copies at
// most, all arrive, and the sender knows.
func TestCopiesInAWeek(t *testing.T) {
	for name, cycle := range map[string]time.Duration{
		"six minutes an hour":  time.Hour,
		"two hours a day":      24 * time.Hour,
		"of irregular lengths": 0,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(330)
				rng := rand.New(rand.NewPCG(330, 1))
				alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
				befriend(t, alice, bobby)
				settle(t, alice, bobby)
				n.mu.Lock()
				n.loss, n.delay = 0.02, 300*time.Millisecond
				n.mu.Unlock()
				begin, sent, there := time.Now(), 0, time.Duration(0)
				before := alice.Synced()
				next := begin.Add(time.Hour)
				for time.Since(begin) < 7*24*time.Hour {
					period := cycle
					if period == 0 {
						period = time.Duration(float64(20*time.Minute) * (1 + 100*rng.Float64()*rng.Float64()))
					}
					// Both parts of the period, with messages wherever they fall.
					for _, online := range []bool{false, true} {
						d := period * 9 / 10
						if online {
							d = period / 10
							bobby.start()
							there += d
						} else {
							bobby.halt()
						}
						for end := time.Now().Add(d); time.Now().Before(end); {
							if next.After(end) {
								pass(time.Until(end))
								continue
							}
							pass(time.Until(next))
							alice.send(bobby, fmt.Sprint("message ", sent))
							sent++
							next = next.Add(time.Duration(rng.ExpFloat64() * float64(50*time.Minute)))
						}
					}
				}
				eventually(t, time.Hour, "all arrives", func() bool { return delivered(alice) })
				used := alice.Synced()
				copies := used.Sent.Messages.Count - before.Sent.Messages.Count
				bytes := used.Sent.Payloads.Bytes - before.Sent.Payloads.Bytes
				back := used.Received.Acks.Count - before.Received.Acks.Count
				t.Logf("%d messages in %v, Bobby there for %v: %.2f copies and %d bytes of payload each, %.2f acknowledgements back",
					sent, time.Since(begin).Round(time.Hour), there.Round(time.Hour), float64(copies)/float64(sent), bytes/uint64(sent), float64(back)/float64(sent))
				if sent < 100 || float64(copies) > 3*float64(sent) {
					t.Errorf("%d copies of %d messages", copies, sent)
				}
				if got := len(bobby.heard(alice)); got != sent {
					t.Errorf("%d arrived, of %d", got, sent)
				}
			})
		})
	}
}

// layers are the bytes of an envelope by layer.
type layers struct {
	envelope, sealed, protocol, bundle, ratchet, mvds, app int
}

func (l *layers) add(o layers) {
	l.envelope += o.envelope
	l.sealed += o.sealed
	l.protocol += o.protocol
	l.bundle += o.bundle
	l.ratchet += o.ratchet
	l.mvds += o.mvds
	l.app += o.app
}

// peel measures an envelope on the topic of two. app and mvds are what went in.
func peel(t *testing.T, e Envelope, topicKey [32]byte) layers {
	t.Helper()
	opened, err := payload.OpenSymmetric(e.Message.GetPayload(), topicKey)
	if err != nil {
		t.Fatal(err)
	}
	var m encryptionpb.ProtocolMessage
	if err := proto.Unmarshal(opened.Payload, &m); err != nil {
		t.Fatal(err)
	}
	l := layers{envelope: proto.Size(e.Message), sealed: len(e.Message.GetPayload()), protocol: len(opened.Payload)}
	for _, b := range m.Bundles {
		l.bundle += proto.Size(b)
	}
	for _, entry := range m.EncryptedMessage {
		l.ratchet += proto.Size(entry)
		l.mvds += len(entry.Payload) - 48 // iv and MAC
	}
	return l
}

// A short text of one light client to another, in the middle of a conversation,
// with its acknowledgement: the bytes of all envelopes, both ways, and where they
// are.
func TestBytesOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(331)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		converse(alice, bobby, "before", 3)
		settle(t, alice, bobby)
		secret, err := alice.key.ECDH(bobby.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%x", secret)
		const rounds = 20
		begin := time.Now()
		var app int
		before := alice.Synced()
		for i := range rounds {
			alice.send(bobby, fmt.Sprintf("See you at the station at seven? %2d", i))
			pass(20 * time.Second)
		}
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })
		used := alice.Synced()
		app = int(used.Sent.Messages.Bytes - before.Sent.Messages.Bytes)
		var out, back layers
		count := map[*link]int{}
		for _, p := range n.publications(nil) {
			if p.at.Before(begin) {
				continue
			}
			count[p.by]++
			l := peel(t, p.Envelope, alice.topicKey(name))
			if p.by == alice.link {
				out.add(l)
			} else {
				back.add(l)
			}
		}
		if count[alice.link] != rounds || count[bobby.link] != rounds {
			t.Errorf("%v envelopes for %d messages", count, rounds)
		}
		var table strings.Builder
		fmt.Fprintf(&table, "%-46s %8s %16s\n", "bytes of", "message", "acknowledgement")
		for _, row := range []struct {
			what      string
			out, back int
		}{
			{"signed application message, in MVDS", app, 0},
			{"MVDS payload", out.mvds, back.mvds},
			{"+ ratchet: header, iv, MAC, device id", out.ratchet - out.mvds, back.ratchet - back.mvds},
			{"+ bundle", out.bundle, back.bundle},
			{"+ ProtocolMessage", out.protocol - out.bundle - out.ratchet, back.protocol - back.bundle - back.ratchet},
			{"+ Waku payload: signature, padding, GCM", out.sealed - out.protocol, back.sealed - back.protocol},
			{"+ WakuMessage", out.envelope - out.sealed, back.envelope - back.sealed},
			{"= on the wire", out.envelope, back.envelope},
		} {
			fmt.Fprintf(&table, "%-46s %8d %16d\n", row.what, row.out/rounds, row.back/rounds)
		}
		// A light client's own link has each envelope once more: it publishes by
		// lightpush, and is pushed what others publish by filter.
		both := (out.envelope + back.envelope) / rounds
		t.Logf("\n%sboth: %d", &table, both)
		if both > 6000 {
			t.Errorf("%d bytes", both)
		}
		if u := used.Received.Acks.Count - before.Received.Acks.Count; u != rounds {
			t.Errorf("%d acknowledgements", u)
		}
	})
}

// What was synchronised is counted by peer, and the peers are bounded.
func TestSyncedByPeer(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	for i := range byte(3) {
		f := newForger(t, i+1, clock.at)
		for range i + 1 {
			hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), f.chat(s.Self(), "hello", f.now)))))
			clock.advance(time.Second)
			f.now = clock.at
		}
		drain(t, s)
	}
	got := s.Synced()
	if len(got.Peers) != 3 || got.Received.Messages.Count != 6 || got.Sent.Acks.Count != 6 {
		t.Fatalf("%+v", got)
	}
	for i, p := range got.Peers {
		if p.With != identity(t, byte(3-i)).Public() || p.Received.Messages.Count != uint64(3-i) || p.Sent.Acks.Count != uint64(3-i) {
			t.Errorf("%d: %+v", i, p)
		}
	}
	for i := range syncedMost + 10 {
		var k key.Public
		if i > 0 {
			private, err := key.PrivateFromBytes(append(make([]byte, 30), byte(i>>8)+1, byte(i)+1))
			if err != nil {
				t.Fatal(err)
			}
			k = private.Public()
		}
		s.synced.add(k, mvds.Usage{Payloads: mvds.Count{Count: 1, Bytes: 1}}, mvds.Usage{})
	}
	if n := len(s.synced.peers); n != syncedMost {
		t.Errorf("%d peers are counted", n)
	}
	if got := s.Synced(); len(got.Peers) != syncedShown {
		t.Errorf("%d peers are listed", len(got.Peers))
	}
}
