package parley

import (
	"context"
	"errors"
	"unicode/utf8"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/storage"
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
		if err != nil {
			return nil, err
		}
		switch room.Kind {
		case message.PrivateGroup:
			g, err := c.stack.Group(id)
			if err != nil {
				return nil, err
			}
			keys = g.Members
		case message.Community:
			return c.callableMembers(id)
		default:
			return nil, nil
		}
	}
	for _, pub := range keys {
		if pub == c.Self() {
			continue
		}
		known, err := c.stack.Contact(pub)
		if err != nil {
			return nil, err
		}
		people = append(people, newCallable(known))
	}
	return people, nil
}

func newCallable(known contact.Contact) chat.Callable {
	return chat.Callable{
		Key: known.Key, Sure: []string{known.Nickname, verified(known)}, Said: []string{known.DisplayName, account.Alias(known.Key)},
	}
}

// callableMembers returns the other members of a channel's community. Most are
// strangers, who say what they are called with what they write: those who wrote
// lately can be called by that.
func (c *Client) callableMembers(id string) (people []chat.Callable, err error) {
	k, _, err := community.SplitChannelID(id)
	if err != nil {
		return nil, err
	}
	known, err := c.stack.Community(k)
	if err != nil {
		return nil, err
	}
	latest, err := c.stack.Page(storage.PageQuery{Chat: id, Limit: storage.MaxPage})
	if err != nil {
		return nil, err
	}
	said := make(map[key.Public]string)
	for _, m := range latest.Messages {
		said[m.From] = m.Author.DisplayName
	}
	err = c.db.View(func(tx *storage.Tx) error {
		for _, m := range known.Description.Members {
			pub, err := m.ID.Key()
			if err != nil || pub == c.Self() {
				continue
			}
			one, err := tx.Contact(pub)
			if err != nil {
				return err
			}
			called := newCallable(one)
			if name := said[pub]; name != "" && one.DisplayName == "" {
				called.Said = append([]string{name}, called.Said...)
			}
			people = append(people, called)
		}
		return nil
	})
	return people, err
}
