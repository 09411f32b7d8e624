package parley

import (
	"cmp"
	"context"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/internal/fault"
)

// Channels and categories of communities that we control.

// ChannelSettings are what a channel says of itself. What is nil stays as it is,
// or is left at its default when the channel is made.
type ChannelSettings struct {
	Name *string `json:"name,omitempty"`
	// Description is by default the name: there must be one.
	Description *string `json:"description,omitempty"`
	// Color is #rrggbb, that of the community by default.
	Color *string `json:"color,omitempty"`
	Emoji *string `json:"emoji,omitempty"`
	// Category is the id or the name of one, empty for none.
	Category *string `json:"category,omitempty"`
	// ViewersReact lets those react who may not write.
	ViewersReact *bool `json:"viewers_react,omitempty"`
}

func (s ChannelSettings) apply(c community.Community, p community.ChannelParams) (community.ChannelParams, error) {
	put(&p.Name, s.Name)
	put(&p.Text, s.Description)
	put(&p.Color, s.Color)
	put(&p.Emoji, s.Emoji)
	put(&p.ViewersReact, s.ViewersReact)
	if s.Category != nil {
		id, err := categoryID(c, *s.Category)
		if err != nil {
			return p, err
		}
		p.Category = id
	}
	return p, nil
}

// CreateChannel makes a channel; Name is required.
func (c *Client) CreateChannel(_ context.Context, name string, s ChannelSettings) (Channel, error) {
	known, err := c.knownCommunity(name)
	if err != nil {
		return Channel{}, err
	}
	p, err := s.apply(known, community.ChannelParams{Color: known.Description.Color})
	if err != nil {
		return Channel{}, err
	}
	p.Text = cmp.Or(p.Text, p.Name)
	after, uuid, err := c.stack.CreateChannel(known.Key, p)
	if err != nil {
		return Channel{}, err
	}
	return c.showChannel(after, uuid)
}

// EditChannel changes what a channel says of itself; it is named by name or
// UUID.
func (c *Client) EditChannel(_ context.Context, name, channel string, s ChannelSettings) (Channel, error) {
	return c.onChannel(name, channel, func(known community.Community, ch community.Channel) (community.Community, error) {
		p, err := s.apply(known, ch.Params())
		if err != nil {
			return known, err
		}
		return c.stack.EditChannel(known.Key, ch.UUID, p)
	})
}

// MoveChannel puts a channel at a place, from 0, of a category, or of those
// without one when category is empty.
func (c *Client) MoveChannel(_ context.Context, name, channel, category string, position int) (Channel, error) {
	return c.onChannel(name, channel, func(known community.Community, ch community.Channel) (community.Community, error) {
		id, err := categoryID(known, category)
		if err != nil {
			return known, err
		}
		return c.stack.MoveChannel(known.Key, ch.UUID, id, position)
	})
}

// DeleteChannel deletes a channel. What was written there stays where it is.
func (c *Client) DeleteChannel(_ context.Context, name, channel string) (Community, error) {
	return c.onCommunity(name, func(k key.Public) (community.Community, error) {
		known, err := c.stack.Community(k)
		if err != nil {
			return known, err
		}
		ch, err := channelOf(known, channel)
		if err != nil {
			return known, err
		}
		return c.stack.DeleteChannel(k, ch.UUID)
	})
}

// CreateCategory makes a category of channels, which are named by name or UUID.
func (c *Client) CreateCategory(_ context.Context, name, category string, channels []string) (Category, error) {
	known, err := c.knownCommunity(name)
	if err != nil {
		return Category{}, err
	}
	uuids, err := channelsOf(known, channels)
	if err != nil {
		return Category{}, err
	}
	after, id, err := c.stack.CreateCategory(known.Key, category, uuids)
	if err != nil {
		return Category{}, err
	}
	return showCategory(after, id)
}

// RenameCategory gives a category another name; it is named by name or id.
func (c *Client) RenameCategory(_ context.Context, name, category, to string) (Category, error) {
	return c.onCategory(name, category, func(known community.Community, id string) (community.Community, error) {
		return c.stack.EditCategory(known.Key, id, to, inCategory(known, id))
	})
}

// FillCategory says which channels are in a category, in their order.
func (c *Client) FillCategory(_ context.Context, name, category string, channels []string) (Category, error) {
	return c.onCategory(name, category, func(known community.Community, id string) (community.Community, error) {
		uuids, err := channelsOf(known, channels)
		if err != nil {
			return known, err
		}
		its, _ := known.Description.Category(id)
		return c.stack.EditCategory(known.Key, id, its.Name, uuids)
	})
}

// MoveCategory puts a category at a place, from 0.
func (c *Client) MoveCategory(_ context.Context, name, category string, position int) (Category, error) {
	return c.onCategory(name, category, func(known community.Community, id string) (community.Community, error) {
		return c.stack.MoveCategory(known.Key, id, position)
	})
}

// DeleteCategory deletes a category; its channels stay.
func (c *Client) DeleteCategory(_ context.Context, name, category string) (Community, error) {
	return c.onCommunity(name, func(k key.Public) (community.Community, error) {
		known, err := c.stack.Community(k)
		if err != nil {
			return known, err
		}
		id, err := givenCategory(known, category)
		if err != nil {
			return known, err
		}
		return c.stack.DeleteCategory(k, id)
	})
}

func (c *Client) knownCommunity(name string) (community.Community, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return community.Community{}, err
	}
	return c.stack.Community(k)
}

func (c *Client) onChannel(name, channel string, do func(known community.Community, ch community.Channel) (community.Community, error)) (Channel, error) {
	known, err := c.knownCommunity(name)
	if err != nil {
		return Channel{}, err
	}
	ch, err := channelOf(known, channel)
	if err != nil {
		return Channel{}, err
	}
	after, err := do(known, ch)
	if err != nil {
		return Channel{}, err
	}
	return c.showChannel(after, ch.UUID)
}

func (c *Client) onCategory(name, category string, do func(known community.Community, id string) (community.Community, error)) (Category, error) {
	known, err := c.knownCommunity(name)
	if err != nil {
		return Category{}, err
	}
	id, err := givenCategory(known, category)
	if err != nil {
		return Category{}, err
	}
	after, err := do(known, id)
	if err != nil {
		return Category{}, err
	}
	return showCategory(after, id)
}

func (c *Client) showChannel(known community.Community, uuid string) (Channel, error) {
	shown, err := c.stack.ShowCommunity(known)
	if err != nil {
		return Channel{}, err
	}
	for _, ch := range shown.Channels {
		if ch.UUID == uuid {
			return ch, nil
		}
	}
	return Channel{}, fault.New(fault.NotFound, "the channel is not there any more")
}

func showCategory(known community.Community, id string) (Category, error) {
	its, ok := known.Description.Category(id)
	if !ok {
		return Category{}, fault.New(fault.NotFound, "the category is not there any more")
	}
	return its, nil
}

// inCategory returns the channels of a category, in their order.
func inCategory(known community.Community, id string) (uuids []string) {
	for _, ch := range known.Description.Channels {
		if ch.Category == id {
			uuids = append(uuids, ch.UUID)
		}
	}
	return uuids
}
