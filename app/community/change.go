package community

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// ChangeKind is what changed, in a word for people and for JSON.
type ChangeKind string

// The kinds of changes. The texts are stable.
const (
	// Known: the first description of the community came. Nothing else is told
	// of it but YouJoined.
	Known ChangeKind = "known"
	// Edited: name, texts, colour, pictures, tags or settings are others.
	Edited ChangeKind = "edited"
	// YouJoined, YouRemoved and YouBanned are about us; being banned is being
	// removed as well.
	YouJoined  ChangeKind = "you_joined"
	YouRemoved ChangeKind = "you_removed"
	YouBanned  ChangeKind = "you_banned"
	// MemberJoined, MemberLeft, MemberBanned, MemberUnbanned and RoleChanged are
	// about Member. Who was banned has not left besides.
	MemberJoined   ChangeKind = "member_joined"
	MemberLeft     ChangeKind = "member_left"
	MemberBanned   ChangeKind = "member_banned"
	MemberUnbanned ChangeKind = "member_unbanned"
	RoleChanged    ChangeKind = "role_changed"
	// ChannelCreated, ChannelChanged and ChannelDeleted are about Channel.
	ChannelCreated ChangeKind = "channel_created"
	ChannelChanged ChangeKind = "channel_changed"
	ChannelDeleted ChangeKind = "channel_deleted"
	// CategoriesChanged: categories were made, renamed, moved or deleted.
	CategoriesChanged ChangeKind = "categories_changed"
)

// Change is one difference between two states of a community, to be told to
// the user.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// Member is whom it is about, empty for the community itself.
	Member ID `json:"member,omitempty"`
	// Channel is the UUID of the channel it is about.
	Channel string `json:"channel,omitempty"`
	// DeleteAll, of a ban, asks us to delete what Member wrote.
	DeleteAll bool `json:"delete_all,omitempty"`
	Role      Role `json:"role,omitempty"`
}

// Changes returns what differs between two states of a community as self sees
// it. A ban is also told when it begins to ask for messages to be deleted.
func Changes(before, after Community, self key.Public) []Change {
	var list []Change
	if before.Description.IsZero() {
		if !after.Description.IsZero() {
			list = append(list, Change{Kind: Known})
			// What was kept from elsewhere may be of who is banned.
			for _, b := range after.Description.Banned {
				if b.DeleteAll {
					list = append(list, Change{Kind: MemberBanned, Member: b.ID, DeleteAll: true})
				}
			}
		}
		if after.Joined && !before.Joined {
			list = append(list, Change{Kind: YouJoined})
		}
		return list
	}
	me := IDOf(self)
	if edited(before.Description, after.Description) {
		list = append(list, Change{Kind: Edited})
	}
	if !slices.Equal(before.Description.Categories, after.Description.Categories) {
		list = append(list, Change{Kind: CategoriesChanged})
	}
	list = append(list, channelChanges(before.Description, after.Description)...)
	switch {
	case after.Joined && !before.Joined:
		list = append(list, Change{Kind: YouJoined})
	case before.Joined && !after.Joined && !after.IsBanned(self):
		list = append(list, Change{Kind: YouRemoved})
	}
	return append(list, memberChanges(before.Description, after.Description, me)...)
}

// edited compares what the community says of itself.
func edited(a, b Description) bool {
	return a.Name != b.Name || a.Text != b.Text || a.Color != b.Color || a.Emoji != b.Emoji ||
		a.Intro != b.Intro || a.Outro != b.Outro || a.Access != b.Access || a.ENSOnly != b.ENSOnly ||
		a.PinByAll != b.PinByAll || a.ThreadsByAll != b.ThreadsByAll || a.Gated != b.Gated ||
		!slices.Equal(a.Tags, b.Tags) ||
		!maps.EqualFunc(a.Images, b.Images, func(a, b *apppb.IdentityImage) bool { return proto.Equal(a, b) })
}

func channelChanges(before, after Description) []Change {
	var list []Change
	old := make(map[string]Channel, len(before.Channels))
	for _, ch := range before.Channels {
		old[ch.UUID] = ch
	}
	for _, ch := range after.Channels {
		was, ok := old[ch.UUID]
		delete(old, ch.UUID)
		switch {
		case !ok:
			list = append(list, Change{Kind: ChannelCreated, Channel: ch.UUID})
		case !sameChannel(was, ch):
			list = append(list, Change{Kind: ChannelChanged, Channel: ch.UUID})
		}
	}
	for _, ch := range before.Channels {
		if _, gone := old[ch.UUID]; gone {
			list = append(list, Change{Kind: ChannelDeleted, Channel: ch.UUID})
		}
	}
	return list
}

// sameChannel compares channels but for their members, and for when the first
// message was written.
func sameChannel(a, b Channel) bool {
	return a.Name == b.Name && a.Text == b.Text && a.Color == b.Color && a.Emoji == b.Emoji &&
		a.Category == b.Category && a.Position == b.Position && a.ViewersReact == b.ViewersReact &&
		a.HideLocked == b.HideLocked && a.Restricted == b.Restricted && a.Encrypted == b.Encrypted
}

// memberChanges compares two sorted lists of members, and those of the banned.
// Whether we ourselves are a member was told before.
func memberChanges(before, after Description, me ID) []Change {
	var list []Change
	for _, b := range after.Banned {
		was, known := before.Ban(b.ID)
		if known && (was.DeleteAll || !b.DeleteAll) {
			continue
		}
		kind := MemberBanned
		if b.ID == me {
			kind = YouBanned
		}
		list = append(list, Change{Kind: kind, Member: b.ID, DeleteAll: b.DeleteAll})
	}
	for _, b := range before.Banned {
		if _, still := after.Ban(b.ID); !still {
			list = append(list, Change{Kind: MemberUnbanned, Member: b.ID})
		}
	}
	if before.Gated != after.Gated {
		return list // one of the two lists nobody
	}
	i := 0
	for _, m := range after.Members {
		for i < len(before.Members) && before.Members[i].ID < m.ID {
			list = left(list, before.Members[i].ID, after, me)
			i++
		}
		if i < len(before.Members) && before.Members[i].ID == m.ID {
			if before.Members[i].Role != m.Role {
				list = append(list, Change{Kind: RoleChanged, Member: m.ID, Role: m.Role})
			}
			i++
			continue
		}
		if m.ID != me {
			list = append(list, Change{Kind: MemberJoined, Member: m.ID})
		}
	}
	for ; i < len(before.Members); i++ {
		list = left(list, before.Members[i].ID, after, me)
	}
	return list
}

func left(list []Change, id ID, after Description, me ID) []Change {
	if _, banned := after.Ban(id); banned || id == me {
		return list
	}
	return append(list, Change{Kind: MemberLeft, Member: id})
}
