// Package ens keeps what people claim about their ENS names, and decides when
// to look a claim up. It holds rules and values only: the lookup itself is
// account/ens, and needs an Ethereum node. Without one, every claim stays
// unverified and is shown as that.
//
// Sources: 65/STATUS-ACCOUNT-ADDRESS, ENS Username; 62/STATUS-PAYLOADS, field
// ens_name of ChatMessage, ContactUpdate and ChatIdentity; the number of tries
// and their distance are those of deployed clients (status-go). A name is worth
// something to people only: nothing is ever routed or permitted by it.
package ens

import (
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
)

const (
	// MaxTries is how many answers other than the hoped for one end it.
	MaxTries = 11
	// Step is the distance to the second try; every further one is twice as
	// far, so that the last is some nine hours after the last but one.
	Step = 30 * time.Second
	// Recheck is how often a verified name is looked up again: names expire and
	// are sold.
	Recheck = 7 * 24 * time.Hour
)

// State is what is known of a claim.
type State string

// The states; the texts are stable. Only Verified is to be believed.
const (
	// Unverified: not looked up yet, or looked up in vain and to be tried
	// again.
	Unverified State = "unverified"
	Verified   State = "verified"
	// Failed: looked up in vain for the last time, until the name changes.
	Failed State = "failed"
	// Unverifiable: a name that cannot be looked up, see [ErrUnverifiable].
	Unverifiable State = "unverifiable"
)

// Outcome is what a lookup showed.
type Outcome uint8

// The outcomes.
const (
	// NoAnswer: the Ethereum node could not be asked. It says nothing about
	// the name.
	NoAnswer Outcome = iota
	// Differs: the name does not exist or leads to somebody else.
	Differs
	// Matches: the name leads to who claims it.
	Matches
)

// Claim is a name that somebody says is theirs; the zero value with a key is
// none. It is a value: methods return the changed copy.
type Claim struct {
	Key key.Public `json:"key"`
	// Name is in its form of [Shown]; empty for no claim.
	Name string `json:"name,omitempty"`
	// Clock is that of the newest message that said so, in milliseconds.
	Clock uint64 `json:"clock"`
	State State  `json:"state,omitempty"`

	// Tries counts answers that were not the hoped for one, Misses the
	// lookups without answer since the last answer.
	Tries  uint8 `json:"tries,omitempty"`
	Misses uint8 `json:"misses,omitempty"`
	// TriedAt is when it was looked up last, zero for never.
	TriedAt time.Time `json:"tried_at,omitzero"`
}

// Receive takes over the name that a message of the claim's key carries; one
// with an equal or older clock is ignored, and an empty name withdraws the
// claim. Another name has to be verified anew, the same one does not. What is
// no name at all is [ErrName] and changes nothing.
func (c Claim) Receive(name string, clock uint64) (Claim, error) {
	if clock <= c.Clock {
		return c, nil
	}
	shown := Shown(name)
	if shown == "" && name != "" {
		_, err := Normalize(name)
		return c, fmt.Errorf("claim of a name: %w", err)
	}
	if shown == c.Name {
		c.Clock = clock
		return c, nil
	}
	c = Claim{Key: c.Key, Name: shown, Clock: clock}
	if shown != "" {
		c.State = Unverified
		if _, err := Normalize(shown); err != nil {
			c.State = Unverifiable
		}
	}
	return c, nil
}

// NextTry returns when to look the name up, the zero time for at once, and
// false for never.
func (c Claim) NextTry() (at time.Time, ok bool) {
	switch {
	case c.Name == "" || c.State != Unverified && c.State != Verified:
		return time.Time{}, false
	case c.TriedAt.IsZero():
		return time.Time{}, true
	case c.State == Verified && c.Misses == 0:
		return c.TriedAt.Add(Recheck), true
	}
	return c.TriedAt.Add(Step << min(c.Tries+c.Misses, MaxTries)), true
}

// Due tells whether to look the name up now. A last try in the future is one
// of a clock that was wrong.
func (c Claim) Due(now time.Time) bool {
	at, ok := c.NextTry()
	return ok && (!at.After(now) || c.TriedAt.After(now))
}

// Looked takes over what a lookup of that name showed. It is for a claim that
// may have changed meanwhile: the outcome for another name changes nothing.
//
// A node that cannot be asked says nothing about the name: it is asked again at
// growing distances without end, and a verified name stays verified. Deployed
// clients count it as a failure of the name.
func (c Claim) Looked(name string, outcome Outcome, now time.Time) Claim {
	if name != c.Name || c.State != Unverified && c.State != Verified {
		return c
	}
	c.TriedAt = now
	switch outcome {
	case Matches:
		c.State, c.Tries, c.Misses = Verified, 0, 0
	case Differs:
		c.State, c.Misses = Unverified, 0
		if c.Tries++; c.Tries >= MaxTries {
			c.State = Failed
		}
	default:
		c.Misses = min(c.Misses+1, MaxTries)
	}
	return c
}
