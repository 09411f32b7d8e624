package mvds

import (
	"encoding/binary"
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// The keys of the store. Numbers are 8 bytes big-endian, peers 33 bytes
// compressed, ids 32 bytes, so that every part has a fixed length.
//
//	c                             clock
//	s peer                        state of a peer
//	r id peer                     record
//	b id                          message of records with a long body
//	q peer due created id         the peer's records in the order they are due
//	p due peer                    the peers in the order they are due
//	a peer id                     acknowledgement for the peer's next payload
//	k generation id               id of a received message
//	x created id peer             expired message
//	z peer created id             acknowledged message, to be offered again
//
// Every record has one entry in q. For every entry in q there is an entry in p
// with the same due epoch, or with the first epoch in which the peer may have
// another payload when that is later; so there is for acknowledgements.
// Entries in p may be left over from records that are gone, and Due drops them
// when they come up.
const (
	keyClock      = "c"
	keyState      = "s"
	keyRecord     = "r"
	keyBody       = "b"
	keyQueue      = "q"
	keyPeers      = "p"
	keyAck        = "a"
	keySeen       = "k"
	keyExpired    = "x"
	keyKept       = "z"
	numberSize    = 8
	peerSize      = key.CompressedSize
	queuePrefix   = len(keyQueue) + peerSize
	queueKeySize  = queuePrefix + 2*numberSize + IDSize
	peersKeySize  = len(keyPeers) + numberSize + peerSize
	ackKeySize    = len(keyAck) + peerSize + IDSize
	recordKeySize = len(keyRecord) + IDSize + peerSize
)

// longBody is the length from which a body is stored beside its record, so
// that rescheduling does not write it again.
const longBody = 1024

func number(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

func numberKey(n int64) string {
	var b [numberSize]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return string(b[:])
}

// kind is the type of a record.
type kind byte

const (
	kindOffer kind = iota + 1
	kindRequest
	kindMessage
	// kindReoffer is an offer of a message that the peer has acknowledged.
	kindReoffer
)

// own reports whether the record is about a message of ours.
func (k kind) own() bool { return k == kindOffer || k == kindMessage }

// record is what is sent to a peer until the peer reacts.
type record struct {
	id MessageID
	// peer is the compressed key.
	peer string
	kind kind
	long bool // the message is under keyBody
	// count is how often it was sent, step how often since the back-off was
	// last reset.
	count, step uint32
	due, sent   int64 // epochs
	created     int64 // Unix nanoseconds
	size        int   // on the wire, as a message
	message     []byte
}

const recordHeader = 2 + 2*4 + 3*numberSize + 4

func (r *record) marshal() []byte {
	raw := make([]byte, 0, recordHeader+len(r.message))
	long := byte(0)
	if r.long {
		long = 1
	}
	raw = append(raw, byte(r.kind), long)
	raw = binary.BigEndian.AppendUint32(raw, r.count)
	raw = binary.BigEndian.AppendUint32(raw, r.step)
	raw = binary.BigEndian.AppendUint64(raw, uint64(r.due))
	raw = binary.BigEndian.AppendUint64(raw, uint64(r.sent))
	raw = binary.BigEndian.AppendUint64(raw, uint64(r.created))
	raw = binary.BigEndian.AppendUint32(raw, uint32(r.size))
	if r.long {
		return raw
	}
	return append(raw, r.message...)
}

func (r *record) unmarshal(raw []byte) error {
	if len(raw) < recordHeader {
		return fmt.Errorf("%w: record of %d bytes", ErrCorrupt, len(raw))
	}
	r.kind, r.long = kind(raw[0]), raw[1] == 1
	r.count = binary.BigEndian.Uint32(raw[2:])
	r.step = binary.BigEndian.Uint32(raw[6:])
	r.due, r.sent, r.created = number(raw[10:]), number(raw[18:]), number(raw[26:])
	r.size = int(binary.BigEndian.Uint32(raw[34:]))
	r.message = raw[recordHeader:]
	return nil
}

// wireSize is what the record adds to a payload.
func (r *record) wireSize() int {
	if r.kind == kindMessage {
		return r.size
	}
	return idSize
}

func (r *record) key() string { return keyRecord + string(r.id[:]) + r.peer }

func (r *record) queueKey() string {
	return keyQueue + r.peer + numberKey(r.due) + numberKey(r.created) + string(r.id[:])
}

// setMessage puts a message into the record.
func (r *record) setMessage(m Message) {
	r.long = len(m.Body) >= longBody
	r.size = m.wireSize()
	raw := make([]byte, 0, IDSize+numberSize+len(m.Body))
	raw = append(raw, m.Group[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(m.Timestamp))
	r.message = append(raw, m.Body...)
}

// state is what is kept of a peer beside its records.
type state struct {
	served   int64 // the epoch of the last payload, -1 before the first
	requests int64 // outstanding
	seen     int64 // the epoch of the peer's last sign of life that counted, -1 before the first
}

// slot is the first epoch in which a payload may go to the peer.
func (s state) slot(now int64) int64 { return max(now, s.served+1) }

// table gives the values of the store their types.
type table struct{ st kv.Store }

func compressed(p key.Public) string {
	c := p.Compressed()
	return string(c[:])
}

func (t table) state(peer string) (state, error) {
	raw, ok, err := t.st.Get(keyState + peer)
	switch {
	case err != nil:
		return state{}, err
	case !ok:
		return state{served: -1, seen: -1}, nil
	case len(raw) != 2*numberSize && len(raw) != 3*numberSize:
		return state{}, fmt.Errorf("%w: state of a peer", ErrCorrupt)
	}
	s := state{number(raw), number(raw[numberSize:]), -1}
	if len(raw) == 3*numberSize { // older versions did not look for signs of life
		s.seen = number(raw[2*numberSize:])
	}
	return s, nil
}

func (t table) putState(peer string, s state) error {
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, 3*numberSize), uint64(s.served))
	raw = binary.BigEndian.AppendUint64(raw, uint64(s.requests))
	return t.st.Put(keyState+peer, binary.BigEndian.AppendUint64(raw, uint64(s.seen)))
}

// schedule makes sure that Due looks at the peer in an epoch.
func (t table) schedule(peer key.Public, due int64) error {
	k := keyPeers + numberKey(due) + compressed(peer)
	if _, ok, err := t.st.Get(k); ok || err != nil {
		return err
	}
	return t.st.Put(k, peer.Bytes())
}

// record returns a record, nil when there is none.
func (t table) record(id MessageID, peer string) (*record, error) {
	r := &record{id: id, peer: peer}
	raw, ok, err := t.st.Get(r.key())
	if err != nil || !ok {
		return nil, err
	}
	return r, r.unmarshal(raw)
}

// add stores a new record. Its peer is scheduled by the caller.
func (t table) add(r *record) error {
	if r.long {
		k := keyBody + string(r.id[:])
		if _, ok, err := t.st.Get(k); err != nil {
			return err
		} else if !ok {
			if err := t.st.Put(k, r.message); err != nil {
				return err
			}
		}
	}
	return t.put(r)
}

// put stores a record and its place in the queue.
func (t table) put(r *record) error {
	if err := t.st.Put(r.key(), r.marshal()); err != nil {
		return err
	}
	value := binary.BigEndian.AppendUint32([]byte{byte(r.kind)}, uint32(r.wireSize()))
	return t.st.Put(r.queueKey(), value)
}

// change applies f to a stored record, which may move it in the queue.
func (t table) change(r *record, f func()) error {
	was := r.queueKey()
	f()
	if was != r.queueKey() {
		if err := t.st.Delete(was); err != nil {
			return err
		}
	}
	return t.put(r)
}

// remove deletes a record, and its body when no other peer waits for it.
func (t table) remove(r *record) error {
	if err := t.st.Delete(r.queueKey()); err != nil {
		return err
	}
	if err := t.st.Delete(r.key()); err != nil || !r.long {
		return err
	}
	shared := false
	err := t.st.Scan(keyRecord+string(r.id[:]), func(_ string, v []byte) error {
		if len(v) > 0 && kind(v[0]).own() {
			shared = true
			return kv.Stop
		}
		return nil
	})
	if err != nil || shared {
		return err
	}
	return t.st.Delete(keyBody + string(r.id[:]))
}

// message returns the message of a record of ours.
func (t table) message(r *record) (Message, error) {
	raw, err := t.encoded(r)
	if err != nil {
		return Message{}, err
	}
	return decodeMessage(raw)
}

// encoded returns the message of a record of ours as it is stored.
func (t table) encoded(r *record) ([]byte, error) {
	if !r.long {
		return r.message, nil
	}
	raw, ok, err := t.st.Get(keyBody + string(r.id[:]))
	if err == nil && !ok {
		err = fmt.Errorf("%w: message %s has no body", ErrCorrupt, r.id)
	}
	return raw, err
}

// decodeMessage reads a message as it is stored.
func decodeMessage(raw []byte) (Message, error) {
	if len(raw) < IDSize+numberSize {
		return Message{}, fmt.Errorf("%w: message of %d bytes", ErrCorrupt, len(raw))
	}
	return Message{GroupID(raw[:IDSize]), number(raw[IDSize:]), raw[IDSize+numberSize:]}, nil
}

// any reports whether there is a key with the prefix.
func (t table) any(prefix string) (found bool, err error) {
	err = t.st.Scan(prefix, func(string, []byte) error {
		found = true
		return kv.Stop
	})
	return found, err
}

// waiting reports whether the peer has acknowledgements or records for a
// payload in an epoch.
func (t table) waiting(peer string, epoch int64) (bool, error) {
	found, err := t.any(keyAck + peer)
	if found || err != nil {
		return found, err
	}
	err = t.st.Scan(keyQueue+peer, func(k string, _ []byte) error {
		found = len(k) == queueKeySize && number([]byte(k[queuePrefix:])) <= epoch
		return kv.Stop
	})
	return found, err
}

// seen reports whether a message was received within SeenRetention.
func (t table) seen(id MessageID, generation uint32) (bool, error) {
	for back := range uint32(2) {
		_, ok, err := t.st.Get(seenKey(id, generation-back))
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func seenKey(id MessageID, generation uint32) string {
	return keySeen + string(binary.BigEndian.AppendUint32(nil, generation)) + string(id[:])
}
