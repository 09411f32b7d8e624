package sds

import (
	"errors"
	"fmt"
	"time"
)

// ErrConfig says that a configuration contradicts itself or the specification.
var ErrConfig = errors.New("scalable data sync is configured wrongly")

// Config is how a network runs the protocol. It is a value of the network's
// configuration: all participants of a channel use the same Layout, Tick, IDs,
// Filter and Repair. Begin with Default or Interop and change what differs.
type Config struct {
	// Layout is the one written. Both are read.
	Layout Layout
	// Tick is the unit of Lamport timestamps: a millisecond by the
	// specification, a second in nim-sds.
	Tick time.Duration
	// MaxAhead bounds how far the Lamport timestamp of a received message may
	// be ahead of our clock. The specification has no bound; without one, a
	// single message drags the channel's clock away from the time of day, to
	// which it is pegged, for ever.
	MaxAhead time.Duration
	// IDs is how message ids are made.
	IDs IDRule
	// Copies lets further copies of a known message count like the first for
	// acknowledgements and repair requests, as @waku/sds does. The
	// specification leaves it open: what a copy says is old.
	Copies bool
	// History is how many of the newest messages a causal history names: two
	// by the specification.
	History int
	// Heads is how many further messages it names at most: those that no
	// message we know depends on. Without them, a message that was said at
	// the same time as others can be missed by somebody who then never hears
	// of it, since later messages name only the newest. 0 is for vectors of
	// deployed clients, which name more of the newest instead.
	Heads int
	// Header is the length in bytes that everything but the content may
	// have. Repair requests beyond the first are left out and filters of
	// variable size made smaller to keep it; 0 is no bound.
	Header int
	Filter Filter
	Resend Resend
	Idle   Idle
	Fetch  Retrieval
	Repair Repair
	Limits Limits
}

// Filter is the bloom filter of a network.
type Filter struct {
	// Hash is which filter it is; NoFilter sends none and ignores what comes.
	Hash Hash
	// Window is how many of the newest received ids are in it.
	Window int
	// Bytes is the length of a filter on the wire: exactly with Murmur, at
	// most with Salted.
	Bytes int
	// BitsPerID is how large a Salted filter is made as long as it is shorter
	// than Bytes.
	BitsPerID int
	// Hashes is the number of bits set for an id.
	Hashes int
	// Bits is the number of bits used of a Murmur filter.
	Bits int
	// Confirm is the number of filters with a message that acknowledge it. 0
	// counts evidence instead, by size and fill of each filter: a message is
	// acknowledged when the chance that all of them contain it by accident is
	// below Doubt.
	Confirm int
}

// Doubt is the probability up to which filters that contain a message by
// accident are taken for an acknowledgement.
const Doubt = 1e-3

// Resend is when own messages without acknowledgement go out again.
type Resend struct {
	// Unacknowledged and Possible are the gaps after the first send in the
	// states of those names. A gap doubles with each send up to Most.
	Unacknowledged, Possible, Most time.Duration
	// GiveUp is the age at which a message is given up, once it was sent
	// MinSends times.
	GiveUp time.Duration
}

// MinSends is how often a message is sent at least before it is given up.
const MinSends = 5

// Idle is when sync messages go out.
type Idle struct {
	// Every is the longest of the random back-off after which a sync message
	// is sent in a channel in which something was said, half of it the
	// shortest; 0 sends none. It doubles with each sync message, up to Most,
	// until something is said again.
	Every, Most time.Duration
	// Gap is the least time between two own sync messages.
	Gap time.Duration
}

// Retrieval is how long each way to get a missing dependency is tried: first
// fetching it from store nodes by its hints, then SDS-R, then it is lost.
type Retrieval struct {
	// After is the time from noticing to the first fetch: what was only
	// overtaken on its way comes by itself.
	After time.Duration
	// Tries is how often it is fetched, Every the time between. SDS-R begins
	// when the last try had its time.
	Tries int
	Every time.Duration
	// Lost is the age at which a missing dependency is called lost: what
	// waits for it is delivered. 0 is never, as @waku/sds has it.
	Lost time.Duration
	// Keep is how long a lost dependency is still asked for, ever less often.
	// If it comes, it is delivered late.
	Keep time.Duration
	// Hold is how long a message waits for dependencies at most, whatever
	// comes of them.
	Hold time.Duration
}

// Repair is the SDS-R part of a network. T_min, T_max and the number of groups
// are common to a channel (section "SDS-R global state").
type Repair struct {
	// Off neither asks nor answers.
	Off        bool
	TMin, TMax time.Duration
	// Groups is the number of response groups; see ResponseGroups.
	Groups int
	// Requests is how many a message carries at most.
	Requests int
}

// ResponseGroups is the recommended number of response groups for a number of
// participants: one for every 128, and one more.
func ResponseGroups(participants int) int { return participants/128 + 1 }

// Limits bound what is kept and answered.
type Limits struct {
	// Log is how many of the newest entries the local log keeps. Messages
	// from before what it keeps are dropped, since whether they were
	// delivered is no longer known.
	Log int
	// CacheMessages and CacheBytes bound the messages kept to answer repair
	// requests.
	CacheMessages, CacheBytes int
	// HeldBytes bounds the incoming buffer: the bytes of its messages and
	// MissingWeight for each dependency that they wait for.
	HeldBytes int
	// Outgoing bounds the unacknowledged messages.
	Outgoing int
	// Orphans bounds the missing dependencies that only sync messages named.
	Orphans int
	// Answers bounds the repair answers waiting for their time;
	// AnswersPerMinute and AnswerBytesPerMinute those sent, of which the
	// first of a minute may have any length.
	Answers, AnswersPerMinute, AnswerBytesPerMinute int
}

// MissingWeight is what a missing dependency counts against Limits.HeldBytes.
const MissingWeight = 1024

// Default is the configuration of a network of its own.
func Default() Config {
	return Config{
		Layout:   Standard,
		Tick:     time.Millisecond,
		MaxAhead: 5 * time.Minute,
		IDs:      SaltedID,
		History:  2,
		Heads:    8,
		Header:   1024,
		Filter:   Filter{Hash: Salted, Window: 500, Bytes: 320, BitsPerID: 12, Hashes: 4},
		Resend:   Resend{Unacknowledged: 30 * time.Second, Possible: 2 * time.Minute, Most: time.Hour, GiveUp: 24 * time.Hour},
		Idle:     Idle{Every: 30 * time.Second, Most: 10 * time.Minute, Gap: 5 * time.Second},
		Fetch: Retrieval{After: 2 * time.Second, Tries: 2, Every: 10 * time.Second,
			Lost: 10 * time.Minute, Keep: 24 * time.Hour, Hold: 24 * time.Hour},
		Repair: Repair{TMin: 30 * time.Second, TMax: 2 * time.Minute, Groups: 1, Requests: 3},
		Limits: Limits{Log: 10_000, CacheMessages: 1000, CacheBytes: 8 << 20, HeldBytes: 8 << 20,
			Outgoing: 1000, Orphans: 1000, Answers: 1000, AnswersPerMinute: 60, AnswerBytesPerMinute: 1 << 20},
	}
}

// Interop is the configuration that exchanges with @waku/sds 0.0.8: its ids
// and its filter of exactly 18,752 bytes, since it drops a message whose
// filter is present and shorter. For a network in which that cost matters, set
// Filter to NoFilter, which is fine with it, and History to as many messages
// as may come until somebody answers: causal histories alone acknowledge then,
// and it gives up after ten times.
func Interop() Config {
	c := Default()
	c.IDs, c.Copies = ContentID, true
	c.Header = 0
	c.Filter = Filter{Hash: Murmur, Window: 10_000, Bytes: 18_752, Hashes: 10, Bits: 150_000, Confirm: 2}
	return c
}

// InteropNim is the configuration for nim-sds: its layout and clock, ids that
// cannot be checked since applications choose them, and no filter, since its
// hash depends on how it was built.
func InteropNim() Config {
	c := Default()
	c.Layout, c.Tick, c.IDs = Nim, time.Second, FreeID
	c.Header = 0
	c.Filter = Filter{}
	c.History = 10
	c.Repair.TMax = 5 * time.Minute
	return c
}

// Validate returns an ErrConfig that names what is wrong, if anything is.
func (c *Config) Validate() error {
	f, r, l := c.Filter, c.Repair, c.Limits
	for _, rule := range []struct {
		name string
		ok   bool
	}{
		{"layout", c.Layout == Standard || c.Layout == Nim},
		{"tick of at least a millisecond", c.Tick >= time.Millisecond},
		{"bound ahead", c.MaxAhead > 0},
		{"id rule", c.IDs >= SaltedID && c.IDs <= FreeID},
		{"causal history", c.History >= 1 && c.Heads >= 0 && c.History+c.Heads <= MaxHistory},
		{"header", c.Header == 0 || c.Header >= 512},
		{"filter", f.valid()},
		{"resend periods", 0 < c.Resend.Unacknowledged && c.Resend.Unacknowledged <= c.Resend.Possible &&
			c.Resend.Possible <= c.Resend.Most && c.Resend.GiveUp > 0},
		{"sync periods", c.Idle.Every >= 0 && c.Idle.Most >= c.Idle.Every && c.Idle.Gap >= 0},
		{"fetching", c.Fetch.After >= 0 && c.Fetch.Tries >= 0 && (c.Fetch.Tries == 0 || c.Fetch.Every > 0)},
		{"times of loss", c.Fetch.Lost >= 0 && c.Fetch.Keep >= c.Fetch.Lost && c.Fetch.Hold > c.Fetch.Lost},
		{"repair", r.Off || 0 < r.TMin && r.TMin < r.TMax && r.Groups > 0 && r.Requests > 0 && r.Requests <= MaxRequests},
		{"log of at least the causal history", l.Log >= c.History && l.Log >= 16},
		{"cache", l.CacheMessages > 0 && l.CacheBytes > 0},
		{"incoming buffer of at least one message", l.HeldBytes >= MaxSize+MaxHistory*MissingWeight},
		{"limits", l.Outgoing > 0 && l.Orphans > 0 && l.Answers > 0 && l.AnswersPerMinute > 0 && l.AnswerBytesPerMinute > 0},
	} {
		if !rule.ok {
			return fmt.Errorf("%w: %s", ErrConfig, rule.name)
		}
	}
	return nil
}

func (f Filter) valid() bool {
	bounds := f.Window > 0 && f.Bytes >= minFilter && f.Bytes <= MaxFilter && f.Hashes > 0 && f.Hashes <= 32 && f.Confirm >= 0
	switch f.Hash {
	case NoFilter:
		return true
	case Salted:
		return bounds && f.BitsPerID > 0
	case Murmur:
		return bounds && f.Bits > 0 && f.Bytes == murmurBytes(f.Bits)
	}
	return false
}
