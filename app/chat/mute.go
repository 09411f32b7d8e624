package chat

import "time"

// How long a chat is muted when a person picks from a list, as deployed
// clients offer it; besides these until it is unmuted.
const (
	MuteShort   = 15 * time.Minute
	MuteHour    = time.Hour
	MuteWorkday = 8 * time.Hour
	MuteDay     = 24 * time.Hour
	MuteWeek    = 7 * 24 * time.Hour
)

// Mute mutes the chat until a time, to the millisecond; the zero time is until
// it is unmuted. A time that has passed mutes nothing.
func (c Chat) Mute(until time.Time) Chat {
	c.Muted, c.MutedUntil = true, 0
	if !until.IsZero() {
		// 0 stands for no end, so the end of 1969 has to do for 1970.
		if c.MutedUntil = until.UnixMilli(); c.MutedUntil == 0 {
			c.MutedUntil = -1
		}
	}
	return c
}

// Unmute ends the muting of the chat.
func (c Chat) Unmute() Chat {
	c.Muted, c.MutedUntil = false, 0
	return c
}

// IsMuted tells whether the chat is muted at a time.
func (c Chat) IsMuted(now time.Time) bool {
	return c.Muted && (c.MutedUntil == 0 || now.UnixMilli() < c.MutedUntil)
}
