package group

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

// Errors of updates. The group is unchanged.
var (
	ErrNoCreation = errors.New("membership update without the creation of the group")
	ErrNotForUs   = errors.New("we were never a member of the group")
	ErrStranger   = errors.New("sender was never a member of the group")
	ErrNotAllowed = errors.New("sender may not add us to groups")
	ErrOtherGroup = errors.New("membership update of another group")
)

// Dropped is an event of an update that was not even kept: it cannot be read,
// or its clock is too far ahead.
type Dropped struct {
	// Index is its place in the update.
	Index int
	Err   error
}

// Merge adds signed events to what is known of the group of that id and replays
// them all; g is zero when nothing is known. An event that is bad drops alone.
// The id alone can be refused, with [ErrID] or [ErrOtherGroup]. raws are kept.
//
// Deployed clients drop a whole update for one bad event, so that a single one
// which got in anywhere breaks the group there for ever.
func (g Group) Merge(id string, raws [][]byte, now time.Time) (Group, []Dropped, error) {
	if _, err := Creator(id); err != nil {
		return g, nil, err
	}
	if !g.IsZero() && g.ID != id {
		return g, nil, ErrOtherGroup
	}
	known := make(map[[key.SignatureSize]byte][]byte, len(g.Events)+len(g.Refused)+len(raws))
	for _, e := range g.all(0) {
		known[[key.SignatureSize]byte(e.Raw)] = e.Raw
	}
	var fresh []Event
	var dropped []Dropped
	for i, raw := range raws {
		// Nearly all events of nearly all updates are known: no need to find
		// their authors again.
		if len(raw) > key.SignatureSize && bytes.Equal(known[[key.SignatureSize]byte(raw)], raw) {
			continue
		}
		e, err := ParseEvent(id, raw)
		if err == nil {
			err = checkClock(e.Clock, now)
		}
		if err != nil {
			dropped = append(dropped, Dropped{Index: i, Err: err})
			continue
		}
		known[[key.SignatureSize]byte(raw)] = raw
		fresh = append(fresh, e)
	}
	return g.with(id, fresh), dropped, nil
}

// with replays the group with more events.
func (g Group) with(id string, fresh []Event) Group {
	if len(fresh) == 0 && !g.IsZero() {
		return g
	}
	return replay(id, append(g.all(len(fresh)), fresh...))
}

// checkClock is message.CheckClock with the local time, exact to the
// millisecond, as its reference.
func checkClock(clock uint64, now time.Time) error {
	limit := uint64(max(now.Add(message.MaxClockAhead).UnixMilli(), 0))
	if clock > limit {
		return fmt.Errorf("%w: %d ms, at most %d", message.ErrClockAhead, clock, limit)
	}
	return nil
}

// Incoming is what is known of a received update beside its content.
type Incoming struct {
	Self key.Public
	// Sender is who signed the message that the update is.
	Sender key.Public
	// Allowed tells whether Sender may open a chat with us: false for somebody
	// who is no contact when only contacts may. Groups we have are not asked.
	Allowed bool
	// Now is the local time.
	Now time.Time
}

// Outcome is what an update did.
type Outcome struct {
	Group Group
	// New tells that the group was not known.
	New bool
	// Changes are what to tell the user, empty when nothing changed.
	Changes []Change
	// Inform tells that the sender counts us among the members and is one, and
	// that we know better: we were removed. Group.Update is to be sent to the
	// sender, at most now and then. Nobody else might tell: whoever is removed
	// says nothing more, and perhaps nobody but us got the event.
	Inform bool
	// Dropped are events that are not kept. Those that are kept and left out
	// are in Group.Refused.
	Dropped []Dropped
}

// Receive merges an update into g, which is zero for a group not known. A group
// that is new must be for us: its list must create it, and must at some time
// have made both us and the sender members. The message inside the update is
// the caller's to handle, after this and under [Group.MayPost].
func (g Group) Receive(u Update, in Incoming) (Outcome, error) {
	after, dropped, err := g.Merge(u.ID, u.Events, in.Now)
	if err != nil {
		return Outcome{Group: g}, fmt.Errorf("membership update: %w", err)
	}
	out := Outcome{Group: after, New: g.IsZero(), Dropped: dropped}
	switch {
	case after.Created == 0:
		err = ErrNoCreation
	case out.New && !after.WasMember(in.Self):
		err = ErrNotForUs
	case !g.WasMember(in.Sender) && !after.WasMember(in.Sender):
		// One who was a member as far as we knew may bring the very event by
		// which they never were.
		err = ErrStranger
	case out.New && !in.Allowed && in.Sender != in.Self:
		err = ErrNotAllowed
	}
	if err != nil {
		return Outcome{Group: g, Dropped: dropped}, fmt.Errorf("membership update: %w", err)
	}
	out.Changes = Changes(g, after, in.Self)
	out.Inform = after.inform(u.Events, in.Sender, in.Self)
	return out, nil
}

// inform tells whether a sender, whose list was merged into g, should hear that
// self is no member.
func (g Group) inform(raws [][]byte, sender, self key.Public) bool {
	if g.IsMember(self) || !g.IsMember(sender) {
		return false
	}
	listed := make(map[[key.SignatureSize]byte]bool, len(raws))
	for _, raw := range raws {
		if len(raw) > key.SignatureSize {
			listed[[key.SignatureSize]byte(raw)] = true
		}
	}
	theirs := slices.DeleteFunc(g.all(0), func(e Event) bool { return !listed[[key.SignatureSize]byte(e.Raw)] })
	return replay(g.ID, theirs).IsMember(self)
}
