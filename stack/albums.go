package stack

import (
	"slices"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/storage"
)

// albumReach is how many messages before and behind an image others of its
// album are looked for.
const albumReach = 32

// withAlbum returns a new image as it is to be kept: deleted when others of its
// album were.
func (s *Stack) withAlbum(t *step, m *chat.Message) (*chat.Message, error) {
	siblings, err := s.album(t, m)
	for _, o := range siblings {
		m = m.DeleteWith(o)
	}
	return m, err
}

// album returns the other images of a message's album, in order.
func (s *Stack) album(t *step, m *chat.Message) (siblings []*chat.Message, err error) {
	if m.AlbumID() == "" {
		return nil, nil
	}
	at := storage.PositionOf(m)
	for _, q := range []storage.PageQuery{
		{Chat: m.Chat, Before: at, Limit: albumReach},
		{Chat: m.Chat, After: at, Limit: albumReach, Oldest: true},
	} {
		page, err := t.Page(q)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Messages {
			if m.SameAlbum(o) {
				siblings = append(siblings, o)
			}
		}
	}
	slices.SortFunc(siblings, chat.Compare)
	return siblings, nil
}

// count stores a message of somebody else with what it counts. Of the images of
// an album the first one that was not read counts for all, and calls for us
// when any of them does.
func (s *Stack) count(t *step, room chat.Chat, m *chat.Message, calls bool) error {
	siblings, err := s.album(t, m)
	if err != nil {
		return err
	}
	siblings = slices.DeleteFunc(siblings, func(o *chat.Message) bool {
		return o.Deleted != nil || o.State != chat.Received || !room.Unread(o.Clock)
	})
	if m.Deleted != nil || !room.Unread(m.Clock) || len(siblings) == 0 {
		return t.PutMessageAs(m, storage.Notice{Unread: true, Mention: calls})
	}
	for _, o := range siblings {
		answered, err := s.repliedTo(t, o)
		if err != nil {
			return err
		}
		calls = calls || o.CallsFor(s.Self(), answered)
	}
	first, all := siblings[0], storage.Notice{Unread: true, Mention: calls}
	if chat.Compare(m, first) < 0 {
		if err := t.PutMessageAs(first, storage.Notice{}); err != nil {
			return err
		}
		return t.PutMessageAs(m, all)
	}
	if err := t.PutMessageAs(m, storage.Notice{}); err != nil {
		return err
	}
	return t.PutMessageAs(first, all)
}
