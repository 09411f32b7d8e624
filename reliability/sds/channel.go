package sds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// MaxContent is the longest content that Send and Ephemeral take, in bytes.
const MaxContent = 1 << 20

// Errors of Channel. Errors of the store are wrapped and passed on.
var (
	// ErrChannel says that a message is of another channel.
	ErrChannel = errors.New("message of another channel")
	// ErrAhead says that a message's Lamport timestamp is further ahead of
	// our clock than Config.MaxAhead. Nothing of the message was taken; a
	// later copy is welcome when its time has come.
	ErrAhead = errors.New("message from the future")
	// ErrContent says that content is empty or longer than MaxContent.
	ErrContent = errors.New("content cannot be synchronised")
	// ErrDuplicate says that equal content is in the log already, which the
	// network's rule for ids (ContentID) makes the same message.
	ErrDuplicate = errors.New("equal content was sent before")
	// ErrFull says that there are Limits.Outgoing messages without
	// acknowledgement.
	ErrFull = errors.New("too many unacknowledged messages")
	// ErrTime says that the time given is before 1970 or after 2200.
	ErrTime = errors.New("time out of range")
)

// Channel is one participant of one channel. It holds parameters only, so it
// may be dropped and made again at any moment; the state is in the store that
// every call is given, and which belongs to this channel alone (kv.Sub).
type Channel struct {
	// ID is the channel's id, Self our participant id.
	ID, Self string
	Config   Config
}

// New returns a channel after checking its parameters: ErrConfig, ErrLimit for
// an id longer than MaxID, ErrNotMessage for one that is empty or not UTF-8.
func New(id, self string, c Config) (*Channel, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"channel id": id, "participant id": self} {
		if err := checkText(name, []byte(text)); err != nil {
			return nil, err
		}
	}
	return &Channel{id, self, c}, nil
}

// Result is what a call brought about. Whatever is in it happened once and is
// recorded as done; it is for the caller to act on after the transaction.
type Result struct {
	// Send goes out, in this order.
	Send []Outgoing
	// Delivered are new messages for the application, each after all that it
	// depends on.
	Delivered []Delivery
	// Possible are own messages that entered the state of that name,
	// Acknowledged those now known to have arrived somewhere, in the order in
	// which they were sent.
	Possible, Acknowledged []string
	// Failed are own messages given up, in the order in which they were to go
	// out again.
	Failed []GivenUp
	// Fetch are missing dependencies to be looked up in store nodes by their
	// hints; what is found goes to Receive.
	Fetch []Fetch
	// Lost are dependencies given up. One that comes all the same is
	// delivered late.
	Lost []Entry
	// Stale are messages that are older than the log, or than the time of
	// Begin, and were dropped: nothing waits for them any more. Every copy is
	// reported. Evicted are those for which the incoming buffer had no room.
	Stale, Evicted []string
}

// GivenUp is an own message that nobody acknowledged.
type GivenUp struct {
	ID      string
	Content []byte
}

// Reason is why a message goes out.
type Reason int

// The reasons.
const (
	// First is a new content or ephemeral message.
	First Reason = iota
	// Again is an own message without acknowledgement.
	Again
	// Answer is somebody's message that a repair request asked for.
	Answer
	// Idling is a sync message.
	Idling
)

// Outgoing is a message to be broadcast.
type Outgoing struct {
	ID     string
	Reason Reason
	Data   []byte
}

// Delivery is a message for the application.
type Delivery struct {
	ID, Sender string
	// Lamport and ID are the place in the channel's order: ascending by
	// Lamport, equal ones by ID. It is the same for all participants. Zero for
	// an ephemeral message, which has no place.
	Lamport uint64
	Content []byte
	// Hint is the one given to Receive.
	Hint []byte
	// Ephemeral messages are delivered without any guarantee, also twice.
	Ephemeral bool
	// Own says that our participant wrote it, before its state was lost or on
	// another device.
	Own bool
	// Late says that the message had been called lost, or that the wait for
	// what it depends on was ended: messages that follow it in the order may
	// have been delivered before.
	Late bool
}

// Fetch is a missing dependency to be looked up.
type Fetch struct {
	ID, Sender string
	// Hints are what other participants gave as retrieval hint, at most
	// MaxHints. They may be wrong.
	Hints [][]byte
}

// step is one call on its way through the state.
type step struct {
	*Channel
	table
	s, was state
	fresh  bool
	wall   time.Time
	// now is protocol time in nanoseconds: the wall clock's, except that it
	// never runs backwards. When the clock is set back, the difference is
	// added from then on, since otherwise all that was scheduled would sleep
	// until the old time comes again.
	now   int64
	rand  io.Reader
	out   Result
	ready heap
}

func (c *Channel) open(st kv.Store, now time.Time, rand io.Reader) (*step, error) {
	if year := now.UTC().Year(); year < 1970 || year > 2200 {
		return nil, fmt.Errorf("%w: year %d", ErrTime, year)
	}
	e := &step{Channel: c, table: table{st}, wall: now, rand: rand}
	raw, ok, err := st.Get(keyState)
	if err != nil {
		return nil, err
	}
	if ok {
		if err := e.s.unmarshal(raw); err != nil {
			return nil, err
		}
	} else {
		e.fresh = true
		e.s.lamport, e.s.syncGap = e.clock(), int64(c.Config.Idle.Every)
	}
	e.was = e.s
	if e.now = now.UnixNano() + e.s.offset; e.now < e.s.last {
		e.s.offset += e.s.last - e.now
		e.now = e.s.last
	}
	return e, nil
}

// close stores the state.
func (e *step) close() error {
	if e.s == e.was && !e.fresh {
		return nil
	}
	e.s.last = e.now
	return e.st.Put(keyState, e.s.marshal())
}

// clock is the wall clock in the unit of Lamport timestamps, latest what is
// believed of others.
func (e *step) clock() uint64 { return uint64(e.wall.UnixNano()) / uint64(e.Config.Tick) }
func (e *step) latest() uint64 {
	return uint64(e.wall.Add(e.Config.MaxAhead).UnixNano()) / uint64(e.Config.Tick)
}

// tick increases the Lamport timestamp before a message is sent. A timestamp
// that nobody else would believe comes from a clock that was set ahead, and is
// not carried on.
func (e *step) tick() (uint64, error) {
	if e.s.lamport > e.latest() {
		believed, err := e.tail(1, e.latest())
		if err != nil {
			return 0, err
		}
		e.s.lamport = 0
		if len(believed) > 0 {
			e.s.lamport = believed[0].Lamport
		}
	}
	e.s.lamport = max(e.clock(), e.s.lamport+1)
	return e.s.lamport, nil
}

// draw returns a duration from half of mean to three halves.
func (e *step) draw(mean int64) (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(e.rand, b[:]); err != nil {
		return 0, fmt.Errorf("drawing a delay: %w", err)
	}
	return mean/2 + int64(binary.BigEndian.Uint64(b[:])%uint64(mean+1)), nil
}

// Begin says that messages from before a time are none of ours: whoever joins
// a channel that is years old does not want all of it. They count as delivered,
// so what depends on them waits only until they have come once (Result.Stale),
// and not at all if they came before; the newest StaleKept of them are known
// again. Without Begin, a new participant retrieves the history back to its
// beginning. The time never moves back.
func (c *Channel) Begin(st kv.Store, now, since time.Time) error {
	if year := since.UTC().Year(); year < 1970 || year > 2200 {
		return fmt.Errorf("%w: year %d", ErrTime, year)
	}
	e, err := c.open(st, now, nil)
	if err != nil {
		return err
	}
	e.s.horizon = max(e.s.horizon, uint64(since.UnixNano())/uint64(c.Config.Tick))
	return e.close()
}

// Send makes a content message, to be broadcast now, and keeps it until it is
// acknowledged. The message is in our log at once, so the caller must not drop
// it: it belongs into an outbox in the same transaction. The errors are
// ErrContent, ErrFull, ErrDuplicate and ErrTime.
func (c *Channel) Send(st kv.Store, now time.Time, rand io.Reader, content []byte) (*Outgoing, error) {
	if err := checkContent(content); err != nil {
		return nil, err
	}
	e, err := c.open(st, now, rand)
	if err != nil {
		return nil, err
	}
	if e.s.outgoing >= uint64(c.Config.Limits.Outgoing) {
		return nil, fmt.Errorf("%w: %d", ErrFull, e.s.outgoing)
	}
	m := &Message{Kind: Content, Sender: c.Self, Channel: c.ID, Content: content}
	if m.Lamport, err = e.tick(); err != nil {
		return nil, err
	}
	if m.ID, err = c.newID(rand, m.Lamport, content); err != nil {
		return nil, err
	}
	r := refOf(m.ID)
	if known, err := e.seen(r); err != nil {
		return nil, err
	} else if known {
		return nil, fmt.Errorf("%w: %s", ErrDuplicate, m.ID)
	}
	raw, err := e.compose(m, r)
	if err != nil {
		return nil, err
	}
	for _, do := range []func() error{
		func() error { return e.received(r) }, // a copy may have been asked for before our state was lost
		func() error { return e.logInsert(m, r, nil) },
		func() error { return e.remember(m.ID, r) },
		func() error { return e.cache(m, r, raw) },
		func() error { return e.await(m, r, raw) },
		func() error { return e.spoke(e.Self) },
		e.close,
	} {
		if err := do(); err != nil {
			return nil, fmt.Errorf("sending a message: %w", err)
		}
	}
	return &Outgoing{ID: m.ID, Reason: First, Data: raw}, nil
}

// Ephemeral makes an ephemeral message, which changes no state and of which
// nothing more is heard. The errors are ErrContent, and ErrKind in the layout
// of nim-sds, which has none.
func (c *Channel) Ephemeral(rand io.Reader, content []byte) (*Outgoing, error) {
	if err := checkContent(content); err != nil {
		return nil, err
	}
	m := &Message{Kind: Ephemeral, Sender: c.Self, Channel: c.ID, Content: content}
	var err error
	if m.ID, err = c.newID(rand, 0, content); err != nil {
		return nil, err
	}
	raw, err := m.Encode(c.Config.Layout)
	if err != nil {
		return nil, err
	}
	return &Outgoing{ID: m.ID, Reason: First, Data: raw}, nil
}

func checkContent(content []byte) error {
	if len(content) == 0 || len(content) > MaxContent {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrContent, len(content), MaxContent)
	}
	return nil
}

// SetHint says under which hint a message of the log can be retrieved: the
// Waku message hash of an own message, which is known only after Send. It goes
// into the causal histories of later messages. A message that is not in the
// log is no error. The errors are ErrLimit for a hint longer than MaxHint.
func (c *Channel) SetHint(st kv.Store, id string, hint []byte) error {
	if len(hint) > MaxHint {
		return fmt.Errorf("%w: retrieval hint of %d bytes, limit %d", ErrLimit, len(hint), MaxHint)
	}
	t := table{st}
	k, ok, err := t.known(refOf(id))
	if err != nil || !ok {
		return err
	}
	entry, err := t.logEntry(k.lamport, id)
	if err != nil || entry == nil {
		return err
	}
	entry.Hint = hint
	return t.putLog(k.lamport, *entry)
}
