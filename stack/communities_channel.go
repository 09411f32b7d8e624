package stack

import (
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
)

// What is said in the channels of communities: who may, on both sides.

var errNoRight = errors.New("from somebody who may not do that in the channel")

// mayIn tells whether somebody may send a type of message to a channel
// (deployed clients). Senders ask before sending, receivers when it comes.
func mayIn(c community.Community, who key.Public, uuid string, typ message.Type) bool {
	switch typ {
	case apppb.ApplicationMetadataMessage_PIN_MESSAGE:
		return c.CanPin(who, uuid)
	case apppb.ApplicationMetadataMessage_EMOJI_REACTION:
		return c.CanReact(who, uuid)
	}
	return c.CanPost(who, uuid)
}

// clockTolerance is how far the clocks of authors and owners may differ.
const clockTolerance = 2 * time.Minute

// saidBefore tells whether a message is older than a description, which then
// knows better whether its author is a member.
func saidBefore(in incoming, d community.Description) bool {
	return in.at.Add(clockTolerance).UnixMilli() < int64(min(d.Clock, 1<<62))
}

// hearsInChannel judges whether something that somebody sent belongs in a
// channel, by the newest description. What may become right with a description
// that is on its way waits for it.
func (s *Stack) hearsInChannel(t *step, in incoming, place chat.Place) (moderator bool, err error) {
	k, uuid, err := community.SplitChannelID(place.ID)
	if err != nil {
		return false, err
	}
	c, ok, err := s.community(t.Tx, k)
	if err != nil {
		return false, err
	}
	if !ok || !c.Followed() {
		return false, errNotThere
	}
	d := c.Description
	_, channel := d.Channel(uuid)
	switch {
	case d.IsZero():
		return false, &message.Missing{Target: communityTarget(k)}
	case !channel && saidBefore(in, d):
		return false, errNotThere
	case !channel:
		return false, &message.Missing{Target: message.ChatTarget(place.ID)}
	case mayIn(c, in.Author, uuid, in.Type):
		return c.CanDelete(in.Author, uuid), nil
	case c.IsMember(in.Author), c.IsBanned(in.Author), saidBefore(in, d):
		return false, errNoRight
	}
	return false, &message.Missing{Target: memberTarget(c.ID(), in.Author)}
}

// onChannelMessage handles a chat message for a channel.
func (s *Stack) onChannelMessage(t *step, in incoming, m *apppb.ChatMessage) error {
	if err := chat.Validate(m, in.reference(), message.Community); err != nil {
		return err
	}
	place, err := chat.Match(m, in.Author, s.Self())
	if err != nil {
		return err
	}
	if _, err := s.hearsInChannel(t, in, place); err != nil {
		return err
	}
	return s.keep(t, place, s.newMessage(in, place.ID, m))
}

// communityChannel is a channel as far as one needs it to say something there.
type communityChannel struct {
	community community.Community
	uuid      string
}

// channelAudience finds a channel, or the reason why nothing can be said there.
func (s *Stack) channelAudience(t *step, room chat.Chat, k key.Public, uuid string) (audience, error) {
	c, err := s.followedCommunity(t.Tx, k)
	if err != nil {
		return audience{}, err
	}
	if _, ok := c.Description.Channel(uuid); !ok {
		return audience{}, fault.New(fault.NotFound, "there is no such channel in %q", c.Description.Name).WithHint("see `parley community show`")
	}
	if !c.Joined {
		return audience{}, fault.New(fault.Denied, "you are not a member of %q", c.Description.Name).WithHint("ask to join it with `parley community join`")
	}
	room.ID, room.Kind = community.ChannelID(k, uuid), message.Community
	return audience{room: room, channel: communityChannel{c, uuid}}, nil
}

// addressChannel sends a message of ours to a channel.
func (s *Stack) addressChannel(t *step, a audience, typ message.Type, body []byte) (message.ID, error) {
	if err := s.mayAddress(a, typ); err != nil {
		return message.ID{}, err
	}
	return s.send(t, outgoing{kind: message.Community, typ: typ, body: body, community: a.channel.community.Key, channel: a.channel.uuid})
}

// mayAddress tells whether we may send a type of message to a channel.
func (s *Stack) mayAddress(a audience, typ message.Type) error {
	if c := a.channel.community; !mayIn(c, s.Self(), a.channel.uuid, typ) {
		return fault.New(fault.Denied, "in this channel of %q you may not do that", c.Description.Name)
	}
	return nil
}

// moderates tells whether somebody may delete what others wrote there.
func (a audience) moderates(who key.Public) bool {
	if a.room.Kind == message.Community {
		return a.channel.community.CanDelete(who, a.channel.uuid)
	}
	return a.group.IsAdmin(who)
}
