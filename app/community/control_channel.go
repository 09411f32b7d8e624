package community

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"

	apppb "github.com/parley-im/parley/pb/app"
)

// Limits of the channels and categories that we make, in bytes.
const (
	MaxChannelName = 30
	MaxChannelText = 140
)

// ChannelParams is what a channel says of itself, to be made or edited as a
// whole.
type ChannelParams struct {
	Name, Text string
	// Color is #rrggbb or empty.
	Color string
	Emoji string
	// Category is the id of its category, empty for none. A channel that comes
	// into a category goes to its end.
	Category     string
	ViewersReact bool
	HideLocked   bool
}

// Params returns what there is, to be edited.
func (ch Channel) Params() ChannelParams {
	return ChannelParams{
		Name: ch.Name, Text: ch.Text, Color: ch.Color, Emoji: ch.Emoji,
		Category: ch.Category, ViewersReact: ch.ViewersReact, HideLocked: ch.HideLocked,
	}
}

func (p ChannelParams) check(m *apppb.CommunityDescription) error {
	if n := len(p.Name); n < 1 || n > MaxChannelName {
		return fmt.Errorf("%w: name of %d bytes, want 1 to %d", ErrChannel, n, MaxChannelName)
	}
	if n := len(p.Text); n > MaxChannelText {
		return fmt.Errorf("%w: description of %d bytes, at most %d", ErrChannel, n, MaxChannelText)
	}
	if n := len(p.Emoji); n > MaxChannelName {
		return fmt.Errorf("%w: emoji of %d bytes, at most %d", ErrChannel, n, MaxChannelName)
	}
	if p.Color != "" {
		if err := checkColor(p.Color); err != nil {
			return err
		}
	}
	if p.Category != "" && m.Categories[p.Category] == nil {
		return ErrNoGroup
	}
	return nil
}

func (p ChannelParams) apply(ch *apppb.CommunityChat) {
	ch.Identity.DisplayName, ch.Identity.Description = p.Name, p.Text
	ch.Identity.Color, ch.Identity.Emoji = p.Color, p.Emoji
	ch.CategoryId, ch.ViewersCanPostReactions, ch.HideIfPermissionsNotMet = p.Category, p.ViewersReact, p.HideLocked
}

// addChannel puts a new channel at the end of its category.
func addChannel(m *apppb.CommunityDescription, rand io.Reader, p ChannelParams) (string, error) {
	if err := p.check(m); err != nil {
		return "", err
	}
	id, err := newID(rand)
	if err != nil {
		return "", err
	}
	if m.Chats[id] != nil {
		return "", fmt.Errorf("%w: its id is taken", ErrChannel)
	}
	if m.Chats == nil {
		m.Chats = map[string]*apppb.CommunityChat{}
	}
	ch := &apppb.CommunityChat{
		Permissions: &apppb.CommunityPermissions{Access: apppb.CommunityPermissions_AUTO_ACCEPT},
		// 1 is a channel without messages.
		Identity: &apppb.ChatIdentity{FirstMessageTimestamp: 1},
		Position: int32(len(inCategory(m, p.Category))),
	}
	p.apply(ch)
	m.Chats[id] = ch
	return id, nil
}

func newID(rand io.Reader) (string, error) {
	if rand == nil {
		return "", fmt.Errorf("making an id: %w", ErrControl)
	}
	id, err := uuid.NewRandomFromReader(rand)
	if err != nil {
		return "", fmt.Errorf("making an id: %w", err)
	}
	return id.String(), nil
}

// inCategory returns the channels of a category in their order.
func inCategory(m *apppb.CommunityDescription, category string) []string {
	var ids []string
	for id, ch := range m.Chats {
		if ch.GetCategoryId() == category {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		x, y := m.Chats[a], m.Chats[b]
		return cmp.Or(cmp.Compare(x.GetPosition(), y.GetPosition()),
			strings.Compare(x.GetIdentity().GetDisplayName(), y.GetIdentity().GetDisplayName()), strings.Compare(a, b))
	})
	return ids
}

// arrange puts channels into a category in an order.
func arrange(m *apppb.CommunityDescription, category string, ids []string) {
	for i, id := range ids {
		m.Chats[id].CategoryId, m.Chats[id].Position = category, int32(i)
	}
}

// CreateChannel makes a channel and returns its UUID, too.
func (c Community) CreateChannel(by Control, p ChannelParams) (Community, string, error) {
	var id string
	after, err := c.change(by, func(m *apppb.CommunityDescription) (err error) {
		id, err = addChannel(m, by.Rand, p)
		return err
	})
	if err != nil {
		return c, "", err
	}
	return after, id, nil
}

// EditChannel replaces what a channel says of itself. Start from
// [Channel.Params].
func (c Community) EditChannel(by Control, id string, p ChannelParams) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		ch := m.Chats[id]
		if ch == nil {
			return ErrNoChannel
		}
		if err := p.check(m); err != nil {
			return err
		}
		if was := ch.CategoryId; was != p.Category {
			move(m, id, p.Category, len(m.Chats))
		}
		p.apply(ch)
		return nil
	})
}

// DeleteChannel deletes a channel.
func (c Community) DeleteChannel(by Control, id string) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		ch := m.Chats[id]
		if ch == nil {
			return ErrNoChannel
		}
		delete(m.Chats, id)
		arrange(m, ch.CategoryId, inCategory(m, ch.CategoryId))
		return nil
	})
}

// MoveChannel puts a channel into a category, or none for an empty one, at a
// place from 0; places past the end are the end.
func (c Community) MoveChannel(by Control, id, category string, position int) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		if m.Chats[id] == nil {
			return ErrNoChannel
		}
		if category != "" && m.Categories[category] == nil {
			return ErrNoGroup
		}
		move(m, id, category, position)
		return nil
	})
}

func move(m *apppb.CommunityDescription, id, category string, position int) {
	was := m.Chats[id].CategoryId
	without := func(list []string) []string {
		return slices.DeleteFunc(list, func(s string) bool { return s == id })
	}
	there := without(inCategory(m, category))
	there = slices.Insert(there, min(max(position, 0), len(there)), id)
	if was != category {
		arrange(m, was, without(inCategory(m, was)))
	}
	arrange(m, category, there)
}

// CreateCategory makes a category of channels, in their order, and returns its
// id, too. It goes to the end.
func (c Community) CreateCategory(by Control, name string, channels []string) (Community, string, error) {
	var id string
	after, err := c.change(by, func(m *apppb.CommunityDescription) (err error) {
		if err := checkCategory(m, name, channels); err != nil {
			return err
		}
		if id, err = newID(by.Rand); err != nil {
			return err
		}
		if m.Categories[id] != nil {
			return fmt.Errorf("%w: its id is taken", ErrCategory)
		}
		if m.Categories == nil {
			m.Categories = map[string]*apppb.CommunityCategory{}
		}
		m.Categories[id] = &apppb.CommunityCategory{CategoryId: id, Name: name, Position: int32(len(m.Categories))}
		fill(m, id, channels)
		return nil
	})
	if err != nil {
		return c, "", err
	}
	return after, id, nil
}

func checkCategory(m *apppb.CommunityDescription, name string, channels []string) error {
	if n := len(name); n < 1 || n > MaxChannelName {
		return fmt.Errorf("%w: name of %d bytes, want 1 to %d", ErrCategory, n, MaxChannelName)
	}
	for i, id := range channels {
		if m.Chats[id] == nil {
			return ErrNoChannel
		}
		if slices.Contains(channels[:i], id) {
			return fmt.Errorf("%w: a channel comes twice", ErrCategory)
		}
	}
	return nil
}

// fill makes the channels those of a category; others leave it.
func fill(m *apppb.CommunityDescription, category string, channels []string) {
	for _, id := range inCategory(m, category) {
		if !slices.Contains(channels, id) {
			move(m, id, "", len(m.Chats))
		}
	}
	for i, id := range channels {
		move(m, id, category, i)
	}
}

// EditCategory renames a category and makes the channels those of it, in their
// order.
func (c Community) EditCategory(by Control, id, name string, channels []string) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		if m.Categories[id] == nil {
			return ErrNoGroup
		}
		if err := checkCategory(m, name, channels); err != nil {
			return err
		}
		m.Categories[id].Name = name
		fill(m, id, channels)
		return nil
	})
}

// MoveCategory puts a category at a place from 0; places past the end are the
// end.
func (c Community) MoveCategory(by Control, id string, position int) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		if m.Categories[id] == nil {
			return ErrNoGroup
		}
		var order []string
		for _, g := range categoriesOf(m) {
			if g.ID != id {
				order = append(order, g.ID)
			}
		}
		for i, g := range slices.Insert(order, min(max(position, 0), len(order)), id) {
			m.Categories[g].Position = int32(i)
		}
		return nil
	})
}

// DeleteCategory deletes a category; its channels stay, without one.
func (c Community) DeleteCategory(by Control, id string) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		if m.Categories[id] == nil {
			return ErrNoGroup
		}
		fill(m, id, nil)
		delete(m.Categories, id)
		for i, g := range categoriesOf(m) {
			m.Categories[g.ID].Position = int32(i)
		}
		return nil
	})
}
