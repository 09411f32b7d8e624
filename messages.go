package parley

import (
	"context"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/reaction"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
)

// Message is a message of a chat, as API and command line show it. Pictures
// and recordings are described in it; their bytes are had by
// [Client.MessageImage], [Client.LinkImage] and [Client.MessageAudio].
type Message struct {
	ID message.ID `json:"id"`
	// Chat is the other party's key 0x04… in a one-to-one chat, else the
	// group's id.
	Chat string `json:"chat"`
	// From prints as zQ3sh…; FromKey is the same as 0x04….
	From    key.Public `json:"from"`
	FromKey string     `json:"from_key"`
	// Author is what the author says of themselves in the message.
	Author      chat.Author `json:"author,omitzero"`
	Text        string      `json:"text"`
	ContentType string      `json:"content_type"`
	// Clock orders the messages of a chat; Timestamp is the sender's Unix time
	// in milliseconds.
	Clock     uint64 `json:"clock"`
	Timestamp uint64 `json:"timestamp"`
	// State is received, or pending, sent, delivered, failed for our own.
	State chat.State `json:"state"`
	// ReplyTo is the id of the message this one answers, Thread that of the
	// message whose thread it is in.
	ReplyTo string `json:"reply_to,omitempty"`
	Thread  string `json:"thread,omitempty"`
	// Mentions are those whom the text calls by key; MentionsAll tells that it
	// calls everybody.
	Mentions    []Person `json:"mentions,omitempty"`
	MentionsAll bool     `json:"mentions_all,omitempty"`

	Sticker     *chat.Sticker     `json:"sticker,omitempty"`
	Image       *Image            `json:"image,omitempty"`
	Audio       *Audio            `json:"audio,omitempty"`
	Bridge      *chat.Bridge      `json:"bridge,omitempty"`
	Discord     *chat.Discord     `json:"discord,omitempty"`
	Transaction *chat.Transaction `json:"transaction,omitempty"`
	Payments    []chat.Payment    `json:"payments,omitempty"`
	// Links and StatusLinks are previews that the author has made.
	Links       []Link       `json:"links,omitempty"`
	StatusLinks []StatusLink `json:"status_links,omitempty"`

	Reactions []Reaction `json:"reactions"`
	Edited    bool       `json:"edited"`
	// EditedClock is that of the edit shown.
	EditedClock uint64 `json:"edited_clock,omitempty"`
	Deleted     bool   `json:"deleted"`
	// DeletedBy deleted it for everyone; DeletedForMe: it was deleted on this
	// account alone.
	DeletedBy    *Person `json:"deleted_by,omitempty"`
	DeletedForMe bool    `json:"deleted_for_me,omitempty"`
	Pinned       bool    `json:"pinned,omitempty"`
	// Album are the ids of all messages that one call of Send has made, when
	// there are several.
	Album []message.ID `json:"album,omitempty"`
}

// Reaction is what a message shows of its reactions with one emoji.
type Reaction struct {
	// Emoji is the emoji itself, Code its code points as 1f44d.
	Emoji string         `json:"emoji"`
	Code  reaction.Emoji `json:"code"`
	Count int            `json:"count"`
	// Who reacted; Self tells whether we did.
	Who  []Person `json:"who"`
	Self bool     `json:"self"`
}

func newMessage(m *chat.Message) Message {
	shown := Message{
		ID:          m.ID,
		Chat:        m.Chat,
		From:        m.From,
		FromKey:     m.From.Hex(),
		Author:      m.Author,
		Text:        m.Text,
		ContentType: m.ContentType,
		Clock:       m.Clock,
		Timestamp:   m.Timestamp,
		State:       m.State,
		ReplyTo:     m.ReplyTo,
		Thread:      m.Thread,
		Mentions:    newPeople(m.Mentions),
		MentionsAll: m.MentionsAll,
		Sticker:     m.Sticker,
		Image:       newImage(m.Image),
		Audio:       newAudio(m.Audio),
		Bridge:      m.Bridge,
		Discord:     newDiscord(m.Discord),
		Transaction: m.Transaction,
		Payments:    m.Payments,
		Links:       newLinks(m.Links),
		StatusLinks: newStatusLinks(m.StatusLinks),
		Reactions:   []Reaction{},
		Edited:      m.Edited != nil,
		Deleted:     m.Deleted != nil,
	}
	if m.Edited != nil {
		shown.EditedClock = m.Edited.Clock
	}
	if m.Deleted != nil {
		shown.DeletedForMe = m.Deleted.ForMe
		if !m.Deleted.By.IsZero() {
			by := newPerson(m.Deleted.By)
			shown.DeletedBy = &by
		}
	}
	return shown
}

// show completes messages with what others made of them: reactions and pins.
func (c *Client) show(all []*chat.Message) ([]Message, error) {
	ids := make([]message.ID, len(all))
	for i, m := range all {
		ids[i] = m.ID
	}
	reactions, err := c.stack.Reactions(ids)
	if err != nil {
		return nil, err
	}
	pinned := make(map[message.ID]bool)
	looked := make(map[string]bool) // by chat
	shown := make([]Message, 0, len(all))
	for _, m := range all {
		if !looked[m.Chat] {
			looked[m.Chat] = true
			held, err := c.stack.Pins(m.Chat)
			if err != nil {
				return nil, err
			}
			for _, p := range held {
				pinned[p.Message] = true
			}
		}
		one := newMessage(m)
		one.Pinned = pinned[m.ID]
		for _, r := range reactions[m.ID] {
			one.Reactions = append(one.Reactions, Reaction{r.Emoji, r.Code, r.Count, newPeople(r.Who), r.Self})
		}
		shown = append(shown, one)
	}
	return shown, nil
}

func (c *Client) showOne(m *chat.Message) (Message, error) {
	shown, err := c.show([]*chat.Message{m})
	if err != nil {
		return Message{}, err
	}
	return shown[0], nil
}

// SendOptions are what a message can carry besides its text.
type SendOptions struct {
	// ReplyTo is the id of the message this one answers.
	ReplyTo string
	// Images are encoded pictures: PNG, JPEG, WebP or GIF. What is sent of them
	// is smaller and without metadata. Each is a message, several an album.
	Images [][]byte
	// Sticker and Audio exclude each other and images.
	Sticker *chat.Sticker
	Audio   *chat.Audio
	// Preview has the links of the text looked up from this machine, so that
	// the message shows where they lead. Whoever runs what is linked to learns
	// of it. A link that cannot be looked up goes without.
	Preview bool
}

// Send says something in a chat, which ResolveChat finds. When it returns the
// message is on disk and sealed, in state pending; the rest happens by itself.
// Of an album it returns the first message, which has the text.
func (c *Client) Send(ctx context.Context, to, text string, options SendOptions) (Message, error) {
	id, err := c.ResolveChat(ctx, to)
	if err != nil {
		return Message{}, err
	}
	if id == chat.OneToOneID(c.Self()) {
		return Message{}, errSelf()
	}
	if n := len(options.Images); n > chat.MaxAlbum { // before any of them is decoded
		return Message{}, fault.New(fault.Usage, "%d pictures are too many for one message, %d at most", n, chat.MaxAlbum)
	}
	content := stack.Content{
		Text: text, ReplyTo: options.ReplyTo,
		Images: options.Images, Sticker: options.Sticker, Audio: options.Audio,
	}
	if options.Preview {
		content.Links, content.StatusLinks = c.previews(ctx, text)
	}
	sent, err := c.stack.Say(id, content)
	if err != nil {
		return Message{}, err
	}
	first := newMessage(sent[0])
	if len(sent) > 1 {
		for _, m := range sent {
			first.Album = append(first.Album, m.ID)
		}
	}
	return first, nil
}

// Messages returns the newest limit messages (0: all) of a chat, or of all
// chats when chat is empty, that are newer than since (a clock in
// milliseconds), in order. For more than a few see [Client.Page].
func (c *Client) Messages(ctx context.Context, who string, since uint64, limit int) ([]Message, error) {
	q, err := c.pageQuery(ctx, PageQuery{Chat: who, Since: since})
	if err != nil {
		return nil, err
	}
	var newest []*chat.Message
	for ctx.Err() == nil {
		q.Limit = storage.MaxPage
		if limit > 0 {
			q.Limit = min(limit-len(newest), storage.MaxPage)
		}
		page, err := c.stack.Page(q)
		if err != nil {
			return nil, err
		}
		newest = append(newest, page.Messages...)
		if page.Next.IsZero() || limit > 0 && len(newest) >= limit {
			break
		}
		q.Before = page.Next
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.Reverse(newest)
	return c.show(newest)
}

// PageQuery asks for a page of messages.
type PageQuery struct {
	// Chat is what ResolveChat takes; empty for the messages of all chats.
	Chat string
	// Before and After bound the page; they are what a [MessagePage] gave as
	// Next.
	Before, After string
	// Since, a clock in milliseconds, bounds it where After does not.
	Since uint64
	// Oldest asks for the messages next to After or Since instead of the
	// newest ones.
	Oldest bool
	// Limit is how many at most; 0 for 50, never more than 500.
	Limit int
}

// MessagePage is a page of messages, in order.
type MessagePage struct {
	Messages []Message `json:"messages"`
	// Next asks for the page that follows: as Before of the query, or as After
	// when the oldest were asked for. It is empty when there is no more. A page
	// may be shorter than its limit, and even empty, and have a next one.
	Next string `json:"next,omitempty"`
}

// Page returns a page of messages. What comes or goes meanwhile does not shift
// it: going on from page to page visits every message once.
func (c *Client) Page(ctx context.Context, q PageQuery) (MessagePage, error) {
	query, err := c.pageQuery(ctx, q)
	if err != nil {
		return MessagePage{}, err
	}
	page, err := c.stack.Page(query)
	if err != nil {
		return MessagePage{}, err
	}
	slices.Reverse(page.Messages)
	shown, err := c.show(page.Messages)
	return MessagePage{shown, page.Next.String()}, err
}

// pageQuery reads what people ask for.
func (c *Client) pageQuery(ctx context.Context, q PageQuery) (out storage.PageQuery, err error) {
	if q.Limit < 0 {
		return out, fault.New(fault.Usage, "the limit is below zero")
	}
	out.Oldest, out.Limit = q.Oldest, q.Limit
	if q.Chat != "" {
		if out.Chat, err = c.ResolveChat(ctx, q.Chat); err != nil {
			return out, err
		}
	}
	if out.Before, err = storage.ParsePosition(q.Before); err != nil {
		return out, fault.Wrap(fault.Usage, "before", err)
	}
	if out.After, err = storage.ParsePosition(q.After); err != nil {
		return out, fault.Wrap(fault.Usage, "after", err)
	}
	if q.After == "" && q.Since > 0 {
		out.After = storage.AfterClock(q.Since)
	}
	return out, nil
}

// Message returns one message by its id 0x….
func (c *Client) Message(_ context.Context, id string) (Message, error) {
	parsed, err := messageID(id)
	if err != nil {
		return Message{}, err
	}
	m, err := c.stack.Message(parsed)
	if err != nil {
		return Message{}, err
	}
	return c.showOne(m)
}

// SearchQuery asks for messages by their words.
type SearchQuery struct {
	// Text holds the words, all of which must be there. A word is found where a
	// word begins with it; what stands in double quotes is found as it is. Case
	// and accents do not count.
	Text string
	// Chat and From narrow the search; they are what ResolveChat and Resolve
	// take.
	Chat, From string
	// Next is that of the page before.
	Next string
	// Limit is how many at most; 0 for 50, never more than 500.
	Limit int
}

// SearchPage is a page of what a search found.
type SearchPage struct {
	// Messages are newest first.
	Messages []Message `json:"messages"`
	// Next asks for the page that follows, empty when there is none. A page
	// may be shorter than its limit, and even empty, and have a next one.
	Next string `json:"next,omitempty"`
}

// Search finds messages by their words, in all chats or in one.
func (c *Client) Search(ctx context.Context, q SearchQuery) (SearchPage, error) {
	query := storage.Query{Text: q.Text, Next: q.Next, Limit: q.Limit}
	var err error
	if q.Limit < 0 {
		return SearchPage{}, fault.New(fault.Usage, "the limit is below zero")
	}
	if q.Chat != "" {
		if query.Chat, err = c.ResolveChat(ctx, q.Chat); err != nil {
			return SearchPage{}, err
		}
	}
	if q.From != "" {
		if query.From, err = c.Resolve(ctx, q.From); err != nil {
			return SearchPage{}, err
		}
	}
	found, err := c.stack.Search(query)
	if err != nil {
		return SearchPage{}, positionError("searching", err)
	}
	shown, err := c.show(found.Messages)
	return SearchPage{shown, found.Next}, err
}
