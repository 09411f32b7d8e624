package community

import (
	"fmt"
	"slices"
	"strings"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// ID is a person as descriptions name them: the uncompressed key as 0x04… in
// lower case. It is compared as it is; reading the key out of thousands of them
// takes long, so that waits until somebody asks with [ID.Key].
type ID string

// idSize is the length of an ID in bytes.
const idSize = 2 + 2*key.UncompressedSize

// IDOf returns the ID of a key.
func IDOf(k key.Public) ID { return ID(k.Hex()) }

// Key reads the key; an ID of a received description need not be a point of the
// curve, which is [key.ErrPublic].
func (id ID) Key() (key.Public, error) {
	if !id.valid() {
		return key.Public{}, fmt.Errorf("%w: not 0x04 and 128 hexadecimal digits in lower case", key.ErrPublic)
	}
	return key.ParsePublic(string(id))
}

// valid checks the form, not the point.
func (id ID) valid() bool {
	if len(id) != idSize || id[:4] != "0x04" {
		return false
	}
	for i := 4; i < len(id); i++ {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Role is what somebody is to a community, in a word for people and for JSON.
// A person has one.
type Role string

// The roles that deployed clients know; those of 56/STATUS-COMMUNITIES were
// given up. Admins and token masters come from token permissions.
const (
	// Plain members have no role.
	Plain       Role = ""
	Owner       Role = "owner"
	Admin       Role = "admin"
	TokenMaster Role = "token_master"
)

// IsPrivileged tells whether a role lets one moderate.
func (r Role) IsPrivileged() bool { return r != Plain }

// roleOf takes the highest role that is named.
func roleOf(roles []apppb.CommunityMember_Roles) Role {
	best := Plain
	for _, r := range roles {
		switch {
		case r == apppb.CommunityMember_ROLE_OWNER:
			return Owner
		case r == apppb.CommunityMember_ROLE_TOKEN_MASTER:
			best = TokenMaster
		case r == apppb.CommunityMember_ROLE_ADMIN && best == Plain:
			best = Admin
		}
	}
	return best
}

// Member is a member of a community or of one of its channels.
type Member struct {
	ID   ID   `json:"id"`
	Role Role `json:"role,omitempty"`
	// Viewer reads and does not write.
	Viewer bool `json:"viewer,omitempty"`
	// Updated is the clock of the request, or of the edit of shared addresses,
	// that the member was last described by, in seconds as deployed clients
	// write it.
	Updated uint64 `json:"updated,omitempty"`
}

// Ban says that somebody is kept out.
type Ban struct {
	ID ID `json:"id"`
	// DeleteAll asks everybody to delete what they wrote.
	DeleteAll bool `json:"delete_all,omitempty"`
}

func findMember(list []Member, id ID) (Member, bool) {
	i, ok := slices.BinarySearchFunc(list, id, func(m Member, id ID) int { return strings.Compare(string(m.ID), string(id)) })
	if !ok {
		return Member{}, false
	}
	return list[i], true
}

// Member returns what the description says of a member.
func (d Description) Member(id ID) (Member, bool) { return findMember(d.Members, id) }

// Ban returns the ban of somebody.
func (d Description) Ban(id ID) (Ban, bool) {
	i, ok := slices.BinarySearchFunc(d.Banned, id, func(b Ban, id ID) int { return strings.Compare(string(b.ID), string(id)) })
	if !ok {
		return Ban{}, false
	}
	return d.Banned[i], true
}

// IsMember tells whether somebody is listed as a member. Of a gated community
// the open part of the description lists nobody.
func (c Community) IsMember(k key.Public) bool {
	_, ok := c.Description.Member(IDOf(k))
	return ok
}

// IsBanned tells whether somebody is kept out.
func (c Community) IsBanned(k key.Public) bool {
	_, ok := c.Description.Ban(IDOf(k))
	return ok
}

// Role returns what somebody is to the community. Who has the community's key
// is its owner.
func (c Community) Role(k key.Public) Role {
	if k == c.Key && !k.IsZero() {
		return Owner
	}
	m, _ := c.Description.Member(IDOf(k))
	return m.Role
}

// IsPrivileged tells whether somebody may moderate: the control node, the
// owner, token masters and admins.
func (c Community) IsPrivileged(k key.Public) bool { return c.Role(k).IsPrivileged() }

// access looks somebody up for a channel: whether they may see it, and as whom.
func (c Community) access(k key.Public, uuid string) (ch Channel, m Member, ok bool) {
	ch, ok = c.Description.Channel(uuid)
	if !ok || k.IsZero() {
		return ch, m, false
	}
	id := IDOf(k)
	if k == c.Key {
		return ch, Member{ID: id, Role: Owner}, true
	}
	if _, banned := c.Description.Ban(id); banned {
		return ch, m, false
	}
	if _, ok = c.Description.Member(id); !ok {
		return ch, m, false
	}
	m, ok = findMember(ch.Members, id)
	return ch, m, ok
}

// CanView tells whether somebody may read a channel as a member of it. Open
// channels can be followed by strangers, too: see [Channel.Encrypted].
func (c Community) CanView(k key.Public, uuid string) bool {
	_, _, ok := c.access(k, uuid)
	return ok
}

// CanPost tells whether somebody may write in a channel. Senders check before
// sending, receivers when a message comes.
func (c Community) CanPost(k key.Public, uuid string) bool {
	_, m, ok := c.access(k, uuid)
	return ok && !m.Viewer
}

// CanReact tells whether somebody may react in a channel.
func (c Community) CanReact(k key.Public, uuid string) bool {
	ch, m, ok := c.access(k, uuid)
	return ok && (!m.Viewer || ch.ViewersReact)
}

// CanPin tells whether somebody may pin and unpin in a channel.
func (c Community) CanPin(k key.Public, uuid string) bool {
	return c.CanView(k, uuid) && (c.Description.PinByAll || c.IsPrivileged(k))
}

// CanDelete tells whether somebody may delete messages of others in a channel.
func (c Community) CanDelete(k key.Public, uuid string) bool {
	return c.CanView(k, uuid) && c.IsPrivileged(k)
}

// Removed returns who is a member before and not after.
func Removed(before, after Description) []ID {
	var gone []ID
	for _, m := range before.Members {
		if _, ok := after.Member(m.ID); !ok {
			gone = append(gone, m.ID)
		}
	}
	return gone
}

// Kicks returns who must be sent a [Kicked] message: who was removed from a
// gated community, for they cannot read the new description. Of an open
// community it says so itself, and nothing can be told from a description whose
// members are encrypted.
func Kicks(before, after Description) []ID {
	if !before.Gated && !after.Gated || before.Sealed > 0 || after.Sealed > 0 {
		return nil
	}
	return Removed(before, after)
}
