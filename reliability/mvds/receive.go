package mvds

import (
	"fmt"
	"io"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// Received is what a payload brought.
type Received struct {
	// Messages are all messages of the sender's groups, duplicates included,
	// in the order of the payload.
	Messages []ReceivedMessage
	// Acked are messages of ours that the sender has now shown to hold, each
	// reported once.
	Acked []MessageID
	// Foreign counts messages that were ignored because the sender is not in
	// their group, Unknown the acks and requests for messages that are not
	// under way to the sender, Refused the offers beyond MaxRequests.
	Foreign, Unknown, Refused int
}

// ReceivedMessage is a message with its id.
type ReceivedMessage struct {
	Message
	ID MessageID
	// Duplicate says that it was received before, within SeenRetention.
	Duplicate bool
}

// Receive applies a payload of a peer. Every message in it is acknowledged in
// the next payload to the peer, also when it was received before; the
// acknowledgements are part of the state until they are sent.
func (s *Sync) Receive(st kv.Store, now time.Time, rand io.Reader, from key.Public, p *Payload) (*Received, error) {
	s = s.Defaults()
	if from.IsZero() {
		return nil, ErrPeer
	}
	if p == nil {
		return nil, ErrNotPayload
	}
	c, err := s.clock(st, now)
	if err != nil {
		return nil, err
	}
	jitter, err := s.jitter(rand)
	if err != nil {
		return nil, err
	}
	in := incoming{Sync: s, table: table{st}, clock: c, now: now, jitter: jitter, from: from, peer: compressed(from)}
	if in.state, err = in.table.state(in.peer); err != nil {
		return nil, err
	}
	before := in.state
	for _, step := range []func(*Payload) error{in.acks, in.requests, in.messages, in.offers} {
		if err := step(p); err != nil {
			return nil, fmt.Errorf("applying a payload: %w", err)
		}
	}
	if in.state != before {
		if err := in.table.putState(in.peer, in.state); err != nil {
			return nil, fmt.Errorf("applying a payload: %w", err)
		}
	}
	return &in.out, nil
}

// incoming is a payload on its way into the state.
type incoming struct {
	*Sync
	table  table
	clock  clock
	now    time.Time
	jitter int64
	from   key.Public
	peer   string
	state  state
	out    Received
}

func (in *incoming) acks(p *Payload) error {
	for _, id := range p.Acks {
		r, err := in.table.record(id, in.peer)
		if err != nil {
			return err
		}
		if r == nil || r.kind == kindRequest {
			in.out.Unknown++
			continue
		}
		if err := in.settle(r); err != nil {
			return err
		}
	}
	return nil
}

// settle removes a record because the peer holds its message.
func (in *incoming) settle(r *record) error {
	switch {
	case r.kind.own():
		in.out.Acked = append(in.out.Acked, r.id)
		if err := in.table.keep(r); err != nil {
			return err
		}
	case r.kind == kindRequest:
		in.state.requests--
	}
	return in.table.remove(r)
}

// requests turns offers into messages. A message that is already under way is
// sent again early, though not before the first gap is over: a short request
// must not draw a long message in every epoch.
func (in *incoming) requests(p *Payload) error {
	for _, id := range p.Requests {
		r, err := in.table.record(id, in.peer)
		if err != nil {
			return err
		}
		if r != nil && r.kind == kindReoffer {
			if r, err = in.table.revive(r, in.state.slot(in.clock.now)); err != nil {
				return err
			}
		}
		if r == nil || !r.kind.own() {
			in.out.Unknown++
			continue
		}
		due := in.state.slot(in.clock.now)
		if r.kind == kindMessage {
			due = min(r.due, max(due, r.sent+in.gap(1)+in.jitter))
		}
		if r.kind == kindMessage && due == r.due {
			if r.count == 0 { // it was revived just now
				if err := in.table.schedule(in.from, due); err != nil {
					return err
				}
			}
			continue
		}
		err = in.table.change(r, func() {
			if r.kind == kindOffer {
				r.kind, r.count, r.step = kindMessage, 0, 0
			}
			r.due = due
		})
		if err != nil {
			return err
		}
		if err := in.table.schedule(in.from, due); err != nil {
			return err
		}
	}
	return nil
}

func (in *incoming) messages(p *Payload) error {
	groups := map[GroupID]bool{} // most payloads have one
	for _, m := range p.Messages {
		member, ok := groups[m.Group]
		if !ok {
			member = in.member(m.Group, in.from)
			groups[m.Group] = member
		}
		if !member {
			in.out.Foreign++
			continue
		}
		id := m.ID()
		r, err := in.table.record(id, in.peer)
		if err != nil {
			return err
		}
		if r != nil {
			if err := in.settle(r); err != nil {
				return err
			}
		}
		known, err := in.table.seen(id, in.clock.generation())
		if err != nil {
			return err
		}
		if !known {
			if err := in.table.st.Put(seenKey(id, in.clock.generation()), nil); err != nil {
				return err
			}
		}
		if err := in.acknowledge(id); err != nil {
			return err
		}
		if !known {
			if err := in.share(id, m); err != nil {
				return err
			}
		}
		in.out.Messages = append(in.out.Messages, ReceivedMessage{m, id, known})
	}
	return nil
}

// acknowledge puts an ack into the peer's next payload.
func (in *incoming) acknowledge(id MessageID) error {
	return in.acknowledgeTo(in.from, in.state, id)
}

func (in *incoming) acknowledgeTo(peer key.Public, st state, id MessageID) error {
	if err := in.table.st.Put(keyAck+compressed(peer)+string(id[:]), nil); err != nil {
		return err
	}
	return in.table.schedule(peer, st.slot(in.clock.now))
}

// share offers a message that has come to the other parties of its group.
func (in *incoming) share(id MessageID, m Message) error {
	if in.Peers == nil {
		return nil
	}
	for _, peer := range in.Peers(m.Group) {
		if peer == in.from || peer == in.Self || peer.IsZero() {
			continue
		}
		p := compressed(peer)
		old, err := in.table.record(id, p)
		if err != nil {
			return err
		}
		state, err := in.table.state(p)
		if err != nil {
			return err
		}
		if old != nil {
			if old.kind != kindRequest {
				continue // it is under way to the peer, or the peer has held it
			}
			// What was asked of one has come from another.
			state.requests--
			if err := in.table.putState(p, state); err != nil {
				return err
			}
			if err := in.table.remove(old); err != nil {
				return err
			}
			if err := in.acknowledgeTo(peer, state, id); err != nil { // who offered it holds it
				return err
			}
			continue
		}
		r := &record{id: id, peer: p, kind: kindOffer, due: state.slot(in.clock.now), created: in.now.UnixNano()}
		r.setMessage(m)
		if err := in.table.add(r); err != nil {
			return err
		}
		if err := in.table.schedule(peer, r.due); err != nil {
			return err
		}
	}
	return nil
}

// offers requests what is not known, and acknowledges what is: the peer did
// not learn that it arrived. Group offers whose name is that of a group of the
// peer are offers like others; deployed clients put names and ids of their own
// into them, which are ignored.
func (in *incoming) offers(p *Payload) error {
	offered := p.Offers
	for _, o := range p.GroupOffers {
		if len(o.Group) == IDSize && in.member(GroupID(o.Group), in.from) {
			offered = append(offered[:len(offered):len(offered)], o.IDs...)
		}
	}
	for _, id := range offered {
		known, err := in.table.seen(id, in.clock.generation())
		if err != nil {
			return err
		}
		r, err := in.table.record(id, in.peer)
		if err != nil {
			return err
		}
		switch {
		case known || r != nil && r.kind != kindRequest:
			err = in.acknowledge(id)
		case r != nil: // requested already
		case in.state.requests >= MaxRequests:
			in.out.Refused++
		default:
			in.state.requests++
			due := in.state.slot(in.clock.now)
			r := &record{id: id, peer: in.peer, kind: kindRequest, due: due, created: in.now.UnixNano()}
			if err = in.table.add(r); err == nil {
				err = in.table.schedule(in.from, due)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
