package relay

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
)

// Reason is why a message was rejected.
type Reason string

// The reasons. Policy is a message with what the StrictNoSign policy forbids:
// signature, author or number. QueueFull is no fault of the message: too many
// waited to be validated.
const (
	Invalid      Reason = "invalid"
	TooLarge     Reason = "too_large"
	BadTimestamp Reason = "timestamp"
	BadSignature Reason = "signature"
	Policy       Reason = "policy"
	QueueFull    Reason = "queue_full"
	Other        Reason = "other"
)

var reasons = [...]Reason{Invalid, TooLarge, BadTimestamp, BadSignature, Policy, QueueFull, Other}

// reasonOf names the cause of a rejection: that of the validator, which is in
// the message, or else the library's.
func reasonOf(m *pubsub.Message, reason string) Reason {
	err, _ := m.ValidatorData.(error)
	switch {
	case errors.Is(err, ErrTooLarge):
		return TooLarge
	case errors.Is(err, ErrTimestamp):
		return BadTimestamp
	case errors.Is(err, ErrSignature):
		return BadSignature
	case errors.Is(err, ErrInvalid):
		return Invalid
	}
	switch reason {
	case pubsub.RejectValidationQueueFull, pubsub.RejectValidationThrottled:
		return QueueFull
	case pubsub.RejectUnexpectedSignature, pubsub.RejectUnexpectedAuthInfo,
		pubsub.RejectInvalidSignature, pubsub.RejectSelfOrigin:
		return Policy
	}
	return Other
}

// TopicStats is what went over a pubsub topic since it was joined first.
type TopicStats struct {
	// Peers relay the topic; Mesh of them exchange full messages with this
	// node. Both are as of now.
	Peers, Mesh int
	// Published messages are this node's own, Delivered ones came from
	// neighbours and were accepted, Duplicates were accepted before.
	Published, Delivered, Duplicates uint64
	// Lost messages were accepted but not given to Config.Deliver, which was
	// too slow.
	Lost uint64
	// Rejected counts by reason; without those that never occurred.
	Rejected map[Reason]uint64
	// MessagesIn and MessagesOut crossed the wire, duplicates and rejected
	// ones among them, one sent to several neighbours once for each; BytesIn
	// and BytesOut are their data and topics. BytesNew is what of BytesIn was
	// Delivered.
	MessagesIn, MessagesOut     uint64
	BytesIn, BytesOut, BytesNew uint64
}

// Control counts GossipSub's control messages: grafts and prunes, and the
// message ids named in the others.
type Control struct{ IHave, IWant, IDontWant, Graft, Prune uint64 }

// Stats is what a relay did since it was mounted.
type Stats struct {
	// Topics are those ever joined, by name; Elsewhere is what came on others.
	Topics    map[string]TopicStats
	Elsewhere TopicStats
	// In is what neighbours sent, Out what they were sent.
	In, Out Control
	// Dropped frames were not sent, for the neighbour's queue was full.
	Dropped uint64
}

// Stats returns the present state.
func (r *Relay) Stats() Stats {
	st := r.mesh.counts.stats()
	for name, topic := range st.Topics {
		topic.Peers, topic.Mesh = len(r.Peers(name)), len(r.Mesh(name))
		st.Topics[name] = topic
	}
	return st
}

// topicCounts are the counters of one topic.
type topicCounts struct {
	published, delivered, duplicates, lost atomic.Uint64
	messagesIn, messagesOut                atomic.Uint64
	bytesIn, bytesOut, bytesNew            atomic.Uint64
	rejected                               [len(reasons)]atomic.Uint64
}

func (c *topicCounts) reject(why Reason) {
	for i, r := range reasons {
		if r == why {
			c.rejected[i].Add(1)
		}
	}
}

func (c *topicCounts) stats() TopicStats {
	st := TopicStats{
		Published: c.published.Load(), Delivered: c.delivered.Load(), Duplicates: c.duplicates.Load(),
		Lost: c.lost.Load(), Rejected: make(map[Reason]uint64),
		MessagesIn: c.messagesIn.Load(), MessagesOut: c.messagesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(), BytesNew: c.bytesNew.Load(),
	}
	for i, r := range reasons {
		if n := c.rejected[i].Load(); n > 0 {
			st.Rejected[r] = n
		}
	}
	return st
}

// controlCounts are the counters of one direction.
type controlCounts struct{ ihave, iwant, idontwant, graft, prune atomic.Uint64 }

func (c *controlCounts) add(m *pubsubpb.ControlMessage) {
	for _, x := range m.GetIhave() {
		c.ihave.Add(uint64(len(x.GetMessageIDs())))
	}
	for _, x := range m.GetIwant() {
		c.iwant.Add(uint64(len(x.GetMessageIDs())))
	}
	for _, x := range m.GetIdontwant() {
		c.idontwant.Add(uint64(len(x.GetMessageIDs())))
	}
	c.graft.Add(uint64(len(m.GetGraft())))
	c.prune.Add(uint64(len(m.GetPrune())))
}

func (c *controlCounts) stats() Control {
	return Control{
		IHave: c.ihave.Load(), IWant: c.iwant.Load(), IDontWant: c.idontwant.Load(),
		Graft: c.graft.Load(), Prune: c.prune.Load(),
	}
}

// counts are the counters of a relay.
type counts struct {
	in, out   controlCounts
	dropped   atomic.Uint64
	elsewhere topicCounts

	mu     sync.RWMutex
	topics map[string]*topicCounts
}

// join begins to count a topic by itself. Topics that are never joined, whose
// names are up to neighbours, share their counters.
func (c *counts) join(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topics == nil {
		c.topics = make(map[string]*topicCounts)
	}
	if c.topics[topic] == nil {
		c.topics[topic] = new(topicCounts)
	}
}

func (c *counts) of(topic string) *topicCounts {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if t := c.topics[topic]; t != nil {
		return t
	}
	return &c.elsewhere
}

func (c *counts) stats() Stats {
	c.mu.RLock()
	topics := maps.Clone(c.topics)
	c.mu.RUnlock()
	st := Stats{
		Topics: make(map[string]TopicStats, len(topics)), Elsewhere: c.elsewhere.stats(),
		In: c.in.stats(), Out: c.out.stats(), Dropped: c.dropped.Load(),
	}
	for name, t := range topics {
		st.Topics[name] = t.stats()
	}
	return st
}

// wireSize is what a message counts in bytes.
func wireSize(m *pubsubpb.Message) uint64 { return uint64(len(m.GetData()) + len(m.GetTopic())) }
