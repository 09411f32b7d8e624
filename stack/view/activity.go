package view

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
)

// Activity is an entry of the activity centre: something that concerns the
// account's owner in person.
type Activity struct {
	// ID is the same for the same thing for ever.
	ID string `json:"id"`
	// Kind is contact_request, mention, reply, group_invitation,
	// group_addition, group_request, verification, community_request,
	// community_accepted or community_kicked.
	Kind activity.Kind `json:"kind"`
	// State is unread, read, accepted or dismissed.
	State activity.State `json:"state"`
	// Clock orders the entries, in milliseconds.
	Clock uint64 `json:"clock"`
	// Chat is the id of the chat in which it happened, or of the community.
	Chat string `json:"chat,omitempty"`
	// From is who did it, zQ3sh….
	From key.Public `json:"from,omitzero"`
	// FromKey is the same key as 0x04….
	FromKey string `json:"from_key,omitempty"`
	// Message is the id of the message it is about.
	Message string `json:"message,omitempty"`
	// Text is what that says, the greeting of a request, a question, or the name
	// of a group.
	Text string `json:"text,omitempty"`
}

// NewActivity shows an entry.
func NewActivity(e activity.Entry) Activity {
	return Activity{e.ID, e.Kind, e.State, e.Clock, e.Chat, e.From, hexOf(e.From), e.Message, e.Text}
}

// ActivityCounts is how much in the activity centre is unread.
type ActivityCounts struct {
	// Unread is how many entries are.
	Unread int `json:"unread"`
	// Kinds counts them by kind, those with none left out.
	Kinds map[activity.Kind]int `json:"kinds"`
}

// NewActivityCounts adds up what is unread.
func NewActivityCounts(kinds map[activity.Kind]int) ActivityCounts {
	counts := ActivityCounts{Kinds: kinds}
	for _, n := range kinds {
		counts.Unread += n
	}
	return counts
}

// ActivityRead is that the activity centre was read.
type ActivityRead struct {
	// Clock is that of the newest entry that was marked as read, in milliseconds.
	// What is older is read, too.
	Clock uint64 `json:"clock"`
	ActivityCounts
}
