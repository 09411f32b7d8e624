package sim

import (
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/waku/message"
)

// hostile is somebody on a participant's line who publishes what no client
// would. It sees all that is published, and has no keys.
type hostile struct {
	*lab
	node *node
	rng  *rand.Rand
	over bool
	// rate is messages a second.
	rate float64
}

// attack begins a hostile peer on each line.
func (l *lab) attack(f Fault, nodes []*node) (end func()) {
	var all []*hostile
	for _, n := range nodes {
		l.hostiles++
		h := &hostile{lab: l, node: n, rng: stream(l.seed, "hostile", n.name, l.hostiles), rate: f.Rate}
		all = append(all, h)
		h.next()
	}
	return func() {
		for _, h := range all {
			h.over = true
		}
	}
}

func (h *hostile) next() {
	h.after(time.Duration(h.rng.ExpFloat64()/h.rate*float64(time.Second)), func() {
		if h.over {
			return
		}
		if seen := h.wire.all(); len(seen) > 0 {
			h.strike(seen[h.rng.IntN(len(seen))].Envelope)
		}
		h.next()
	})
}

// strike publishes something that has to do with an envelope seen.
func (h *hostile) strike(e stack.Envelope) {
	m := proto.Clone(e.Message).(*wakupb.WakuMessage)
	switch h.rng.IntN(5) {
	case 0: // the same again
	case 1: // the same at another time, which is another envelope
		now := time.Now().UnixNano()
		m.Timestamp = &now
	case 2: // a bit turned
		m.Payload[h.rng.IntN(len(m.Payload))] ^= 1 << h.rng.IntN(8)
	case 3: // cut short
		m.Payload = m.Payload[:h.rng.IntN(len(m.Payload))]
	case 4: // rubbish on the same topic
		m.Payload = make([]byte, 1+h.rng.IntN(2000))
		for i := range m.Payload {
			m.Payload[i] = byte(h.rng.Uint32())
		}
	}
	if len(m.Payload) == 0 {
		return
	}
	bad := stack.Envelope{PubsubTopic: e.PubsubTopic, Message: m, Hash: message.HashOf(e.PubsubTopic, m)}
	h.wire.hostile = h.wire.hostile.plus(proto.Size(m))
	h.relay(h.node, bad)
}
