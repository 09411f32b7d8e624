package sds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/parley-im/parley/internal/kv"
)

// ErrCorrupt says that a stored value cannot be read.
var ErrCorrupt = errors.New("stored scalable data sync state is damaged")

// The keys of a channel's store. Numbers are 8 bytes big-endian, refs the 32
// bytes of a message id's SHA-256, so that every part but the last has a fixed
// length. "later" is a Lamport timestamp subtracted from the largest number:
// the newest comes first.
//
//	c                    state
//	l later id           entry of the local log
//	e later id           the same, of those that no message depends on
//	i ref                its Lamport timestamp; that the message was delivered
//	m ref                message kept for repair
//	s number             its place in the order in which they are dropped
//	b number             the ids of the filter, by chunks
//	o ref                own message without acknowledgement
//	r ref                its bytes
//	u ref                held message: what is known of it
//	h ref                its bytes
//	g sender later ref   the held messages of a sender
//	n sender             what they count against the limit
//	w ref ref            the first is waited for by the second
//	d ref                missing dependency
//	q time ref           when a repair of it may be asked for
//	a ref                answer to a repair request, and when
//	x ref                that a message came that was older than the log
//	z number             the newest of them, in a ring
//	y                    the newest sync messages
//	t time timer ref     what is to be done when
const (
	keyState      = "c"
	keyLog        = "l"
	keyHeads      = "e"
	keyKnown      = "i"
	keyCache      = "m"
	keyOrder      = "s"
	keyIDs        = "b"
	keyOwn        = "o"
	keyOwnRaw     = "r"
	keyHeld       = "u"
	keyHeldRaw    = "h"
	keyQueue      = "g"
	keyWeight     = "n"
	keyWaits      = "w"
	keyMissing    = "d"
	keyAsk        = "q"
	keyAnswer     = "a"
	keyStale      = "x"
	keyStaleOrder = "z"
	keySyncs      = "y"
	keyTimer      = "t"
)

const (
	numberSize = 8
	refSize    = len(ref{})
)

// timer is what is to be done at a time.
type timer byte

const (
	timerOwn     timer = 'o'
	timerMissing timer = 'm'
	timerHeld    timer = 'h'
	timerAnswer  timer = 'a'
)

// table gives the values of the store their types.
type table struct{ st kv.Store }

func number(n uint64) string {
	var b [numberSize]byte
	binary.BigEndian.PutUint64(b[:], n)
	return string(b[:])
}

func (r ref) key(family string) string { return family + string(r[:]) }

func (t table) has(key string) (bool, error) {
	_, ok, err := t.st.Get(key)
	return ok, err
}

// any reports whether there is a key with the prefix.
func (t table) any(prefix string) (found bool, err error) {
	err = t.st.Scan(prefix, func(string, []byte) error {
		found = true
		return kv.Stop
	})
	return found, err
}

func (t table) remove(keys ...string) error {
	for _, k := range keys {
		if err := t.st.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func timerKey(at int64, kind timer, r ref) string {
	return keyTimer + number(uint64(at)) + string(kind) + string(r[:])
}

func askKey(at int64, r ref) string { return keyAsk + number(uint64(at)) + string(r[:]) }

// placeKey is a message's place in the order, below a family.
func placeKey(family string, lamport uint64, id string) string {
	return family + number(math.MaxUint64-lamport) + id
}

func placeLamport(place string) uint64 {
	return math.MaxUint64 - binary.BigEndian.Uint64([]byte(place[:numberSize]))
}

func logKey(lamport uint64, id string) string { return placeKey(keyLog, lamport, id) }

// packer writes a record, unpacker reads one.
type packer struct{ b []byte }

func (p *packer) number(n uint64) { p.b = binary.AppendUvarint(p.b, n) }
func (p *packer) signed(n int64)  { p.b = binary.AppendVarint(p.b, n) }
func (p *packer) text(s string)   { p.number(uint64(len(s))); p.b = append(p.b, s...) }
func (p *packer) flag(f bool) {
	if f {
		p.number(1)
	} else {
		p.number(0)
	}
}

type unpacker struct {
	b   []byte
	bad bool
}

func (u *unpacker) number() uint64 {
	n, size := binary.Uvarint(u.b)
	if size <= 0 {
		u.bad = true
		return 0
	}
	u.b = u.b[size:]
	return n
}

func (u *unpacker) signed() int64 {
	n, size := binary.Varint(u.b)
	if size <= 0 {
		u.bad = true
		return 0
	}
	u.b = u.b[size:]
	return n
}

func (u *unpacker) text() string {
	n := u.number()
	if n > uint64(len(u.b)) {
		u.bad = true
		return ""
	}
	s := string(u.b[:n])
	u.b = u.b[n:]
	return s
}

func (u *unpacker) flag() bool { return u.number() == 1 }

// done returns an error unless the record was read to its end.
func (u *unpacker) done(what string) error {
	if u.bad || len(u.b) > 0 {
		return fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	return nil
}

// state is what is kept of a channel beside its messages. Times are protocol
// time in nanoseconds (step.now), 0 for never.
type state struct {
	lamport uint64
	// last is the latest protocol time seen, offset what the clock was set
	// back by since the channel began.
	last, offset int64
	// syncAt is when a sync message is due, syncGap the mean of the back-off,
	// syncSent when the last one went out.
	syncAt, syncGap, syncSent int64
	// author stands for the sender of the newest content.
	author uint64
	// horizon is the newest Lamport timestamp that left the log, logged how
	// many entries it has.
	horizon, logged uint64
	// ids counts what ever entered the filter, stale what came and was older
	// than the log.
	ids, stale uint64
	// cacheFirst and cacheNext number the messages kept for repair.
	cacheFirst, cacheNext, cacheBytes uint64
	held, orphans, outgoing, answers  uint64
	// answered and answeredBytes count the answers in a minute.
	minute, answered, answeredBytes uint64
}

func (s *state) marshal() []byte {
	p := packer{make([]byte, 0, 128)}
	for _, n := range s.numbers() {
		p.number(*n)
	}
	for _, n := range s.times() {
		p.signed(*n)
	}
	return p.b
}

func (s *state) unmarshal(raw []byte) error {
	u := unpacker{b: raw}
	for _, n := range s.numbers() {
		*n = u.number()
	}
	for _, n := range s.times() {
		*n = u.signed()
	}
	return u.done("channel")
}

func (s *state) numbers() [16]*uint64 {
	return [...]*uint64{&s.lamport, &s.author, &s.horizon, &s.logged, &s.ids, &s.cacheFirst, &s.cacheNext,
		&s.cacheBytes, &s.held, &s.orphans, &s.outgoing, &s.answers, &s.minute, &s.answered, &s.answeredBytes, &s.stale}
}

func (s *state) times() [5]*int64 {
	return [...]*int64{&s.last, &s.offset, &s.syncAt, &s.syncGap, &s.syncSent}
}
