package mvds

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// Expired is a message that was given up.
type Expired struct {
	Peer key.Public
	ID   MessageID
	// Sent is how often the message, or the offer of it, was sent.
	Sent int
	// Appended is when it was queued.
	Appended time.Time
	// Message is what it was, for who wants to try again; it is zero when an
	// older version gave it up.
	Message Message
}

// spent reports whether a record is given up.
func (r *record) spent(now time.Time) bool {
	if r.kind == kindReoffer {
		return r.count >= reofferSends
	}
	if r.count < MinSends {
		return false
	}
	return r.kind == kindRequest || now.Sub(time.Unix(0, r.created)) > Expiry
}

// giveUp removes a record; a message of ours is kept for TakeExpired.
func (t table) giveUp(r *record, peer key.Public, s *state) error {
	if !r.kind.own() {
		if r.kind == kindRequest {
			s.requests--
		}
		return t.remove(r)
	}
	raw, err := t.encoded(r)
	if err != nil {
		return err
	}
	if err := t.remove(r); err != nil {
		return err
	}
	k := keyExpired + numberKey(r.created) + string(r.id[:]) + r.peer
	v := binary.BigEndian.AppendUint32(peer.Bytes()[:key.UncompressedSize:key.UncompressedSize], r.count)
	return t.st.Put(k, append(v, raw...))
}

// Unacknowledged returns the messages of ours that a peer has not acknowledged
// and that are not given up.
func (s *Sync) Unacknowledged(st kv.Store, peer key.Public) ([]Expired, error) {
	t, p := table{st}, compressed(peer)
	var waiting []Expired
	err := st.Scan(keyQueue+p, func(k string, _ []byte) error {
		if len(k) != queueKeySize {
			return fmt.Errorf("%w: queue", ErrCorrupt)
		}
		waiting = append(waiting, Expired{Peer: peer, ID: MessageID([]byte(k[len(k)-IDSize:]))})
		return nil
	})
	if err != nil {
		return nil, err
	}
	own := waiting[:0]
	for _, e := range waiting {
		r, err := t.record(e.ID, p)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, fmt.Errorf("%w: queue names message %s", ErrCorrupt, e.ID)
		}
		if !r.kind.own() {
			continue
		}
		if e.Message, err = t.message(r); err != nil {
			return nil, err
		}
		e.Sent, e.Appended = int(r.count), time.Unix(0, r.created)
		own = append(own, e)
	}
	return own, nil
}

// TakeExpired returns the messages that Due gave up since the last call, the
// oldest first, and forgets them.
func (s *Sync) TakeExpired(st kv.Store) ([]Expired, error) {
	var expired []Expired
	var keys []string
	err := st.Scan(keyExpired, func(k string, v []byte) error {
		const head = key.UncompressedSize + 4
		if len(k) != len(keyExpired)+numberSize+IDSize+peerSize || len(v) < head {
			return fmt.Errorf("%w: expired message", ErrCorrupt)
		}
		var m Message
		if len(v) > head {
			var err error
			if m, err = decodeMessage(bytes.Clone(v[head:])); err != nil {
				return fmt.Errorf("%w: expired message: %w", ErrCorrupt, err)
			}
		}
		peer, err := key.PublicFromBytes(v[:key.UncompressedSize])
		if err != nil {
			return fmt.Errorf("%w: expired message: %w", ErrCorrupt, err)
		}
		rest := []byte(k[len(keyExpired):])
		keys = append(keys, k)
		expired = append(expired, Expired{
			Peer:     peer,
			ID:       MessageID(rest[numberSize : numberSize+IDSize]),
			Sent:     int(binary.BigEndian.Uint32(v[key.UncompressedSize:])),
			Appended: time.Unix(0, number(rest)),
			Message:  m,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return expired, remove(st, keys)
}

// Forget stops sending a message, to whomever it was queued for.
func (s *Sync) Forget(st kv.Store, id MessageID) error {
	t := table{st}
	var peers []string
	err := st.Scan(keyRecord+string(id[:]), func(k string, _ []byte) error {
		if len(k) != recordKeySize {
			return fmt.Errorf("%w: record", ErrCorrupt)
		}
		peers = append(peers, k[len(k)-peerSize:])
		return nil
	})
	if err != nil {
		return err
	}
	for _, peer := range peers {
		r, err := t.record(id, peer)
		if err != nil {
			return err
		}
		if r.kind.own() {
			if err := t.remove(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// ForgetPeer removes all that is outstanding with a peer, acknowledgements
// included, as for a contact who was blocked.
func (s *Sync) ForgetPeer(st kv.Store, peer key.Public) error {
	t, p := table{st}, compressed(peer)
	var list []MessageID
	err := st.Scan(keyQueue+p, func(k string, _ []byte) error {
		if len(k) != queueKeySize {
			return fmt.Errorf("%w: queue", ErrCorrupt)
		}
		list = append(list, MessageID([]byte(k[len(k)-IDSize:])))
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range list {
		r, err := t.record(id, p)
		if err != nil {
			return err
		}
		if r == nil {
			return fmt.Errorf("%w: queue names message %s", ErrCorrupt, id)
		}
		if err := t.st.Delete(keyPeers + numberKey(r.due) + p); err != nil {
			return err
		}
		if err := t.remove(r); err != nil {
			return err
		}
	}
	for _, prefix := range []string{keyAck + p, keyKept + p} {
		keys, err := listKeys(st, prefix, math.MaxInt)
		if err != nil {
			return err
		}
		if err := remove(st, keys); err != nil {
			return err
		}
	}
	state, err := t.state(p)
	if err != nil || state.requests == 0 {
		return err
	}
	state.requests = 0
	return t.putState(p, state)
}

// PurgeBatch is the most that one call of Purge removes.
const PurgeBatch = 10_000

// Purge removes what has served its time: ids of messages received more than
// SeenRetention ago, messages kept for Reoffer, and the state of peers with whom nothing was exchanged
// for as long. It returns how many entries it removed; while that is
// PurgeBatch, there may be more.
func (s *Sync) Purge(st kv.Store, now time.Time) (int, error) {
	s = s.Defaults()
	c, err := s.clock(st, now)
	if err != nil {
		return 0, err
	}
	var old []string
	err = st.Scan(keySeen, func(k string, _ []byte) error {
		if len(k) != len(keySeen)+4+IDSize {
			return fmt.Errorf("%w: received message", ErrCorrupt)
		}
		generation := binary.BigEndian.Uint32([]byte(k[len(keySeen):]))
		if generation+1 >= c.generation() || len(old) == PurgeBatch {
			return kv.Stop
		}
		old = append(old, k)
		return nil
	})
	if err != nil {
		return 0, err
	}
	idle := c.now - int64(SeenRetention/s.Epoch)
	err = st.Scan(keyState, func(k string, v []byte) error {
		if len(v) != 2*numberSize && len(v) != 3*numberSize {
			return fmt.Errorf("%w: state of a peer", ErrCorrupt)
		}
		if len(old) == PurgeBatch {
			return kv.Stop
		}
		seen := len(v) == 3*numberSize && number(v[2*numberSize:]) >= idle
		if number(v) < idle && number(v[numberSize:]) == 0 && !seen {
			old = append(old, k)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if old, err = listKept(st, now, old); err != nil {
		return 0, err
	}
	return len(old), remove(st, old)
}

func listKeys(st kv.Store, prefix string, most int) (keys []string, err error) {
	err = st.Scan(prefix, func(k string, _ []byte) error {
		if len(keys) == most {
			return kv.Stop
		}
		keys = append(keys, k)
		return nil
	})
	return keys, err
}

func remove(st kv.Store, keys []string) error {
	for _, k := range keys {
		if err := st.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
