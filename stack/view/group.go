package view

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
)

// GroupChange is one thing that changed in a private group.
type GroupChange struct {
	// ID is the group's.
	ID string `json:"id"`
	// Name is what the group is called then.
	Name string `json:"name"`
	// Kind is you_added, you_removed, member_added, member_joined, member_left,
	// member_removed, admin_added, admin_removed, renamed, color_changed or
	// image_changed.
	Kind group.ChangeKind `json:"kind"`
	// Member is whom it is about, zQ3sh…; absent when it is about the group.
	Member key.Public `json:"member,omitzero"`
	// MemberKey is the same key as 0x04….
	MemberKey string `json:"member_key,omitempty"`
	// By is who did it, zQ3sh…; absent when it follows from the order of other
	// events.
	By key.Public `json:"by,omitzero"`
	// ByKey is the same key as 0x04….
	ByKey string `json:"by_key,omitempty"`
	// Clock is that of what was done, in milliseconds.
	Clock uint64 `json:"clock,omitempty"`
	// Text is the new name or colour.
	Text string `json:"text,omitempty"`
}

// NewGroupChange shows a change of a group.
func NewGroupChange(g group.Group, c group.Change) GroupChange {
	return GroupChange{g.ID, g.Name, c.Kind, c.Member, hexOf(c.Member), c.By, hexOf(c.By), c.Clock, c.Text}
}

// GroupEntry is something that was done to a private group, in its history.
type GroupEntry struct {
	// Kind is created, member_added, member_joined, member_left, member_removed,
	// admin_added, admin_removed, renamed, color_changed or image_changed.
	Kind string `json:"kind"`
	// Members are whom it is about; absent when it is about the group.
	Members []Person `json:"members,omitempty"`
	// Text is the new name or colour.
	Text string `json:"text,omitempty"`
}

func newGroupEntry(c *chat.GroupChange) *GroupEntry {
	if c == nil {
		return nil
	}
	return &GroupEntry{c.Kind, NewPeople(c.Members), c.Text}
}

// GroupRequest is somebody's request to be added to a group.
type GroupRequest struct {
	// Group is the group's id.
	Group string `json:"group"`
	// Name is what it is called, if we know that.
	Name string `json:"name,omitempty"`
	// From is who wants to be added, zQ3sh….
	From key.Public `json:"from"`
	// FromKey is the same key as 0x04….
	FromKey string `json:"from_key"`
	// Admin is whom they asked, zQ3sh….
	Admin key.Public `json:"admin"`
	// AdminKey is the same key as 0x04….
	AdminKey string `json:"admin_key"`
	// Introduction is what they say.
	Introduction string `json:"introduction,omitempty"`
	// Clock is that of the request or its rejection, in milliseconds.
	Clock uint64 `json:"clock"`
	// State is requested, rejected or approved.
	State string `json:"state"`
}

var requestStates = map[group.InvitationState]string{
	group.Requested: "requested",
	group.Rejected:  "rejected",
	group.Approved:  "approved",
}

// NewGroupRequest shows a request for a group of a name.
func NewGroupRequest(i group.Invitation, name string) GroupRequest {
	return GroupRequest{
		Group: i.ChatID, Name: name, From: i.From, FromKey: i.From.Hex(), Admin: i.Admin, AdminKey: i.Admin.Hex(),
		Introduction: i.Introduction, Clock: i.Clock, State: requestStates[i.State],
	}
}
