// Package community is communities: large groups with channels that belong to a
// key, and whose owner, with that key, says in signed descriptions who is a
// member and what there is. It holds rules and values only.
//
// A [Community] is one community as we see it. Everybody takes in descriptions
// with [Community.Receive]; the newest holds, so whatever the order in which
// they come, all end with the same. Who has the community's key, the control
// node, makes new ones with the methods that take a [Control]. Asking to join,
// being answered, leaving and being removed are messages of their own: see
// [Community.Ask] for the asking side and [Community.Admit] for the other.
//
// Communities that are gated by tokens are shown as such, and are neither
// joined nor controlled.
//
// Sources: 56/STATUS-COMMUNITIES; 62/STATUS-PAYLOADS, CommunityDescription and
// the messages after it. Where deployed clients (status-go) differ - they use
// more fields, other roles, and times in seconds - what they do is done.
package community

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Community is one community as we see it. It is a value: methods return the
// changed copy. In JSON the description is kept as the signed message only.
//
// The zero Community is one that nothing is known of.
type Community struct {
	// Key names the community; whoever has its private half owns it.
	Key key.Public
	// Wrapped is the newest accepted description as its owner signed it, for
	// sharing: nobody else may change a byte. Description is read from it.
	Wrapped     []byte
	Description Description

	// Joined: we asked to be a member and are one. Spectated: we follow it and
	// read what is open.
	Joined, Spectated bool
	// JoinedAt is Unix time in milliseconds.
	JoinedAt uint64
	// Request is our own request to join, zero if we never asked.
	Request OwnRequest
	// Archive is the newest link to the community's history.
	Archive ArchiveLink
}

// ID returns the community's id, which is its compressed key as 0x02… or 0x03….
func (c Community) ID() string { return c.Key.CompressedHex() }

// IsZero tells whether nothing is known of the community.
func (c Community) IsZero() bool { return c.Key.IsZero() }

// Follow makes us a reader: descriptions are taken in, channels can be read.
func (c Community) Follow() Community { c.Spectated = true; return c }

// Unfollow makes us a reader no more. It does not leave: see [Community.Leave].
func (c Community) Unfollow() Community { c.Spectated = false; return c }

// Followed tells whether we read what is written in the community.
func (c Community) Followed() bool { return c.Joined || c.Spectated }

// Incoming is a description as it arrived.
type Incoming struct {
	// Author is who signed it, Wrapped the signed message and Payload the
	// description in it.
	Author           key.Public
	Wrapped, Payload []byte
	// Self is our key.
	Self key.Public
	// At is the time of the Waku message, or the local time for what came
	// another way: the clock may not be far ahead of it.
	At time.Time
}

// ReceiveWrapped takes in a signed description that came inside of something
// else. Author and Payload of in are not looked at.
func (c Community) ReceiveWrapped(wrapped []byte, in Incoming) (Community, []Change, error) {
	author, payload, err := Unwrap(wrapped)
	if err != nil {
		return c, nil, err
	}
	in.Author, in.Wrapped, in.Payload = author, wrapped, payload
	return c.Receive(in)
}

// Receive takes in a description. Its author must be the community, which is
// the one that c knows, or any if c is zero. A lower clock than that of what is
// known is ErrOutdated; for an equal one, which is no error, all who receive
// both agree on which holds. Changes are those to what we knew.
//
// Being listed makes us joined if we asked, being listed no more ends that and
// leaves us reading.
func (c Community) Receive(in Incoming) (Community, []Change, error) {
	if !c.Key.IsZero() && in.Author != c.Key {
		return c, nil, ErrAuthor
	}
	// Every day, and from whoever passes it on: the same bytes are not read again.
	if known := c.Description; !known.IsZero() && bytes.Equal(in.Payload, known.raw) {
		if err := message.CheckClock(known.Clock, in.At); err != nil {
			return c, nil, err
		}
		return c.again(in)
	}
	d, err := Parse(in.Author, in.Payload)
	if err != nil {
		return c, nil, err
	}
	if err := message.CheckClock(d.Clock, in.At); err != nil {
		return c, nil, err
	}
	if known := c.Description; !known.IsZero() {
		if d.Clock < known.Clock {
			return c, nil, fmt.Errorf("%w: %d ms, not before %d", ErrOutdated, d.Clock, known.Clock)
		}
		if d.Clock == known.Clock && !wins(d.raw, known.raw) {
			return c.again(in)
		}
	}
	after := c.with(in.Author, d, in.Wrapped).joinOrLeave(in.Self, in.At)
	return after, Changes(c, after, in.Self), nil
}

// again draws the conclusion from what is known already: we may have asked to
// join since then.
func (c Community) again(in Incoming) (Community, []Change, error) {
	after := c.joinOrLeave(in.Self, in.At)
	if after.Joined == c.Joined {
		return c, nil, nil
	}
	return after, Changes(c, after, in.Self), nil
}

// wins decides between two descriptions of one clock, the same way for all.
func wins(raw, known []byte) bool {
	a, b := key.Keccak256(raw), key.Keccak256(known)
	return bytes.Compare(a[:], b[:]) > 0
}

func (c Community) with(k key.Public, d Description, wrapped []byte) Community {
	c.Key, c.Description, c.Wrapped = k, d, wrapped
	return c
}

// joinOrLeave draws the conclusion from being listed or not. Of a gated
// community the open part lists nobody, so nothing follows from it.
func (c Community) joinOrLeave(self key.Public, at time.Time) Community {
	member := c.IsMember(self)
	switch {
	case member && !c.Joined && c.Request.Open() && !c.IsBanned(self):
		c.Joined, c.JoinedAt = true, milliseconds(at)
		c.Request.State = Accepted
	case c.Joined && !c.Description.Gated && !member:
		c = c.removed()
	}
	return c
}

// removed ends our being a member; what is open can still be read.
func (c Community) removed() Community {
	c.Joined, c.JoinedAt, c.Spectated = false, 0, true
	c.Request = OwnRequest{}
	return c
}

// Owned makes us a member without asking: we made the community, or have its
// key from where we were one.
func (c Community) Owned(self key.Public, at time.Time) Community {
	if c.IsMember(self) && !c.Joined {
		c.Joined, c.JoinedAt = true, milliseconds(at)
	}
	return c
}

func milliseconds(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }
func seconds(t time.Time) uint64      { return uint64(max(t.Unix(), 0)) }

// stored is a Community in JSON.
type stored struct {
	Key       key.Public  `json:"key,omitzero"`
	Wrapped   []byte      `json:"wrapped,omitempty"`
	Joined    bool        `json:"joined,omitempty"`
	Spectated bool        `json:"spectated,omitempty"`
	JoinedAt  uint64      `json:"joined_at,omitempty"`
	Request   OwnRequest  `json:"request,omitzero"`
	Archive   ArchiveLink `json:"archive,omitzero"`
}

// ErrStored means that a community in JSON cannot be read.
var ErrStored = errors.New("not a stored community")

// MarshalJSON writes everything but what follows from the signed description.
func (c Community) MarshalJSON() ([]byte, error) {
	return json.Marshal(stored{c.Key, c.Wrapped, c.Joined, c.Spectated, c.JoinedAt, c.Request, c.Archive})
}

// UnmarshalJSON reads what MarshalJSON wrote and reads the description. It is
// for one's own storage: the signature is not checked again. Anything else is
// [ErrStored] and leaves c as it was.
func (c *Community) UnmarshalJSON(raw []byte) error {
	var s stored
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrStored, err)
	}
	read := Community{
		Key: s.Key, Wrapped: s.Wrapped, Joined: s.Joined, Spectated: s.Spectated,
		JoinedAt: s.JoinedAt, Request: s.Request, Archive: s.Archive,
	}
	if len(s.Wrapped) > 0 {
		var wrapper apppb.ApplicationMetadataMessage
		if err := proto.Unmarshal(s.Wrapped, &wrapper); err != nil {
			return fmt.Errorf("%w: %w", ErrStored, err)
		}
		d, err := Parse(s.Key, wrapper.Payload)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStored, err)
		}
		read.Description = d
	}
	*c = read
	return nil
}
