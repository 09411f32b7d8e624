package contact

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxStatusText is the length of a status's text, in characters.
const MaxStatusText = 128

// How long a status says that somebody is there, counted from its clock
// (deployed clients; no specification covers presence).
const (
	AutomaticLife    = 5*time.Minute + 5*time.Second
	AlwaysOnlineLife = 14 * 24 * time.Hour
)

// Errors of statuses.
var (
	ErrStatusType  = errors.New("status without type")
	ErrStatusText  = errors.New("status text is too long")
	ErrStatusClock = errors.New("status clock is zero or too far ahead")
)

// Presence is what a status says, in a word; the texts are stable.
type Presence string

// The presences. Unknown is one that newer clients have and we do not.
const (
	Automatic    Presence = "automatic"
	DoNotDisturb Presence = "do_not_disturb"
	AlwaysOnline Presence = "always_online"
	Inactive     Presence = "inactive"
	UnknownState Presence = "unknown"
)

var presences = map[apppb.StatusUpdate_StatusType]Presence{
	apppb.StatusUpdate_AUTOMATIC:      Automatic,
	apppb.StatusUpdate_DO_NOT_DISTURB: DoNotDisturb,
	apppb.StatusUpdate_ALWAYS_ONLINE:  AlwaysOnline,
	apppb.StatusUpdate_INACTIVE:       Inactive,
}

// Status is what somebody says about being there. The zero value is nothing.
type Status struct {
	Presence Presence `json:"presence,omitempty"`
	// Clock is Unix time in seconds, unlike all other clocks.
	Clock uint64 `json:"clock,omitempty"`
	Text  string `json:"text,omitempty"`
}

// Update returns the payload of a STATUS_UPDATE at the given time.
func (s Status) Update(now time.Time) (*apppb.StatusUpdate, error) {
	update := &apppb.StatusUpdate{Clock: uint64(max(now.Unix(), 0)), CustomText: s.Text}
	for typ, presence := range presences {
		if presence == s.Presence {
			update.StatusType = typ
		}
	}
	if err := checkStatus(update, now); err != nil {
		return nil, err
	}
	return update, nil
}

func checkStatus(m *apppb.StatusUpdate, wakuTime time.Time) error {
	limit := uint64(max(wakuTime.Unix(), 0)) + uint64(message.MaxClockAhead.Seconds())
	if m.GetClock() == 0 || m.GetClock() > limit {
		return fmt.Errorf("%w: %d s, at most %d", ErrStatusClock, m.GetClock(), limit)
	}
	if m.GetStatusType() == apppb.StatusUpdate_UNKNOWN_STATUS_TYPE {
		return ErrStatusType
	}
	if n := utf8.RuneCountInString(m.GetCustomText()); n > MaxStatusText {
		return fmt.Errorf("%w: %d characters, at most %d", ErrStatusText, n, MaxStatusText)
	}
	return nil
}

// ReceiveStatus applies a status; one with an equal or older clock is ignored.
func (c Contact) ReceiveStatus(m *apppb.StatusUpdate, in Incoming) (Contact, error) {
	if c.Blocked {
		return c, ErrBlocked
	}
	if err := checkStatus(m, in.WakuTime); err != nil {
		return c, fmt.Errorf("status update: %w", err)
	}
	if m.Clock <= c.Status.Clock {
		return c, nil
	}
	presence, ok := presences[m.StatusType]
	if !ok {
		presence = UnknownState
	}
	c.Status = Status{Presence: presence, Clock: m.Clock, Text: m.CustomText}
	return c, nil
}

// Online tells whether the status still says that they are there.
func (s Status) Online(now time.Time) bool {
	var life time.Duration
	switch s.Presence {
	case Automatic:
		life = AutomaticLife
	case AlwaysOnline, DoNotDisturb:
		life = AlwaysOnlineLife
	}
	return life > 0 && s.age(now) <= life
}

// Shown returns the presence to show: what they said as long as it holds, then
// Inactive, and after two weeks nothing at all, like somebody who never said
// anything (deployed clients).
func (s Status) Shown(now time.Time) Presence {
	switch {
	case s.Presence == "" || s.age(now) > AlwaysOnlineLife:
		return ""
	case s.Online(now) || s.Presence == UnknownState:
		return s.Presence
	}
	return Inactive
}

// age is how old the status is, negative for a clock ahead of ours.
func (s Status) age(now time.Time) time.Duration {
	return now.Sub(time.Unix(int64(s.Clock), 0))
}
