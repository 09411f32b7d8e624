package stack

import (
	"errors"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/audio"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Content is what is said: a text, pictures with or without one, a sticker or
// a recording.
type Content struct {
	Text string
	// ReplyTo is the id of the message answered, empty for none.
	ReplyTo string
	// Images are encoded pictures in any form that app/picture reads; what is
	// sent of them is smaller and without metadata. Several are an album.
	Images [][]byte
	// Sticker and Audio exclude each other and images. Of a recording the sound
	// alone is sent; format and duration are found there.
	Sticker *chat.Sticker
	Audio   *chat.Audio
	// Links and StatusLinks are previews of what the text links to.
	Links       []chat.Link
	StatusLinks []chat.StatusLink
}

// SendText says a text to somebody.
func (s *Stack) SendText(to key.Public, text, replyTo string) (*chat.Message, error) {
	sent, err := s.Say(chat.OneToOneID(to), Content{Text: text, ReplyTo: replyTo})
	if err != nil {
		return nil, err
	}
	return sent[0], nil
}

// Say says something in a chat. When it returns, the messages (one, or one for
// each picture), their sealed envelopes and their events are on disk.
func (s *Stack) Say(id string, c Content) (sent []*chat.Message, err error) {
	var images []chat.Image
	for _, raw := range c.Images {
		p, err := picture.Prepare(raw)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "the picture cannot be sent", err)
		}
		images = append(images, chat.Image{
			Format: string(p.Format), Payload: p.Data, Width: uint32(p.Width), Height: uint32(p.Height),
		})
	}
	answered, err := s.answered(c.ReplyTo)
	if err != nil {
		return nil, err
	}
	err = s.update(func(t *step) error {
		sent = nil
		a, err := s.audience(t, id)
		if err != nil {
			return err
		}
		if err := s.inChat(t, answered, a.room.ID); err != nil {
			return err
		}
		d := s.draft(t, a)
		d.Text, d.ReplyTo, d.Links, d.StatusLinks = c.Text, answered, c.Links, c.StatusLinks
		all, err := s.compose(d, c, images)
		if err != nil {
			return fault.Wrap(fault.Usage, "the message cannot be sent", err)
		}
		for _, m := range all {
			one, err := s.utter(t, a, m)
			if err != nil {
				return err
			}
			sent = append(sent, one)
		}
		return nil
	})
	return sent, err
}

// answered reads the id of a message that is to be answered.
func (s *Stack) answered(replyTo string) (*message.ID, error) {
	if replyTo == "" {
		return nil, nil
	}
	id, err := message.ParseID(replyTo)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "reading the id of the message to reply to", err)
	}
	_, err = s.Message(id)
	return &id, err
}

// inChat refuses to answer a message of another chat: nobody there would know
// what is answered.
func (s *Stack) inChat(t *step, answered *message.ID, chat string) error {
	if answered == nil {
		return nil
	}
	m, ok, err := t.Message(*answered)
	if err == nil && (!ok || m.Chat != chat) {
		err = fault.New(fault.Usage, "message %s is not in this chat", answered)
	}
	if err == nil {
		err = said(m)
	}
	return err
}

var errMixed = errors.New("pictures, a sticker and a recording are messages of their own")

// compose builds the messages of some content.
func (s *Stack) compose(d chat.Draft, c Content, images []chat.Image) ([]*apppb.ChatMessage, error) {
	var m *apppb.ChatMessage
	var err error
	switch {
	case len(images) > 0 && c.Sticker == nil && c.Audio == nil:
		return chat.ImageMessages(d, images, s.rand)
	case len(images) > 0 || c.Sticker != nil && c.Audio != nil:
		return nil, errMixed
	case c.Sticker != nil:
		m, err = chat.StickerMessage(d, *c.Sticker)
	case c.Audio != nil:
		m, err = soundMessage(d, *c.Audio)
	default:
		m, err = chat.TextMessage(d)
	}
	return []*apppb.ChatMessage{m}, err
}

// soundMessage builds the message of a recording: of its sound alone, and as what
// that is, whatever was said of it.
func soundMessage(d chat.Draft, a chat.Audio) (*apppb.ChatMessage, error) {
	r, err := audio.Clean(a.Payload)
	if err != nil {
		return nil, err
	}
	a.Format, a.DurationMS, a.Payload = string(r.Format), uint64(r.Duration.Milliseconds()), r.Data
	return chat.AudioMessage(d, a)
}

// keep stores a new message of a chat, tells of it, and handles what has waited
// for it.
func (s *Stack) keep(t *step, place chat.Place, m *chat.Message) error {
	room, ok, err := t.Chat(m.Chat)
	if err != nil {
		return err
	}
	if !ok {
		room = chat.Chat{ID: place.ID, Kind: place.Kind, Peer: place.Peer}
	}
	if room.Cleared(m.Clock) {
		return nil
	}
	if active, err := s.activates(t, place); err != nil {
		return err
	} else if active && !room.Active {
		room.Active = true
		t.resubscribe = true // to the contact code of the other
	}
	if err := t.PutChat(room.Saw(m.Clock)); err != nil {
		return err
	}
	if m, err = s.withAlbum(t, m); err != nil {
		return err
	}
	if err := s.store(t, place, m); err != nil {
		return err
	}
	if err := s.messageEvent(t, EventMessage, m); err != nil {
		return err
	}
	return s.arrived(t, message.MessageTarget(m.ID))
}

// activates tells whether a message brings its chat into the list: our own, and
// that of somebody we added.
func (s *Stack) activates(t *step, place chat.Place) (bool, error) {
	switch place.Kind {
	case message.OneToOne:
	case message.Community:
		return true, nil // we hear those that we follow alone
	default:
		return place.Own, nil
	}
	c, err := t.Contact(place.Peer)
	return !c.Blocked && (place.Own || c.Local == contact.Sent), err
}

// store stores a message that is new or changed, and what it is to us: unread,
// a call for us, an entry in the activity centre.
func (s *Stack) store(t *step, place chat.Place, m *chat.Message) error {
	if place.Own || m.State != chat.Received {
		return t.PutMessageAs(m, storage.Notice{}) // what we said on another device we have read
	}
	room, _, err := t.Chat(m.Chat)
	if err != nil {
		return err
	}
	answered, err := s.repliedTo(t, m)
	if err != nil {
		return err
	}
	calls := m.CallsFor(s.Self(), answered)
	if err := s.count(t, room, m, calls); err != nil || m.Deleted != nil {
		return err
	}
	if place.Kind == message.OneToOne {
		return s.noteRequest(t, m)
	}
	// Who has not joined yet, or wants to be left alone, is not called.
	if !room.Active || room.IsMuted(t.now) {
		return nil
	}
	reply := answered != nil && answered.From == s.Self()
	entry, ok := activity.OfMessage(m, activity.Circumstances{MentionsMe: calls && !reply, ReplyToMine: calls && reply})
	switch {
	case ok:
		return s.note(t, entry)
	case m.Edited != nil:
		return t.DeleteActivity(activity.MessageID(m.ID)) // it called for us before
	}
	return nil
}

// noteRequest puts a contact request into the activity centre; between two
// everything else is for the other anyway. One that was answered before it came
// is there as answered, one of somebody dismissed is not.
func (s *Stack) noteRequest(t *step, m *chat.Message) error {
	if m.ContentType != chat.ContentType(apppb.ChatMessage_CONTACT_REQUEST) {
		return nil
	}
	c, err := t.Contact(m.From)
	if err != nil {
		return err
	}
	entry := activity.OfContactRequest(m.From, m.Chat, m.ID.String(), m.Clock, m.Text)
	switch c.State() {
	case contact.StateMutual:
		entry.State = activity.Accepted
	case contact.StateReceived:
	default:
		return nil
	}
	return s.note(t, entry)
}

// repliedTo returns the message that another answers, nil if it is not here.
func (s *Stack) repliedTo(t *step, m *chat.Message) (*chat.Message, error) {
	id, err := message.ParseID(m.ReplyTo)
	if err != nil {
		return nil, nil
	}
	answered, ok, err := t.Message(id)
	if err != nil || !ok || answered.Chat != m.Chat || answered.IsSystem() {
		return nil, err
	}
	return answered, nil
}

// note puts an entry into the activity centre and tells of it if it is news.
func (s *Stack) note(t *step, e activity.Entry) error {
	before, known, err := t.Activity(e.ID)
	if err != nil {
		return err
	}
	after, err := t.PutActivity(e)
	if err != nil || known && before == after {
		return err
	}
	return t.event(EventActivity, view.NewActivity(after))
}

// Messages returns what people said in a chat in order, or in all chats, chat by
// chat, when id is empty; without those who are blocked, and without the
// history of groups, which pages have.
func (s *Stack) Messages(id string) (all []*chat.Message, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		if all, err = tx.Messages(id); err != nil {
			return err
		}
		all, err = visible(tx, slices.DeleteFunc(all, (*chat.Message).IsSystem))
		return err
	})
	return all, err
}

// Message returns a message by its id.
func (s *Stack) Message(id message.ID) (m *chat.Message, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		var ok bool
		if m, ok, err = tx.Message(id); err == nil && !ok {
			err = fault.New(fault.NotFound, "there is no message %s", id)
		}
		return err
	})
	return m, err
}
