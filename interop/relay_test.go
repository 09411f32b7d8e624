package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/waku-org/go-waku/waku/v2/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol/relay"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

const (
	// frame is the largest GossipSub frame of go-waku, and of ours in networks
	// that say nothing of it.
	frame = gowaku.MaxFrame
	// around is more than a frame has around the payload of a message.
	around = 250
	// inFlight is fewer than the messages of which go-waku checks any number
	// at a time; it drops what exceeds them.
	inFlight = 16
)

// relayPair is a node of ours and one of go-waku with each other in the mesh of
// the shard; go-waku dials ours or the other way round.
func relayPair(t *testing.T, wakuDials bool, maxFrame int, args ...string) (*gowaku.Node, *parley) {
	t.Helper()
	n := startWaku(t, []uint16{shard}, gowaku.Relay(maxFrame))
	var p *parley
	if wakuDials {
		p = startParley(t, args...)
		dial(t, n, p)
	} else {
		p = startParley(t, append(args, "--peer", n.TCP())...)
	}
	meshed(t, n, p)
	return n, p
}

// meshed waits until both relay to each other.
func meshed(t *testing.T, n *gowaku.Node, p *parley) {
	t.Helper()
	wait(t, "go-waku among Parley's mesh", func() bool { return p.isConnected(n.ID()) && p.meshed(shard) == 1 })
	wait(t, "Parley among go-waku's relay peers", func() bool { return len(n.Relay().PubSub().ListPeers(topic)) > 0 })
}

// subscribe receives what a go-waku node relays on a content topic.
func subscribe(t *testing.T, n *gowaku.Node, contentTopic string) *wakuInbox {
	t.Helper()
	subs, err := n.Relay().Subscribe(t.Context(), protocol.NewContentFilter(topic, contentTopic))
	if err != nil {
		t.Fatal(err)
	}
	return collect(t, subs[0].Ch)
}

// noise is a payload that cannot be compressed, with its number in front.
func noise(n, size int) []byte {
	b := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, n, size)))
	_, _ = random.Read(b)
	binary.BigEndian.PutUint32(b, uint32(n))
	return b
}

// Messages of go-waku's relay come to ours, all fields as they were and with
// the same hash, and back, whoever has dialled.
func TestRelay(t *testing.T) {
	t.Parallel()
	for name, wakuDials := range map[string]bool{"go-waku dials": true, "Parley dials": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, p := relayPair(t, wakuDials, frame)
			for _, c := range []struct {
				name        string
				count, size int
			}{
				{"one", 1, 1000}, {"hundred", 100, 1000}, {"large", 5, 100_000}, {"largest", 3, frame - around},
			} {
				toParley(t, n, p, content(t, c.name+"-in"), c.count, c.size)
				toWaku(t, n, p, content(t, c.name+"-out"), c.count, c.size)
			}
			if !connected(n, p.id()) {
				t.Error("go-waku has disconnected")
			}
		})
	}
}

// toParley publishes messages at go-waku and checks what arrives at ours.
func toParley(t *testing.T, n *gowaku.Node, p *parley, contentTopic string, count, size int) {
	t.Helper()
	box := p.events("relay", topic, contentTopic)
	want := make(map[string][]byte) // by hash
	for i := range count {
		m := wakuMessage(contentTopic, noise(i, size))
		hash, err := n.Relay().Publish(within(t), m, relay.WithPubSubTopic(topic))
		if err != nil {
			t.Fatal("go-waku publishes:", err)
		}
		want[hash.String()] = m.Payload
		wait(t, "room on the way to Parley", func() bool { return len(box.all()) > i-inFlight })
	}
	for _, m := range box.expect(p, count) {
		if payload, ok := want[m.hash]; !ok || !bytes.Equal(payload, m.Payload) {
			t.Errorf("hash %s with %d bytes is not what go-waku has sent", m.hash, len(m.Payload))
		}
		if m.ContentTopic != contentTopic || m.Version != 1 || !bytes.Equal(m.Meta, []byte{1, 2, 3}) {
			t.Errorf("a message has changed on its way: %q, version %d, meta %x", m.ContentTopic, m.Version, m.Meta)
		}
		delete(want, m.hash)
	}
}

// toWaku publishes messages at ours and checks what arrives at go-waku. The
// stream of events has them as well, with the hash that we give them.
func toWaku(t *testing.T, n *gowaku.Node, p *parley, contentTopic string, count, size int) {
	t.Helper()
	box, own := subscribe(t, n, contentTopic), p.events("relay", topic, contentTopic)
	for i := range count {
		p.publish(topic, restMessage{
			Payload: noise(i, size), ContentTopic: contentTopic, Version: 1,
			Timestamp: time.Now().UnixNano(), Meta: []byte{4, 5},
		})
		wait(t, "room on the way to go-waku", func() bool { return len(box.all()) > i-inFlight })
	}
	sent := make(map[string]received)
	for _, m := range own.expect(p, count) {
		sent[m.hash] = m
	}
	for _, e := range box.expect(t, count) {
		m, ok := sent[e.Hash().String()]
		if !ok {
			t.Errorf("go-waku calls a message %s, Parley does not", e.Hash())
			continue
		}
		if got := e.Message(); !bytes.Equal(got.Payload, m.Payload) || got.GetTimestamp() != m.Timestamp ||
			got.GetVersion() != 1 || !bytes.Equal(got.Meta, m.Meta) || e.PubsubTopic() != topic {
			t.Errorf("message %s has changed on its way", m.hash)
		}
		delete(sent, m.hash)
	}
}

// What is too large for go-waku is refused by ours, rather than sent and
// answered with a closed stream: the largest that passes is followed by one
// that does not, and what comes behind arrives.
func TestRelayTooLarge(t *testing.T) {
	t.Parallel()
	n, p := relayPair(t, true, frame)
	contentTopic := content(t, "large")
	box := subscribe(t, n, contentTopic)
	// Just below and above the limit is a matter of few bytes: the largest
	// payload that ours takes must pass.
	low, high := frame-around, frame
	for low+1 < high {
		size := (low + high) / 2
		status, text := p.call(http.MethodPost, "/relay/v1/messages/"+url.PathEscape(topic),
			restMessage{Payload: noise(size, size), ContentTopic: contentTopic, Timestamp: time.Now().UnixNano()}, nil)
		switch status {
		case http.StatusOK:
			low = size
		case http.StatusBadRequest:
			high = size
		default:
			t.Fatalf("a payload of %d bytes: %d %s", size, status, text)
		}
	}
	if high == frame {
		t.Fatalf("a payload of %d bytes is taken", low)
	}
	wait(t, "the largest payload that Parley takes", func() bool {
		for _, e := range box.all() {
			if len(e.Message().Payload) == low {
				return true
			}
		}
		return false
	})
	t.Logf("the largest payload has %d bytes", low)
	toWaku(t, n, p, content(t, "behind"), 1, 1000)
	toParley(t, n, p, content(t, "behind-in"), 1, 1000)
}

// In the Status networks frames may have 1 MiB. A go-waku node that is set up
// like the deployed ones takes them from ours, and ours from it.
func TestRelayStatusFrames(t *testing.T) {
	t.Parallel()
	n, p := relayPair(t, true, 1<<20, "--network", "status.prod", "--bootstrap", "none")
	const size = 900_000
	toParley(t, n, p, content(t, "in"), 2, size)
	toWaku(t, n, p, content(t, "out"), 2, size)
	if overhead := proto.Size(wakuMessage(content(t, "in"), nil)); overhead > around {
		t.Errorf("a message has %d bytes around its payload", overhead)
	}
}
