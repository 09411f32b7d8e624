package mvds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// Mode says how messages are first sent (2/MVDS, Flow). What a peer's mode is
// makes no difference to receiving.
type Mode int

// The modes.
const (
	// Batch sends messages at once. Deployed clients do.
	Batch Mode = iota
	// Interactive offers messages and sends those that are requested: less
	// traffic, more delay.
	Interactive
)

// Values of the parameters that are zero.
const (
	// DefaultEpoch is the tick of deployed clients.
	DefaultEpoch = 300 * time.Millisecond
	// DefaultFirstGap is what deployed clients wait after the first send, 90
	// epochs.
	DefaultFirstGap = 27 * time.Second
	// DefaultMaxGap lets a peer who comes back unannounced wait a quarter of
	// a day at most, at the price of about 240 sends in the 30 days of Expiry.
	DefaultMaxGap = 6 * time.Hour
	// DefaultMaxPayload fits into one Waku message of 150 KB together with the
	// encryption for three devices, each of which gets its own copy.
	DefaultMaxPayload = 32 << 10
)

const (
	// Expiry is the age at which a message without acknowledgement is given
	// up: that of the oldest messages that store nodes keep.
	Expiry = 30 * 24 * time.Hour
	// MinSends is how often a record is sent before it is given up, whatever
	// its age: as often as deployed clients send. A request, which nobody
	// would miss and which the peer's next offer renews, is given up then.
	MinSends = 15
	// SeenRetention is how long the id of a received message is kept at
	// least, to tell duplicates; at most it is twice that. It covers Expiry.
	SeenRetention = Expiry
	// MaxRequests bounds the requests outstanding to one peer. Further offers
	// are left for the peer to repeat.
	MaxRequests = 1024
	// MaxBody is the longest body that Append takes, in bytes.
	MaxBody = MaxSize / 2
	// fallback is by how many doublings the gap falls back once it has
	// reached MaxGap.
	fallback = 3
)

// Errors of Sync. Errors of the store are wrapped and passed on.
var (
	// ErrPeer says that there is no peer, or that it is the zero key.
	ErrPeer = errors.New("no peer")
	// ErrGroup says that the message's group is not one of the peer's.
	ErrGroup = errors.New("peer is not in the group of the message")
	// ErrBody says that a message is longer than MaxBody.
	ErrBody = errors.New("message too long to be synchronised")
	// ErrTime says that the time given is before 1970 or after 2200.
	ErrTime = errors.New("time out of range")
	// ErrCorrupt says that a stored value cannot be read.
	ErrCorrupt = errors.New("stored synchronisation state is damaged")
)

// Sync is one party of the protocol. It holds parameters only, so it may be
// dropped and made again at any moment. Zero parameters have their defaults.
type Sync struct {
	// Self is our key.
	Self key.Public
	Mode Mode
	// Epoch is the length of an epoch. A peer gets one payload in each at
	// most.
	Epoch time.Duration
	// FirstGap is the time between the first and the second send. A third of
	// it is the range of the jitter that is added to every gap.
	FirstGap time.Duration
	// MaxGap is the upper bound of the gap between two sends, before jitter.
	MaxGap time.Duration
	// AwayGap is the upper bound of the gap to a peer who has shown no sign of
	// life for AwayAfter; until it is reached, the gap grows by a factor of 256
	// with each send. It is for networks whose store nodes keep what was sent:
	// three copies in a day, and one more when the peer shows life and does not
	// acknowledge. 0 treats such peers as all others.
	AwayGap time.Duration
	// MaxPayload is the length in bytes at which a batch is split over epochs.
	// Only a single message that is longer by itself exceeds it.
	MaxPayload int
	// Member reports whether a peer belongs to a group. Nil knows one-to-one
	// groups alone, which are all that deployed clients use.
	Member func(group GroupID, peer key.Public) bool
	// Peers, when set, returns the other parties of a group of more than two,
	// nothing for all other groups. What is received in such a group is offered
	// to those who have not shown to hold it, so that a message gets around when
	// its author is away. It must agree with Member.
	Peers func(group GroupID) []key.Public
}

// New returns a Sync with the default parameters, in batch mode.
func New(self key.Public) *Sync { return (&Sync{Self: self}).Defaults() }

// Defaults returns a copy in which parameters that are not positive have
// their default.
func (s *Sync) Defaults() *Sync {
	d := *s
	if d.Epoch <= 0 {
		d.Epoch = DefaultEpoch
	}
	if d.FirstGap <= 0 {
		d.FirstGap = DefaultFirstGap
	}
	if d.MaxGap <= 0 {
		d.MaxGap = DefaultMaxGap
	}
	if d.MaxPayload <= 0 {
		d.MaxPayload = DefaultMaxPayload
	}
	return &d
}

func (s *Sync) member(group GroupID, peer key.Public) bool {
	if s.Member != nil {
		return s.Member(group, peer)
	}
	return group == OneToOneGroup(s.Self, peer)
}

// maxGap is MaxGap in epochs.
func (s *Sync) maxGap() int64 { return max(1, int64(s.MaxGap/s.Epoch)) }

// firstGap is FirstGap in epochs.
func (s *Sync) firstGap() int64 { return min(max(1, int64(s.FirstGap/s.Epoch)), s.maxGap()) }

// gap is the number of epochs to wait after the step-th send, from 1, before
// jitter: doubling up to the upper bound, then falling back and climbing again.
func (s *Sync) gap(step uint32) int64 {
	first, most := s.firstGap(), s.maxGap()
	doublings := int64(0) // the first number of doublings that reaches the bound
	for g := first; g < most; doublings++ {
		g = double(g, most)
	}
	k := int64(max(step, 1)) - 1
	if k > doublings {
		back := min(fallback, doublings)
		k = doublings - back + (k-doublings-1)%(back+1)
	}
	g := first
	for ; k > 0; k-- {
		g = double(g, most)
	}
	return g
}

// double returns the smaller of 2g and most, without overflow.
func double(g, most int64) int64 {
	if g > most/2 {
		return most
	}
	return 2 * g
}

// jitter draws a number of epochs from 0 to a third of the first gap.
func (s *Sync) jitter(rand io.Reader) (int64, error) {
	return draw(rand, max(1, s.firstGap()/3))
}

// draw returns a number from 0 to n-1. Its bias, below n/2^64, is no matter.
func draw(rand io.Reader, n int64) (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return 0, fmt.Errorf("drawing a delay: %w", err)
	}
	return int64(binary.BigEndian.Uint64(b[:]) % uint64(n)), nil
}

// clock is protocol time: epochs since 1970, plus what the clock has been set
// back by since the store began.
type clock struct {
	now int64 // current epoch; never less than high
	// high is the latest epoch in which something was sent, offset what is
	// added to the epoch of the wall clock. Both are stored.
	high, offset int64
	moved        bool // offset is not the stored one
	epoch        time.Duration
}

// clock reads protocol time.
func (s *Sync) clock(st kv.Store, now time.Time) (clock, error) {
	if year := now.UTC().Year(); year < 1970 || year > 2200 {
		return clock{}, fmt.Errorf("%w: year %d", ErrTime, year)
	}
	c := clock{epoch: s.Epoch}
	raw, ok, err := st.Get(keyClock)
	if err != nil {
		return clock{}, err
	}
	if ok {
		if len(raw) != 16 {
			return clock{}, fmt.Errorf("%w: clock", ErrCorrupt)
		}
		c.high, c.offset = number(raw), number(raw[8:])
	}
	wall := now.UnixNano() / int64(s.Epoch)
	if wall+c.offset < c.high {
		c.offset, c.moved = c.high-wall, true
	}
	c.now = wall + c.offset
	return c, nil
}

// save stores the clock after something was sent in the current epoch.
func (c clock) save(st kv.Store) error {
	raw := binary.BigEndian.AppendUint64(nil, uint64(c.now))
	return st.Put(keyClock, binary.BigEndian.AppendUint64(raw, uint64(c.offset)))
}

// time is when an epoch begins by the wall clock.
func (c clock) time(epoch int64) time.Time {
	return time.Unix(0, (epoch-c.offset)*int64(c.epoch))
}

// generation is the period of SeenRetention that the current epoch is in.
func (c clock) generation() uint32 {
	return uint32(c.now / max(1, int64(SeenRetention/c.epoch)))
}
