package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
)

// book is what one participant said, got and was told.
type book struct {
	name string
	skew time.Duration
	// key is the participant's, as in events.
	key string
	// utterances are by text, which nobody says twice.
	utterances map[string]*utterance
	// got counts texts of others that came, own those that are kept as sent.
	got map[string][]time.Time
	own map[string]bool
	// acked is when the first recipient acknowledged, by text; texts are those
	// of own messages by id.
	acked map[string]time.Time
	texts map[string]string
	from  map[string]string

	cursor uint64
	chain  [sha256.Size]byte
	// trace, when it is kept, has what the chain is made of.
	trace     []string
	keepTrace bool

	crashes, overflow, silent int
	refused                   []string
	failed                    int
}

// utterance is something that was said.
type utterance struct {
	from int
	to   []int
	text string
	at   time.Time
	// certain: the client said that it has it. Otherwise it died over it.
	certain bool
}

func newBook(name string, key string, skew time.Duration) *book {
	return &book{
		name: name, key: key, skew: skew, utterances: map[string]*utterance{}, got: map[string][]time.Time{}, own: map[string]bool{},
		acked: map[string]time.Time{}, texts: map[string]string{}, from: map[string]string{},
	}
}

func (b *book) said(u *utterance) { b.utterances[u.text] = u }

// read takes the events that came since the last time.
func (b *book) read(a actor) error {
	for {
		events, err := a.Events(b.cursor)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Seq != b.cursor+1 {
				return fmt.Errorf("%s: event %d follows %d", b.name, e.Seq, b.cursor)
			}
			b.cursor = e.Seq
			if err := b.note(e); err != nil {
				return fmt.Errorf("%s: event %d: %w", b.name, e.Seq, err)
			}
		}
		if len(events) == 0 {
			return nil
		}
	}
}

// content is what the data of events has that matters here.
type content struct {
	// Of a message.
	ID          string `json:"id"`
	Chat        string `json:"chat"`
	From        string `json:"from"`
	ContentType string `json:"content_type"`
	Text        string `json:"text"`
	Clock       uint64 `json:"clock"`
	State       string `json:"state"`
	// Of a message's state.
	Peers int    `json:"peers"`
	By    string `json:"by"`
	// Of a frame that cannot be read.
	Cause string `json:"cause"`
}

// note adds an event to the history. What happened, to what, when and in which
// order is history; what depends on chance in cryptography is not: the hash of
// an envelope that cannot be read. Nor is how many envelopes a fetch found to be
// new: one that another part of the client has read meanwhile may count or not.
func (b *book) note(e storage.Event) error {
	at := e.Time.Add(-b.skew).Truncate(tick)
	what := string(e.Data)
	var c content
	switch e.Type {
	case stack.EventMessage, stack.EventMessageState, stack.EventUndecryptable:
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return err
		}
	}
	switch e.Type {
	case stack.EventMessage:
		what = fmt.Sprint(c.Chat, " ", c.From, " ", c.ContentType, " ", c.Text, " ", c.Clock, " ", c.State)
		b.texts[c.ID] = c.Text
		switch {
		case c.ContentType != "text":
		case c.State == string(chat.Received):
			b.got[c.Text] = append(b.got[c.Text], at)
			b.from[c.Text] = c.From
		default:
			b.own[c.Text] = true
		}
	case stack.EventMessageState:
		text := b.texts[c.ID]
		what = fmt.Sprint(text, " ", c.State, " ", c.Peers, " ", c.By)
		switch chat.State(c.State) {
		case chat.Delivered:
			b.acked[text] = at
		case chat.Failed:
			b.failed++
		}
	case stack.EventUndecryptable:
		what = fmt.Sprint(c.From, " ", c.Cause)
	case stack.EventHistory:
		return nil // how a fetch went, which is nothing that happened
	}
	line := fmt.Sprintf("%s %s %s", at.UTC().Format(ticks), e.Type, what)
	if b.keepTrace {
		b.trace = append(b.trace, line)
	}
	h := sha256.New()
	h.Write(b.chain[:])
	h.Write([]byte(line))
	h.Sum(b.chain[:0])
	return nil
}

// History is the end of the chain.
func (b *book) history() string { return hex.EncodeToString(b.chain[:]) }

// chainOf is one hash over all histories.
func chainOf(books []*book) string {
	h := sha256.New()
	for _, b := range books {
		fmt.Fprintf(h, "%s %x\n", b.name, b.chain)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ticks writes times in histories.
const ticks = "2006-01-02T15:04:05.000"
