package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/reliability/sds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// What is known of communities. A community that we do not follow any more
// stays, so that nothing is forgotten when we follow it again.

// communityMemo holds decoded communities, whose descriptions may be long: each
// message of a channel asks who may write there.
type communityMemo struct {
	mu sync.Mutex
	of map[string]decodedCommunity
}

type decodedCommunity struct {
	raw []byte
	community.Community
}

// memoMost is how many communities are held decoded.
const memoMost = 256

// community returns what is known of a community, and whether anything is.
func (s *Stack) community(tx *storage.Tx, k key.Public) (c community.Community, ok bool, err error) {
	id := k.CompressedHex()
	raw, ok, err := tx.Get(string(storage.Communities) + id)
	if err != nil || !ok {
		return c, false, err
	}
	memo := &s.communities
	memo.mu.Lock()
	defer memo.mu.Unlock()
	if known, ok := memo.of[id]; ok && bytes.Equal(known.raw, raw) {
		return known.Community, true, nil
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, false, fmt.Errorf("%w: community: %w", storage.ErrCorrupt, err)
	}
	if memo.of == nil || len(memo.of) >= memoMost {
		memo.of = make(map[string]decodedCommunity)
	}
	memo.of[id] = decodedCommunity{bytes.Clone(raw), c}
	return c, true, nil
}

// followedCommunity returns a community that we follow, or the reason why
// nothing can be done there.
func (s *Stack) followedCommunity(tx *storage.Tx, k key.Public) (community.Community, error) {
	c, ok, err := s.community(tx, k)
	if err == nil && (!ok || !c.Followed()) {
		err = noCommunity(k)
	}
	return c, err
}

func noCommunity(k key.Public) error {
	return fault.New(fault.NotFound, "you do not follow a community %s", k.CompressedHex()).WithHint("see `parley community list`")
}

// communityTarget names the first description of a community as the target of
// what is said there.
func communityTarget(k key.Public) string { return "community/" + k.CompressedHex() }

// putCommunity stores what has become of a community, with the chats of its
// channels, tells of the changes, and handles what has waited for them.
func (s *Stack) putCommunity(t *step, before, after community.Community, changes []community.Change) error {
	if err := storage.PutRecord(t.Tx, storage.Communities, after.ID(), after); err != nil {
		return err
	}
	if err := s.listenTo(t, before, after); err != nil {
		return err
	}
	if err := s.putChannels(t, before, after); err != nil {
		return err
	}
	for _, c := range changes {
		if err := t.event(EventCommunity, view.NewCommunityChange(after, c)); err != nil {
			return err
		}
	}
	if err := s.purgeBanned(t, after, changes); err != nil {
		return err
	}
	if err := s.noteCommunity(t, before, after, changes); err != nil {
		return err
	}
	return s.cameTo(t, before, after, changes)
}

// listenTo takes care that what is listened to, and how reliability answers,
// follows a community.
func (s *Stack) listenTo(t *step, before, after community.Community) error {
	switch {
	case after.Followed() && !before.Followed():
		return s.follow(t, after.Key)
	case before.Followed() && !after.Followed():
		return s.unfollow(t, after.Key)
	}
	a, b := before.Description, after.Description
	t.resubscribe = t.resubscribe || before.Joined != after.Joined || a.IsZero() != b.IsZero() ||
		!sameChannels(a.Channels, b.Channels) || sds.ResponseGroups(len(a.Members)) != sds.ResponseGroups(len(b.Members))
	return nil
}

// sameChannels tells whether the same channels are there, whatever their order.
func sameChannels(a, b []community.Channel) bool {
	there := make(map[string]bool, len(a))
	for _, ch := range a {
		there[ch.UUID] = true
	}
	for _, ch := range b {
		if !there[ch.UUID] {
			return false
		}
	}
	return len(a) == len(b)
}

// putChannels keeps the chats of a community's channels in step with it. They
// are in the list while we follow it; the messages stay.
func (s *Stack) putChannels(t *step, before, after community.Community) error {
	began := after.Followed() != before.Followed()
	for _, ch := range after.Description.Channels {
		id := community.ChannelID(after.Key, ch.UUID)
		room, known, err := t.Chat(id)
		if err != nil {
			return err
		}
		was := room
		if !known {
			room = chat.Chat{ID: id, Kind: message.Community}
		}
		room.Name, room.Color = ch.Name, ch.Color
		if _, had := before.Description.Channel(ch.UUID); began || !had || !known {
			room.Active = after.Followed()
		}
		if known && room == was {
			continue
		}
		if err := t.PutChat(room); err != nil {
			return err
		}
	}
	for _, ch := range before.Description.Channels {
		if _, still := after.Description.Channel(ch.UUID); still {
			continue
		}
		room, known, err := t.Chat(community.ChannelID(after.Key, ch.UUID))
		if err != nil {
			return err
		}
		if room.Active = false; known {
			if err := t.PutChat(room); err != nil {
				return err
			}
		}
	}
	return nil
}

// cameTo handles what has waited for a community, its channels and its members.
func (s *Stack) cameTo(t *step, before, after community.Community, changes []community.Change) error {
	if before.Description.IsZero() && !after.Description.IsZero() {
		if err := s.arrived(t, communityTarget(after.Key)); err != nil {
			return err
		}
	}
	for _, c := range changes {
		var err error
		switch c.Kind {
		case community.ChannelCreated:
			err = s.arrived(t, message.ChatTarget(community.ChannelID(after.Key, c.Channel)))
		case community.MemberJoined:
			err = s.memberCame(t, before, after, c.Member)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// memberCame handles what a new member said before we heard of that: not what
// they said before the last description that did not count them in.
func (s *Stack) memberCame(t *step, before, after community.Community, id community.ID) error {
	who, err := id.Key()
	if err != nil {
		return nil // whoever wrote has a key
	}
	waiting, err := t.TakeWaiting(memberTarget(after.ID(), who), t.now)
	if err != nil {
		return err
	}
	for _, raw := range waiting {
		in, err := decodeWaiting(raw)
		switch {
		case err != nil:
		case saidBefore(in, before.Description):
			err = errNoRight
		default:
			err = s.again(t, in)
		}
		if err := s.dropped(err); err != nil {
			return err
		}
	}
	return nil
}
