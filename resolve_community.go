package parley

import (
	"context"
	"strings"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
)

// How communities, their channels and their members are named.

// resolveCommunity turns what people write for a community into its key: its id,
// which is a key, any other form of that, a share URL, or the name of a
// community that we follow.
func (c *Client) resolveCommunity(text string) (key.Public, error) {
	if k, err := key.ParsePublic(text); err == nil {
		return k, nil
	}
	if u, err := share.Parse(text); err == nil {
		if u.Kind == share.User {
			return key.Public{}, fault.New(fault.Usage, "the link leads to a person, not to a community")
		}
		return u.Key, nil
	}
	known, err := c.stack.Communities()
	if err != nil {
		return key.Public{}, err
	}
	var found []key.Public
	for _, one := range known {
		if text != "" && strings.EqualFold(one.Description.Name, text) {
			found = append(found, one.Key)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return key.Public{}, fault.New(fault.NotFound, "no community is called %q", text).
			WithHint("give its id or share URL; see `parley community list`")
	}
	return key.Public{}, fault.New(fault.Conflict, "%d communities are called %q", len(found), text).
		WithHint("give the id, as `parley community list` shows it")
}

// channelOf finds a channel by UUID, by the id of its chat, or by name with or
// without the sign #.
func channelOf(known community.Community, text string) (community.Channel, error) {
	if k, uuid, err := community.SplitChannelID(text); err == nil && k == known.Key {
		text = uuid
	}
	if ch, ok := known.Description.Channel(text); ok {
		return ch, nil
	}
	var found []community.Channel
	for _, name := range []string{text, strings.TrimPrefix(text, "#")} {
		for _, ch := range known.Description.Channels {
			if name != "" && strings.EqualFold(ch.Name, name) {
				found = append(found, ch)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return community.Channel{}, fault.New(fault.NotFound, "no channel of %q is called %q", known.Description.Name, text).
			WithHint("see `parley community show`")
	}
	return community.Channel{}, fault.New(fault.Conflict, "%d channels of %q are called %q", len(found), known.Description.Name, text).
		WithHint("give the UUID, as `parley community show` shows it")
}

func channelsOf(known community.Community, names []string) (uuids []string, err error) {
	for _, name := range names {
		ch, err := channelOf(known, name)
		if err != nil {
			return nil, err
		}
		uuids = append(uuids, ch.UUID)
	}
	return uuids, nil
}

// categoryID turns the id or the name of a category into its id; empty is none.
func categoryID(known community.Community, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	return givenCategory(known, text)
}

func givenCategory(known community.Community, text string) (string, error) {
	if its, ok := known.Description.Category(text); ok {
		return its.ID, nil
	}
	var found []string
	for _, its := range known.Description.Categories {
		if text != "" && strings.EqualFold(its.Name, text) {
			found = append(found, its.ID)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fault.New(fault.NotFound, "no category of %q is called %q", known.Description.Name, text).
			WithHint("see `parley community show`")
	}
	return "", fault.New(fault.Conflict, "%d categories of %q are called %q", len(found), known.Description.Name, text).
		WithHint("give the id, as `parley community show --json` shows it")
}

// writtenChannel returns the id of the channel's chat that a text is, or that a
// share URL leads to.
func writtenChannel(text string) string {
	if _, _, err := community.SplitChannelID(text); err == nil {
		return text
	}
	if u, err := share.Parse(text); err == nil && u.Kind == share.Channel {
		return u.ChatID()
	}
	return ""
}

// channelsCalled returns the channels that COMMUNITY/CHANNEL may mean: names may
// have slashes in them, and share URLs have.
func (c *Client) channelsCalled(text string) (ids []string, err error) {
	for i, r := range text {
		if r != '/' {
			continue
		}
		k, err := c.resolveCommunity(text[:i])
		if err == nil {
			var known community.Community
			if known, err = c.stack.Community(k); err == nil {
				var ch community.Channel
				if ch, err = channelOf(known, text[i+1:]); err == nil {
					ids = append(ids, community.ChannelID(k, ch.UUID))
				}
			}
		}
		if kind := fault.KindOf(err); err != nil && kind != fault.NotFound && kind != fault.Usage {
			return nil, err
		}
	}
	return ids, nil
}

// resolveMember is Resolve, but the names of a community's members count before
// those of others.
func (c *Client) resolveMember(ctx context.Context, k key.Public, who string) (key.Public, error) {
	if text, pub := written(who); pub.IsZero() && text == who {
		known, err := c.stack.Community(k)
		if err != nil {
			return key.Public{}, err
		}
		asked, err := c.askedAs(k)
		if err != nil {
			return key.Public{}, err
		}
		var found []key.Public
		for _, m := range known.Description.Members {
			pub, err := m.ID.Key()
			if err != nil {
				continue
			}
			one, err := c.stack.Contact(pub)
			if err != nil {
				return key.Public{}, err
			}
			if named(one, who) || strings.EqualFold(asked[pub], who) && who != "" {
				found = append(found, pub)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return key.Public{}, fault.New(fault.Conflict, "%d members of %q are called %q", len(found), known.Description.Name, who).
				WithHint("give the key, as `parley community members` shows it")
		}
	}
	return c.Resolve(ctx, who)
}

// askedAs returns what people called themselves when they asked to join a
// community; nobody but who controls it knows.
func (c *Client) askedAs(k key.Public) (map[key.Public]string, error) {
	requests, err := c.stack.CommunityRequests(k)
	if err != nil {
		return nil, err
	}
	names := make(map[key.Public]string, len(requests))
	for _, r := range requests {
		names[r.Member] = r.DisplayName
	}
	return names, nil
}

// resolveAsking is Resolve, but the names by which people ask to join a community
// count before those of others.
func (c *Client) resolveAsking(ctx context.Context, k key.Public, who string) (key.Public, error) {
	requests, err := c.stack.CommunityRequests(k)
	if err != nil {
		return key.Public{}, err
	}
	var found []key.Public
	for _, state := range []community.RequestState{community.Pending, community.Declined} {
		for _, r := range requests {
			if who != "" && r.State == state && strings.EqualFold(r.DisplayName, who) {
				found = append(found, r.Member)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch len(found) {
	case 0:
		return c.Resolve(ctx, who)
	case 1:
		return found[0], nil
	}
	return key.Public{}, fault.New(fault.Conflict, "%d who ask to join are called %q", len(found), who).
		WithHint("give the key, as `parley community requests` shows it")
}
