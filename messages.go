package parley

import (
	"context"
	"slices"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Message is a message of a chat. Pictures and recordings are described in it;
// their bytes are had by [Client.MessageImage], [Client.LinkImage] and
// [Client.MessageAudio].
type Message = view.Message

// Reaction is what a message shows of its reactions with one emoji.
type Reaction = view.Reaction

func (c *Client) showOne(m *chat.Message) (Message, error) {
	shown, err := c.stack.Show([]*chat.Message{m})
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
	// Mention has those called by @ and a name in the text mentioned: @Ada
	// Lovelace, @ada.stateofus.eth, @Hard Tame Brownbutterfly, @zQ3sh….
	// Without it only what is a mention already, @0x04…, is one.
	Mention bool
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
	if options.Mention {
		if text, err = c.byName(id, text); err != nil {
			return Message{}, err
		}
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
	first := view.NewMessage(sent[0])
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
	return c.stack.Show(newest)
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
	// Around is the id of a message that the page is to be about, such as one
	// that was found: with what was said before and after it in its chat. Of
	// the others only Chat, which must be that chat, and Limit go with it.
	Around string
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
	// Older and Newer are for pages about a message, instead of Next: the one
	// asks for the page before as Before of a query, the other for the page
	// behind as After of one for the oldest.
	Older string `json:"older,omitempty"`
	Newer string `json:"newer,omitempty"`
}

// Page returns a page of messages. What comes or goes meanwhile does not shift
// it: going on from page to page visits every message once.
func (c *Client) Page(ctx context.Context, q PageQuery) (MessagePage, error) {
	if q.Around != "" {
		return c.pageAround(ctx, q)
	}
	query, err := c.pageQuery(ctx, q)
	if err != nil {
		return MessagePage{}, err
	}
	page, err := c.stack.Page(query)
	if err != nil {
		return MessagePage{}, err
	}
	slices.Reverse(page.Messages)
	shown, err := c.stack.Show(page.Messages)
	return MessagePage{Messages: shown, Next: page.Next.String()}, err
}

func (c *Client) pageAround(ctx context.Context, q PageQuery) (MessagePage, error) {
	only := PageQuery{Chat: q.Chat, Around: q.Around, Limit: q.Limit}
	if q != only {
		return MessagePage{}, fault.New(fault.Usage, "a page about a message is not bounded otherwise")
	}
	if q.Limit < 0 {
		return MessagePage{}, fault.New(fault.Usage, "the limit is below zero")
	}
	m, err := c.message(q.Around)
	if err != nil {
		return MessagePage{}, err
	}
	if q.Chat != "" {
		id, err := c.ResolveChat(ctx, q.Chat)
		if err != nil {
			return MessagePage{}, err
		}
		if id != m.Chat {
			return MessagePage{}, fault.New(fault.Usage, "message %s is not in this chat", q.Around)
		}
	}
	page, err := c.stack.PageAround(m.ID, q.Limit)
	if err != nil {
		return MessagePage{}, err
	}
	shown, err := c.stack.Show(page.Messages)
	return MessagePage{Messages: shown, Older: page.Older.String(), Newer: page.Newer.String()}, err
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
	shown, err := c.stack.Show(found.Messages)
	return SearchPage{shown, found.Next}, err
}
