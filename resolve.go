package parley

import (
	"context"
	"strings"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/ens"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/storage"
)

// Resolve turns what people write for somebody into a key: any form of a
// public key, a share URL, the name or nickname of a contact, or an ENS name,
// which is looked up when no contact is called so.
func (c *Client) Resolve(ctx context.Context, text string) (key.Public, error) {
	text, pub := written(text)
	if !pub.IsZero() {
		return pub, nil
	}
	found, err := c.called(text)
	if err != nil {
		return key.Public{}, err
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if name, ok := ensName(text); ok {
			return c.owner(ctx, name)
		}
		return key.Public{}, fault.New(fault.NotFound, "nobody is known as %q", text).
			WithHint("give a key (zQ3sh… or 0x04…), a share URL or the name of a contact")
	}
	return key.Public{}, fault.New(fault.Conflict, "%d contacts are called %q", len(found), text).
		WithHint("give the key, as `parley contact list` shows it")
}

// ResolveChat turns what people write for a chat into its id: whatever Resolve
// takes for the chat with somebody, the id or the name of a group, and for a
// channel its id, its share URL, or COMMUNITY/CHANNEL by names or ids.
func (c *Client) ResolveChat(ctx context.Context, text string) (string, error) {
	if id := writtenChannel(text); id != "" {
		return id, nil
	}
	text, pub := written(text)
	if !pub.IsZero() {
		if _, err := c.stack.Community(pub); err == nil {
			return "", fault.New(fault.Usage, "%s is a community, where one speaks in channels", pub.CompressedHex()).
				WithHint("write COMMUNITY/CHANNEL, as `parley community show` shows them")
		}
		return chat.OneToOneID(pub), nil
	}
	groups, err := c.groupsCalled(text)
	if err != nil {
		return "", err
	}
	if len(groups) == 1 && strings.EqualFold(groups[0], text) { // an id is nothing else
		return groups[0], nil
	}
	people, err := c.called(text)
	if err != nil {
		return "", err
	}
	var found []string
	for _, pub := range people {
		found = append(found, chat.OneToOneID(pub))
	}
	found = append(found, groups...)
	if len(found) == 0 {
		if found, err = c.channelsCalled(text); err != nil {
			return "", err
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if name, ok := ensName(text); ok {
			pub, err := c.owner(ctx, name)
			return chat.OneToOneID(pub), err
		}
		return "", fault.New(fault.NotFound, "nobody is known as %q, and no group is called so", text).
			WithHint("give a key (zQ3sh… or 0x04…), a share URL, the name of a contact, the id or name of a group, or COMMUNITY/CHANNEL")
	}
	return "", fault.New(fault.Conflict, "%d chats are called %q", len(found), text).
		WithHint("give the key or the id, as `parley contact list` and `parley group list` show it")
}

// resolveGroup turns the id or the name of a group into its id.
func (c *Client) resolveGroup(text string) (string, error) {
	found, err := c.groupsCalled(text)
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fault.New(fault.NotFound, "no group is called %q", text).WithHint("see `parley group list`")
	}
	return "", fault.New(fault.Conflict, "%d groups are called %q", len(found), text).
		WithHint("give the id, as `parley group list` shows it")
}

// groupsCalled returns the group of an id, else those of a name: those that we
// are in, else those that we were in. It looks at chats, which are read faster
// than groups.
func (c *Client) groupsCalled(text string) (ids []string, err error) {
	if text == "" {
		return nil, nil
	}
	err = c.db.View(func(tx *storage.Tx) error {
		room, ok, err := tx.Chat(text)
		if err != nil || ok && room.Kind == message.PrivateGroup {
			ids = append(ids, text)
			return err
		}
		chats, err := tx.Chats()
		for _, room := range chats {
			if room.Kind != message.PrivateGroup {
				continue
			}
			if strings.EqualFold(room.ID, text) {
				ids = []string{room.ID}
				break
			}
			if strings.EqualFold(room.Name, text) {
				ids = append(ids, room.ID)
			}
		}
		return err
	})
	if err != nil || len(ids) < 2 {
		return ids, err
	}
	var present []string
	for _, id := range ids {
		g, err := c.stack.Group(id)
		if err != nil {
			return nil, err
		}
		if g.IsMember(c.Self()) {
			present = append(present, id)
		}
	}
	if len(present) == 0 {
		return ids, nil
	}
	return present, nil
}

// called returns the contacts of a name.
func (c *Client) called(name string) (found []key.Public, err error) {
	contacts, err := c.stack.Contacts()
	for _, known := range contacts {
		if named(known, name) {
			found = append(found, known.Key)
		}
	}
	return found, err
}

// written reads a key in any form, or out of a user's share URL. When that names
// the user by an ENS name, or when it is neither, what is left to be found is
// returned as text.
func written(text string) (string, key.Public) {
	if pub, err := key.ParsePublic(text); err == nil {
		return text, pub
	}
	u, err := share.Parse(text)
	switch {
	case err != nil || u.Kind != share.User:
		return text, key.Public{}
	case u.Key.IsZero() && u.ENSName != "":
		return u.ENSName, u.Key
	}
	return text, u.Key
}

// ensName returns the normal form of what is a full ENS name.
func ensName(text string) (string, bool) {
	if !strings.Contains(text, ".") {
		return "", false
	}
	name, err := ens.Normalize(text)
	return name, err == nil
}

// messageID reads the id of a message.
func messageID(text string) (message.ID, error) {
	id, err := message.ParseID(text)
	return id, fault.Wrap(fault.Usage, "reading the message id", err)
}
