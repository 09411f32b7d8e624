package parley

import (
	"context"
	"errors"
	"unicode/utf8"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
)

// Mentionable is somebody whom a text that is being typed can mention.
type Mentionable struct {
	Person
	Name string `json:"name"`
	// Insert takes the place of the @ and of what follows it in the text, which
	// is to be sent with Mention set.
	Insert string `json:"insert"`
}

// maxMentionable is how many people are offered at a time.
const maxMentionable = 20

// Mentionable returns who in a chat may be meant by the mention that a text
// ends in: those of whom a name, or a word in it, begins with what follows the
// last @.
func (c *Client) Mentionable(ctx context.Context, to, text string) ([]Mentionable, error) {
	id, err := c.ResolveChat(ctx, to)
	if err != nil {
		return nil, err
	}
	people, err := c.callable(id)
	if err != nil {
		return nil, err
	}
	_, found := chat.Completions(text, people, maxMentionable)
	all := make([]Mentionable, 0, len(found))
	for _, s := range found {
		all = append(all, Mentionable{newPerson(s.Key), s.Name, s.Insert})
	}
	return all, nil
}

// byName turns the names that a text mentions people by into their keys.
func (c *Client) byName(id, text string) (string, error) {
	if utf8.RuneCountInString(text) > chat.MaxText {
		return text, nil // which is refused for that
	}
	people, err := c.callable(id)
	if err != nil {
		return "", err
	}
	text, err = chat.CallByName(text, people)
	if errors.Is(err, chat.ErrNameShared) {
		return "", fault.New(fault.Conflict, "mentioning by name: %v", err).WithHint("mention them by key: @zQ3sh…")
	}
	return text, err
}

// callable returns the others in a chat with their names.
func (c *Client) callable(id string) (people []chat.Callable, err error) {
	var keys []key.Public
	if peer, err := key.ParsePublic(id); err == nil {
		keys = append(keys, peer)
	} else {
		room, err := c.stack.Chat(id)
		if err != nil || room.Kind != message.PrivateGroup {
			return nil, err
		}
		g, err := c.stack.Group(id)
		if err != nil {
			return nil, err
		}
		keys = g.Members
	}
	for _, pub := range keys {
		if pub == c.Self() {
			continue
		}
		known, err := c.stack.Contact(pub)
		if err != nil {
			return nil, err
		}
		people = append(people, chat.Callable{
			Key: pub, Sure: []string{known.Nickname, verified(known)}, Said: []string{known.DisplayName, account.Alias(pub)},
		})
	}
	return people, nil
}
