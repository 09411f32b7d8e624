package session

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/ratchet"
	"github.com/parley-im/parley/internal/kv"
)

// Cause is why a session is broken. Causes are stable.
type Cause string

// The causes.
const (
	// NoSession: the peer writes in a session that we do not have.
	NoSession Cause = "session_missing"
	// NoPreKey: the peer begins a session with a signed pre key of ours that we
	// do not have.
	NoPreKey Cause = "pre_key_missing"
	// BehindUs: the peer numbers new messages as it has numbered old ones; it
	// has gone back to an earlier state.
	BehindUs Cause = "peer_behind"
	// AheadOfUs: the peer is further on than messages can be skipped.
	AheadOfUs Cause = "peer_ahead"
	// OtherKeys: the two sides have come to different keys; one of them has gone
	// back to an earlier state.
	OtherKeys Cause = "keys_differ"
	// Damaged: our record of the session cannot be read.
	Damaged Cause = "state_damaged"
	// BegunAnew: the peer has lost the session, or given it up, and says so.
	BegunAnew Cause = "peer_began_anew"
)

// causeOf tells which errors of Open mean a broken session.
func causeOf(err error) (Cause, bool) {
	for _, c := range []struct {
		err   error
		cause Cause
	}{
		{ErrNoSession, NoSession},
		{ErrUnknownPreKey, NoPreKey},
		{ratchet.ErrReplay, BehindUs},
		{ratchet.ErrTooManySkipped, AheadOfUs},
		{ratchet.ErrMAC, OtherKeys},
		{ErrStore, Damaged},
	} {
		if errors.Is(err, c.err) {
			return c.cause, true
		}
	}
	return "", false
}

// MeansBroken reports whether an error of Open can be that of a broken session.
func MeansBroken(err error) bool { _, ok := causeOf(err); return ok }

// BreakState is how far a break has come.
type BreakState string

// The states.
const (
	// Suspected: too little was undecryptable to be sure.
	Suspected BreakState = "suspected"
	Broken    BreakState = "broken"
	// Healed: a message has come in a session that began since.
	Healed BreakState = "healed"
)

// Break is what is known of a session that is broken or was: with one
// installation of one identity, the last time it happened.
type Break struct {
	Peer         key.Public
	Installation string
	State        BreakState
	Cause        Cause
	Since        time.Time
	// HealedAt is zero until then.
	HealedAt time.Time
	// Messages counts what could not be decrypted.
	Messages int
	// Attempts to heal it, by us, within CalmPeriod; LastAttempt is zero when
	// there was none.
	Attempts    int
	LastAttempt time.Time
}

// breakRecord is how a Break is stored.
type breakRecord struct {
	Peer         key.Public `json:"peer"`
	Installation string     `json:"installation"`
	State        BreakState `json:"state"`
	Cause        Cause      `json:"cause"`
	// Times are Unix nanoseconds.
	Since       int64 `json:"since"`
	Healed      int64 `json:"healed,omitempty"`
	Messages    int   `json:"messages,omitempty"`
	Attempts    int   `json:"attempts,omitempty"`
	LastAttempt int64 `json:"last_attempt,omitempty"`
	LastAnswer  int64 `json:"last_answer,omitempty"`
	LastResumed int64 `json:"last_resumed,omitempty"`
	// Floor is what the time of a bundle must exceed to count, Newest that of
	// the newest that has counted.
	Floor  int64 `json:"floor,omitempty"`
	Newest int64 `json:"newest,omitempty"`
	// Digests are of the messages that have counted.
	Digests [][]byte `json:"digests,omitempty"`
}

func (r *breakRecord) public() *Break {
	at := func(ns int64) time.Time {
		if ns == 0 {
			return time.Time{}
		}
		return time.Unix(0, ns)
	}
	return &Break{
		Peer: r.Peer, Installation: r.Installation, State: r.State, Cause: r.Cause,
		Since: at(r.Since), HealedAt: at(r.Healed),
		Messages: r.Messages, Attempts: r.Attempts, LastAttempt: at(r.LastAttempt),
	}
}

func breakKey(peer key.Public, installation string) string {
	return breakPrefix + hexKey(peer.Compressed()) + "/" + installation
}

func decodeBreak(b []byte) (*breakRecord, error) {
	r := new(breakRecord)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: break: %w", ErrStore, err)
	}
	return r, nil
}

func (b *batch) loadBreak(peer key.Public, installation string) (*breakRecord, error) {
	return load(b, breakKey(peer, installation), decodeBreak)
}

func (b *batch) saveBreak(r *breakRecord) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%w: break: %w", ErrStore, err)
	}
	b.put(breakKey(r.Peer, r.Installation), raw)
	return nil
}

// beginBreak makes the record of a new break, in place of the one before. The
// one that matters least goes when there are too many.
func (b *batch) beginBreak(before *breakRecord, peer key.Public, installation string, cause Cause, now time.Time) (*breakRecord, error) {
	r := &breakRecord{Peer: peer, Installation: installation, State: Suspected, Cause: cause, Since: now.UnixNano()}
	if before != nil {
		if now.UnixNano()-before.LastAttempt < int64(CalmPeriod) {
			r.Attempts, r.LastAttempt = before.Attempts, before.LastAttempt
		}
		r.LastAnswer, r.LastResumed = before.LastAnswer, before.LastResumed
		r.Floor = max(before.Floor, before.LastAttempt, before.Healed)
		return r, nil
	}
	count, victim := 0, (*breakRecord)(nil)
	rank := map[BreakState]int{Suspected: 0, Healed: 1, Broken: 2}
	err := b.st.Scan(breakPrefix, func(_ string, value []byte) error {
		old, err := decodeBreak(value)
		if err != nil {
			return err
		}
		count++
		if victim == nil || cmp.Or(cmp.Compare(rank[old.State], rank[victim.State]), cmp.Compare(old.Since, victim.Since)) < 0 {
			victim = old
		}
		return nil
	})
	if err == nil && count >= MaxBreaks {
		b.delete(breakKey(victim.Peer, victim.Installation))
	}
	return r, err
}

// Breaks lists what is known of broken sessions, those that are only suspected
// left out, the latest first.
func (p *Protocol) Breaks(st kv.Store) ([]Break, error) {
	var all []Break
	err := st.Scan(breakPrefix, func(_ string, value []byte) error {
		r, err := decodeBreak(value)
		if err != nil {
			return err
		}
		if r.State != Suspected {
			all = append(all, *r.public())
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b Break) int { return b.Since.Compare(a.Since) })
	return all, err
}

// PurgeBreaks forgets breaks that healed BreakRetention ago, and suspicions that
// came to nothing.
func (p *Protocol) PurgeBreaks(st kv.Store, now time.Time) error {
	b := &batch{st: st}
	err := st.Scan(breakPrefix, func(name string, value []byte) error {
		r, err := decodeBreak(value)
		if err != nil {
			return err
		}
		old := r.State == Healed && now.UnixNano()-r.Healed > int64(BreakRetention) ||
			r.State == Suspected && now.UnixNano()-r.Since > int64(SuspicionWindow)
		if old {
			b.delete(name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.commit()
}
