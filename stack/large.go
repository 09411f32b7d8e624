package stack

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
	storagepb "github.com/parley-im/parley/pb/storage"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// A large message is one whose payload does not fit one Waku message, which is
// so for everything above 150 KB (Status Protocol Stack, Large messages). It
// travels in segments. Where the network has shards for large messages, they
// are published there by lightpush in either mode and fetched by store query.

const (
	// EventTransfer means that a large message of ours or of others has come
	// further that travels in segments. A transfer has a bounded number of events,
	// about 20, however many segments it has.
	EventTransfer = "transfer"
)

const (
	// transferSteps bounds the events of a transfer that is on its way: one for
	// each twentieth of it.
	transferSteps = 20
	// largeAtOnce is how many segments are published side by side, with what
	// else is to be sent; largeAhead is how many of them are passed over to find
	// that.
	largeAtOnce, largeAhead = 4, 32
	// restampAfter is the age at which a segment gets a new time before it is
	// published: store nodes refuse what is older than message.MaxSkew, and
	// receivers ask for what is new.
	restampAfter = wakumessage.MaxSkew / 2
	// largeRefusals is how often nobody may take segments on their own shard,
	// although others can be reached, before they go where all else goes.
	largeRefusals = 5
	// largeGap is the least time between two transfers of the same message to
	// the same peer: who has to look for it into the store needs longer to
	// answer than who listens.
	largeGap = largeMost + 2*time.Minute
	// largeHold is for how long a transfer that gets nowhere keeps the message
	// from being sent again.
	largeHold = 24 * time.Hour
	// largeChecked is the least length of a reliability payload that may be a
	// large message: with several devices it becomes several times as long.
	largeChecked = 16 << 10
	// transfersKept is for how long it is known what was transferred.
	transfersKept = 30 * 24 * time.Hour
)

// transferStep tells in which of its steps a transfer is.
func transferStep(done, of int) int {
	if of <= 0 {
		return 0
	}
	return done * min(of, transferSteps) / of
}

// beginTransfer notes a large message on its way out and returns the pubsub
// topics for it. What is ephemeral is of no use where nobody listens, and goes
// the way of small messages.
func (s *Stack) beginTransfer(t *step, f frame, payload []byte, segments int) (*storage.Transfer, []string, error) {
	ordinary := s.publishTopics(f)
	if f.ephemeral {
		return nil, ordinary, nil
	}
	large := &storage.Transfer{ID: key.Keccak256(payload), To: f.to, Refs: f.refs, Bytes: len(payload), Local: f.rule.Scope == message.Local, Began: t.now.UTC()}
	topics := ordinary
	if apart := s.network.LargeTopics(f.rule); len(apart) > 0 {
		topics, large.Apart, large.Ordinary = apart, true, ordinary
	}
	large.Of = segments * len(topics)
	if err := t.PutTransfer(large); err != nil {
		return nil, nil, err
	}
	return large, topics, s.tellTransfer(t, large, view.TransferActive)
}

// tellTransfer tells the event stream of a transfer of ours.
func (s *Stack) tellTransfer(t *step, large *storage.Transfer, state view.TransferState) error {
	v := view.Transfer{
		ID: large.IDText(), Direction: view.TransferOut, Messages: large.Refs,
		Done: large.Done, Of: large.Of, Bytes: large.Bytes, State: state,
	}.WithPeer(large.To)
	return s.tellOf(t, v)
}

// tellOf adds the chat.
func (s *Stack) tellOf(t *step, v view.Transfer) error {
	for _, id := range v.Messages {
		m, ok, err := t.Message(id)
		if err != nil {
			return err
		}
		if ok {
			v.Chat = m.Chat
			break
		}
	}
	return t.event(EventTransfer, v)
}

// publishedPart notes that an envelope is published when it is a segment, and
// returns the transfer it belongs to.
func (s *Stack) publishedPart(t *step, hash wakumessage.Hash) (*storage.Transfer, error) {
	large, err := t.TransferOfPart(hash)
	if err != nil || large == nil {
		return nil, err
	}
	if err := t.DeleteTransferPart(hash); err != nil {
		return nil, err
	}
	before := transferStep(large.Done, large.Of)
	large.Done++
	state := view.TransferActive
	if large.Done >= large.Of {
		state, large.Ended = view.TransferComplete, t.now.UTC()
	}
	if err := t.UpdateTransfer(large); err != nil {
		return nil, err
	}
	if state == view.TransferActive && transferStep(large.Done, large.Of) == before {
		return large, nil
	}
	return large, s.tellTransfer(t, large, state)
}

// reroute sends a segment the way of small messages when nobody takes it on a
// shard for large ones: that shard is good for nothing where no service node
// has it. It tells whether it did.
func (s *Stack) reroute(t *step, a attempt) (bool, error) {
	if !a.listening || !s.isLarge(a.record) {
		return false, nil
	}
	large, err := t.TransferOfPart(a.part)
	if err != nil || large == nil || !large.Apart {
		return false, err
	}
	if large.Refused++; large.Refused < largeRefusals || len(large.Ordinary) == 0 {
		return false, t.UpdateTransfer(large)
	}
	wm, err := wakumessage.Unmarshal(a.record.WakuMessage)
	if err != nil {
		return false, err
	}
	wm.Timestamp = proto.Int64(t.now.UnixNano())
	f := frame{}
	if large.Local {
		f.rule.Scope = message.Local
	}
	for _, id := range a.record.Refs {
		f.refs = append(f.refs, message.ID(id))
	}
	large.Of += len(large.Ordinary) - 1
	direct := *large
	direct.Apart = false
	for _, pubsub := range large.Ordinary {
		if err := s.post(t, f, pubsub, wm, &direct); err != nil {
			return false, err
		}
	}
	if err := t.UpdateTransfer(large); err != nil {
		return false, err
	}
	if err := t.DeleteTransferPart(a.part); err != nil {
		return false, err
	}
	s.log.Info("no service node takes large messages, they go with the others", "pubsub", a.record.PubsubTopic)
	return true, t.DeleteOutbox(a.n)
}

// isLarge tells whether a record of the outbox is a segment on a shard for
// large messages.
func (s *Stack) isLarge(r *storagepb.OutboxRecord) bool {
	return r.Lightpush && s.largeTopics[r.PubsubTopic]
}

// allLargeTopics are the pubsub topics that are for large messages alone.
func (n Network) allLargeTopics() map[string]bool {
	all := make(map[string]bool)
	for scope := range scopeNames {
		for _, name := range n.largeTopics(scope) {
			all[name] = true
		}
	}
	for _, name := range n.LocalTopics() {
		delete(all, name)
	}
	return all
}

// restamp gives a segment that has waited the time of now, for this attempt to
// publish it, and tells whether it did.
func (s *Stack) restamp(r *storagepb.OutboxRecord, m *wakupb.WakuMessage) bool {
	now := s.now()
	old := s.isLarge(r) && now.Sub(time.Unix(0, m.GetTimestamp())) > restampAfter
	if old {
		m.Timestamp = proto.Int64(now.UnixNano())
	}
	return old
}

// picker chooses the records to publish next.
type picker struct {
	*Stack
	now   time.Time
	batch []attempt
	next  time.Time
	large int
}

// pick looks at a record; kv.Stop ends it. Segments leave room for what else
// there is.
func (p *picker) pick(n uint64, r *storagepb.OutboxRecord) error {
	large := p.isLarge(r)
	if large {
		p.large++
	}
	if at := time.UnixMilli(r.NotBefore); at.After(p.now) {
		if p.next.IsZero() || at.Before(p.next) {
			p.next = at
		}
		return nil
	}
	if !large || p.large <= largeAtOnce {
		p.batch = append(p.batch, attempt{n: n, record: r})
	}
	if len(p.batch) == publishBatch || len(p.batch) > 0 && p.large > largeAhead {
		return kv.Stop
	}
	return nil
}

// holdBack takes messages out of a reliability payload that are on their way to
// the peer in segments, or were not long ago. They are due again later.
func (s *Stack) holdBack(t *step, out *mvds.Outgoing) error {
	if len(out.Messages) == 0 || len(out.Payload.Encode()) < largeChecked {
		return nil
	}
	ids, messages := out.Messages[:0:0], out.Payload.Messages[:0:0]
	for i, id := range out.Messages {
		held, err := s.underWay(t, out, id)
		if err != nil {
			return err
		}
		if held {
			s.counters.add("not sent again: a large message is still on its way")
			continue
		}
		ids, messages = append(ids, id), append(messages, out.Payload.Messages[i])
	}
	out.Messages, out.Payload.Messages = ids, messages
	return nil
}

// unladen takes what is small out of a reliability payload that may be a large
// message: who waits for an acknowledgement must not wait for all segments of
// something else.
func unladen(out mvds.Outgoing) []mvds.Outgoing {
	p := out.Payload
	if len(p.Messages) == 0 || len(p.Acks)+len(p.Offers)+len(p.Requests) == 0 || len(p.Encode()) < largeChecked {
		return []mvds.Outgoing{out}
	}
	small := mvds.Outgoing{Peer: out.Peer, Payload: &mvds.Payload{Acks: p.Acks, Offers: p.Offers, Requests: p.Requests}}
	out.Payload = &mvds.Payload{Messages: p.Messages}
	return []mvds.Outgoing{small, out}
}

func (s *Stack) underWay(t *step, out *mvds.Outgoing, id mvds.MessageID) (bool, error) {
	ref, ok, err := t.Ref(id)
	if err != nil || !ok {
		return false, err
	}
	return s.transferring(t, out.Peer, message.ID(ref.ApplicationId))
}

// transferring tells whether a large message is on its way to somebody, or to
// everybody, or was not long ago.
func (s *Stack) transferring(t *step, to key.Public, id message.ID) (bool, error) {
	large, err := t.LastTransfer(to, id)
	switch {
	case err != nil || large == nil:
		return false, err
	case large.Ended.IsZero():
		return t.now.Sub(large.Began) < largeHold, nil
	}
	return large.Apart && t.now.Sub(large.Ended) < largeGap, nil
}

// largeContent are the content topics to ask for on each pubsub topic that is
// for large messages alone.
func (s *Stack) largeContent() map[string][]string {
	all := make(map[string][]string)
	add := func(pass func(filter) bool, scopes ...message.Scope) {
		topics := s.contentTopics(pass)
		for _, pubsub := range s.network.LargeQueryTopics(scopes...) {
			all[pubsub] = append(all[pubsub], topics...)
			slices.Sort(all[pubsub])
			all[pubsub] = slices.Compact(all[pubsub])
		}
	}
	add(func(f filter) bool { return f.live }, message.GlobalControl, message.GlobalContent, message.CommunityControl, message.CommunityContent)
	add(func(f filter) bool { return f.local }, message.Local)
	add(func(f filter) bool { return !f.community.IsZero() }, message.CommunityControl, message.CommunityContent)
	return all
}
