package client

import (
	"context"

	"github.com/parley-im/parley"
)

// Groups returns the private groups that we are or were in, by name.
func (c *Client) Groups(ctx context.Context) ([]parley.Group, error) {
	return get[[]parley.Group](ctx, c, "/groups", nil)
}

// Group returns a group by id or name.
func (c *Client) Group(ctx context.Context, name string) (parley.Group, error) {
	return get[parley.Group](ctx, c, place("groups", name), nil)
}

// GroupImage returns the picture of a group, no side longer than side pixels
// (0: as it is).
func (c *Client) GroupImage(ctx context.Context, name string, side int) (parley.Picture, error) {
	return c.picture(ctx, place("groups", name, "image"), sided(side))
}

// CreateGroup makes a group with its first members, who must be mutual
// contacts. The colour, #rrggbb, may be empty.
func (c *Client) CreateGroup(ctx context.Context, name, color string, members []string) (parley.Group, error) {
	return post[parley.Group](ctx, c, "/groups", struct {
		Name    string   `json:"name"`
		Color   string   `json:"color,omitempty"`
		Members []string `json:"members,omitempty"`
	}{name, color, members})
}

// AddMembers adds mutual contacts to a group.
func (c *Client) AddMembers(ctx context.Context, name string, members []string) (parley.Group, error) {
	return c.group(ctx, name, "add", map[string][]string{"members": members})
}

// RemoveMember removes somebody from a group.
func (c *Client) RemoveMember(ctx context.Context, name, who string) (parley.Group, error) {
	return c.group(ctx, name, "remove", map[string]string{"who": who})
}

// AddAdmin makes a member an admin.
func (c *Client) AddAdmin(ctx context.Context, name, who string) (parley.Group, error) {
	return c.group(ctx, name, "admin", map[string]string{"who": who})
}

// StepDown makes us an ordinary member.
func (c *Client) StepDown(ctx context.Context, name string) (parley.Group, error) {
	return c.group(ctx, name, "step-down", nil)
}

// JoinGroup says that we, who were added, want to be in the group.
func (c *Client) JoinGroup(ctx context.Context, name string) (parley.Group, error) {
	return c.group(ctx, name, "join", nil)
}

// LeaveGroup ends our membership.
func (c *Client) LeaveGroup(ctx context.Context, name string) (parley.Group, error) {
	return c.group(ctx, name, "leave", nil)
}

// RenameGroup gives a group another name.
func (c *Client) RenameGroup(ctx context.Context, name, to string) (parley.Group, error) {
	return c.group(ctx, name, "rename", map[string]string{"name": to})
}

// SetGroupColor gives a group another colour, #rrggbb.
func (c *Client) SetGroupColor(ctx context.Context, name, color string) (parley.Group, error) {
	return c.group(ctx, name, "color", map[string]string{"color": color})
}

// SetGroupImage gives a group a picture.
func (c *Client) SetGroupImage(ctx context.Context, name string, data []byte) (parley.Group, error) {
	return c.group(ctx, name, "image", map[string][]byte{"image": data})
}

func (c *Client) group(ctx context.Context, name, verb string, body any) (parley.Group, error) {
	return post[parley.Group](ctx, c, place("groups", name, verb), body)
}

// GroupRequests returns all requests for groups, ours and those to us, the
// newest first.
func (c *Client) GroupRequests(ctx context.Context) ([]parley.GroupRequest, error) {
	return get[[]parley.GroupRequest](ctx, c, "/group-requests", nil)
}

// RequestGroup asks an admin to be added to a group.
func (c *Client) RequestGroup(ctx context.Context, id, admin, introduction string) (parley.GroupRequest, error) {
	return post[parley.GroupRequest](ctx, c, "/group-requests", struct {
		Group        string `json:"group"`
		Admin        string `json:"admin"`
		Introduction string `json:"introduction,omitempty"`
	}{id, admin, introduction})
}

// RejectGroupRequest turns somebody's request to be added to a group down.
func (c *Client) RejectGroupRequest(ctx context.Context, name, who string) (parley.GroupRequest, error) {
	return post[parley.GroupRequest](ctx, c, place("groups", name, "reject"), map[string]string{"who": who})
}
