package parley

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Group is a private group, as API and command line show it.
type Group struct {
	// ID is that of its chat, too.
	ID    string `json:"id"`
	Name  string `json:"name"`
	Color string `json:"color,omitempty"` // #rrggbb
	// Image tells that there is a picture; see [Client.GroupImage].
	Image bool `json:"image,omitempty"`
	// Members are all who receive what is said there, in the order in which
	// they were added.
	Members []Member `json:"members"`
	// Standing is what we are to the group: added (and asked to join), member,
	// left or removed. Admin tells whether we are one.
	Standing group.Standing `json:"standing"`
	Admin    bool           `json:"admin"`
	// Creator made the group; CreatorKey is the same as 0x04…. Created is Unix
	// time in milliseconds, as they say.
	Creator    key.Public `json:"creator"`
	CreatorKey string     `json:"creator_key"`
	Created    uint64     `json:"created"`
}

// Member is somebody in a group.
type Member struct {
	Person
	Name  string `json:"name"`
	Admin bool   `json:"admin"`
	// Joined tells that they said they want to be in the group, as opposed to
	// having been added.
	Joined bool `json:"joined"`
}

// newGroup shows a group, with the names of its members as they are known here.
func (c *Client) newGroup(g group.Group) (Group, error) {
	shown := Group{
		ID:         g.ID,
		Name:       g.Name,
		Color:      g.Color,
		Image:      len(g.Image) > 0,
		Members:    make([]Member, 0, len(g.Members)),
		Standing:   g.Standing(c.Self()),
		Admin:      g.IsAdmin(c.Self()),
		Creator:    g.Creator,
		CreatorKey: g.Creator.Hex(),
		Created:    g.Created,
	}
	for _, k := range g.Members {
		known, err := c.stack.Contact(k)
		if err != nil {
			return Group{}, err
		}
		name := view.Name(known)
		if k == c.Self() {
			name = c.ownName()
		}
		shown.Members = append(shown.Members, Member{newPerson(k), name, g.IsAdmin(k), g.HasJoined(k)})
	}
	return shown, nil
}

// Groups returns the private groups that we are or were in, by name.
func (c *Client) Groups(context.Context) ([]Group, error) {
	known, err := c.stack.Groups()
	if err != nil {
		return nil, err
	}
	all := make([]Group, 0, len(known))
	for _, g := range known {
		shown, err := c.newGroup(g)
		if err != nil {
			return nil, err
		}
		all = append(all, shown)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

// Group returns a group by id or name.
func (c *Client) Group(_ context.Context, name string) (Group, error) {
	return c.onGroup(name, c.stack.Group)
}

// GroupImage returns the picture of a group.
func (c *Client) GroupImage(ctx context.Context, name string, side int) (Picture, error) {
	id, err := c.resolveGroup(name)
	if err != nil {
		return Picture{}, err
	}
	g, err := c.stack.Group(id)
	if err != nil {
		return Picture{}, err
	}
	if len(g.Image) == 0 {
		return Picture{}, fault.New(fault.NotFound, "the group has no picture")
	}
	return safe(ctx, g.Image, side)
}

// CreateGroup makes a group with its first members, who must be mutual
// contacts. The colour, #rrggbb, may be empty.
func (c *Client) CreateGroup(ctx context.Context, name, color string, members []string) (Group, error) {
	keys, err := c.resolveAll(ctx, members)
	if err != nil {
		return Group{}, err
	}
	g, err := c.stack.CreateGroup(name, color, keys)
	if err != nil {
		return Group{}, err
	}
	return c.newGroup(g)
}

// AddMembers adds mutual contacts to a group; for its admins.
func (c *Client) AddMembers(ctx context.Context, name string, members []string) (Group, error) {
	keys, err := c.resolveAll(ctx, members)
	if err != nil {
		return Group{}, err
	}
	return c.onGroup(name, func(id string) (group.Group, error) { return c.stack.AddMembers(id, keys) })
}

// RemoveMember removes somebody from a group; for its admins.
func (c *Client) RemoveMember(ctx context.Context, name, who string) (Group, error) {
	return c.withMember(ctx, name, who, c.stack.RemoveMember)
}

// AddAdmin makes a member an admin; for admins.
func (c *Client) AddAdmin(ctx context.Context, name, who string) (Group, error) {
	return c.withMember(ctx, name, who, func(id string, pub key.Public) (group.Group, error) {
		return c.stack.AddAdmins(id, []key.Public{pub})
	})
}

// StepDown makes us an ordinary member.
func (c *Client) StepDown(_ context.Context, name string) (Group, error) {
	return c.onGroup(name, c.stack.StepDown)
}

// JoinGroup says that we, who were added, want to be in the group.
func (c *Client) JoinGroup(_ context.Context, name string) (Group, error) {
	return c.onGroup(name, c.stack.JoinGroup)
}

// LeaveGroup ends our membership; what was said stays.
func (c *Client) LeaveGroup(_ context.Context, name string) (Group, error) {
	return c.onGroup(name, c.stack.LeaveGroup)
}

// RenameGroup gives a group another name; for its admins.
func (c *Client) RenameGroup(_ context.Context, name, to string) (Group, error) {
	return c.onGroup(name, func(id string) (group.Group, error) { return c.stack.RenameGroup(id, to) })
}

// SetGroupColor gives a group another colour, #rrggbb; for its admins.
func (c *Client) SetGroupColor(_ context.Context, name, color string) (Group, error) {
	return c.onGroup(name, func(id string) (group.Group, error) { return c.stack.SetGroupColor(id, color) })
}

// SetGroupImage gives a group a picture, PNG, JPEG, WebP or GIF, of which the
// middle is shown; for its admins.
func (c *Client) SetGroupImage(_ context.Context, name string, data []byte) (Group, error) {
	return c.onGroup(name, func(id string) (group.Group, error) { return c.stack.SetGroupImage(id, data) })
}

func (c *Client) onGroup(name string, do func(id string) (group.Group, error)) (Group, error) {
	id, err := c.resolveGroup(name)
	if err != nil {
		return Group{}, err
	}
	g, err := do(id)
	if err != nil {
		return Group{}, err
	}
	return c.newGroup(g)
}

func (c *Client) withMember(ctx context.Context, name, who string, do func(id string, pub key.Public) (group.Group, error)) (Group, error) {
	pub, err := c.Resolve(ctx, who)
	if err != nil {
		return Group{}, err
	}
	return c.onGroup(name, func(id string) (group.Group, error) { return do(id, pub) })
}

func (c *Client) resolveAll(ctx context.Context, people []string) (keys []key.Public, err error) {
	for _, who := range people {
		pub, err := c.Resolve(ctx, who)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(keys, pub) {
			keys = append(keys, pub)
		}
	}
	return keys, nil
}

// GroupEntry is something that was done to a private group, in the history that
// its chat shows.
type GroupEntry = view.GroupEntry

// GroupRequest is somebody's request to be added to a group.
type GroupRequest = view.GroupRequest

func (c *Client) newGroupRequest(i group.Invitation) GroupRequest {
	name := ""
	if g, err := c.stack.Group(i.ChatID); err == nil {
		name = g.Name
	}
	return view.NewGroupRequest(i, name)
}

// GroupRequests returns all requests for groups, ours and those to us, the
// newest first.
func (c *Client) GroupRequests(context.Context) ([]GroupRequest, error) {
	var known []storage.Record[group.Invitation]
	err := c.db.View(func(tx *storage.Tx) (err error) {
		known, err = storage.Records[group.Invitation](tx, storage.GroupRequests, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]GroupRequest, 0, len(known))
	for _, r := range known {
		all = append(all, c.newGroupRequest(r.Value))
	}
	slices.SortFunc(all, func(a, b GroupRequest) int {
		return cmp.Or(cmp.Compare(b.Clock, a.Clock), strings.Compare(a.FromKey, b.FromKey), strings.Compare(a.Group, b.Group))
	})
	return all, nil
}

// RequestGroup asks an admin to be added to a group, of which we know the id.
func (c *Client) RequestGroup(ctx context.Context, id, admin, introduction string) (GroupRequest, error) {
	pub, err := c.Resolve(ctx, admin)
	if err != nil {
		return GroupRequest{}, err
	}
	i, err := c.stack.RequestGroup(id, pub, introduction)
	if err != nil {
		return GroupRequest{}, err
	}
	return c.newGroupRequest(i), nil
}

// RejectGroupRequest turns somebody's request to be added to a group down; for
// its admins. To accept it, add them.
func (c *Client) RejectGroupRequest(ctx context.Context, name, who string) (GroupRequest, error) {
	pub, err := c.Resolve(ctx, who)
	if err != nil {
		return GroupRequest{}, err
	}
	id, err := c.resolveGroup(name)
	if err != nil {
		return GroupRequest{}, err
	}
	i, err := c.stack.RejectGroupRequest(id, pub)
	if err != nil {
		return GroupRequest{}, err
	}
	return c.newGroupRequest(i), nil
}
