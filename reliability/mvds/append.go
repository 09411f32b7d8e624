package mvds

import (
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// Append queues a message for peers and returns its id. It is due at once to
// a peer who got no payload in the current epoch, else in the next. Appending
// what is already queued for a peer changes nothing.
//
// Every peer must belong to the message's group. In one-to-one groups that is
// one peer: a message to n members of a private group chat is n messages, each
// in the group of its pair. In a group of more it is one message to all of its
// peers, whose body is stored once. Whether it is sent or offered is up to the
// mode of s, which may differ from call to call. The errors are ErrPeer, ErrGroup, ErrBody and
// ErrTime.
func (s *Sync) Append(st kv.Store, now time.Time, m Message, peers ...key.Public) (MessageID, error) {
	s = s.Defaults()
	if len(m.Body) > MaxBody {
		return MessageID{}, fmt.Errorf("%w: %d bytes, limit %d", ErrBody, len(m.Body), MaxBody)
	}
	if len(peers) == 0 {
		return MessageID{}, ErrPeer
	}
	for _, peer := range peers {
		if peer.IsZero() {
			return MessageID{}, ErrPeer
		}
		if !s.member(m.Group, peer) {
			return MessageID{}, fmt.Errorf("%w: group %s, peer %s", ErrGroup, m.Group, peer)
		}
	}
	c, err := s.clock(st, now)
	if err != nil {
		return MessageID{}, err
	}
	id := m.ID()
	for _, peer := range peers {
		if err := s.append(table{st}, c, now, id, m, peer); err != nil {
			return MessageID{}, fmt.Errorf("queueing message %s: %w", id, err)
		}
	}
	return id, nil
}

func (s *Sync) append(t table, c clock, now time.Time, id MessageID, m Message, peer key.Public) error {
	p := compressed(peer)
	state, err := t.state(p)
	if err != nil {
		return err
	}
	old, err := t.record(id, p)
	switch {
	case err != nil:
		return err
	case old != nil && old.kind.own():
		return nil
	case old != nil:
		if old.kind == kindRequest { // for what we turn out to have
			state.requests--
			if err := t.putState(p, state); err != nil {
				return err
			}
		}
		if err := t.remove(old); err != nil {
			return err
		}
	}
	r := &record{id: id, peer: p, kind: kindMessage, due: state.slot(c.now), created: now.UnixNano()}
	if s.Mode == Interactive {
		r.kind = kindOffer
	}
	r.setMessage(m)
	if err := t.add(r); err != nil {
		return err
	}
	return t.schedule(peer, r.due)
}
