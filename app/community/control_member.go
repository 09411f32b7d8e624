package community

import (
	"slices"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// AddMembers lists those whose requests were accepted. Who is listed already
// stays as they are, but for the clock of the request. A community that lets
// everybody in stops to when it has MaxAutoMembers.
func (c Community) AddMembers(by Control, requests ...Request) (Community, error) {
	if err := c.controls(by); err != nil {
		return c, err
	}
	news := false
	for _, r := range requests {
		switch {
		case r.Community != c.Key:
			return c, ErrElse
		case r.State != Accepted:
			return c, ErrDecided
		case c.IsBanned(r.Member):
			return c, ErrBanned
		case r.Member.IsZero():
			return c, key.ErrPublic
		}
		m, ok := c.Description.Member(IDOf(r.Member))
		news = news || !ok || r.Clock > m.Updated
	}
	if !news {
		return c, nil
	}
	return c.change(by, func(m *apppb.CommunityDescription) error {
		if m.Members == nil {
			m.Members = map[string]*apppb.CommunityMember{}
		}
		for _, r := range requests {
			id := r.Member.Hex()
			if m.Members[id] == nil {
				m.Members[id] = &apppb.CommunityMember{}
			}
			m.Members[id].LastUpdateClock = max(m.Members[id].LastUpdateClock, r.Clock)
		}
		if len(m.Members) >= MaxAutoMembers && m.Permissions.Access == apppb.CommunityPermissions_AUTO_ACCEPT {
			m.Permissions.Access = apppb.CommunityPermissions_MANUAL_ACCEPT
		}
		return nil
	})
}

// UpdateMember records the clock of an edit of shared addresses, so that older
// ones are refused.
func (c Community) UpdateMember(by Control, k key.Public, clock uint64) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		its := m.Members[k.Hex()]
		if its == nil {
			return ErrNoMember
		}
		its.LastUpdateClock = max(its.LastUpdateClock, clock)
		return nil
	})
}

// RemoveMember takes somebody off the list: they were kicked, left, or withdrew
// a request that was accepted. They may come back.
func (c Community) RemoveMember(by Control, k key.Public) (Community, error) {
	if c.Role(k) == Owner {
		return c, ErrOwner
	}
	return c.change(by, func(m *apppb.CommunityDescription) error {
		if m.Members[k.Hex()] == nil {
			return ErrNoMember
		}
		forget(m, k.Hex())
		return nil
	})
}

// forget takes somebody out of the community and its channels.
func forget(m *apppb.CommunityDescription, id string) {
	delete(m.Members, id)
	for _, ch := range m.Chats {
		delete(ch.GetMembers(), id)
	}
}

// Ban keeps somebody out, member or not; deleteAll asks everybody to delete
// what they wrote. A ban that is there already can be changed.
func (c Community) Ban(by Control, k key.Public, deleteAll bool) (Community, error) {
	if k.IsZero() {
		return c, key.ErrPublic
	}
	if c.Role(k) == Owner {
		return c, ErrOwner
	}
	id := k.Hex()
	return c.change(by, func(m *apppb.CommunityDescription) error {
		forget(m, id)
		if m.BannedMembers == nil {
			m.BannedMembers = map[string]*apppb.CommunityBanInfo{}
		}
		if m.BannedMembers[id] == nil {
			m.BannedMembers[id] = &apppb.CommunityBanInfo{}
		}
		m.BannedMembers[id].DeleteAllMessages = deleteAll
		if !slices.Contains(m.BanList, id) {
			m.BanList = append(m.BanList, id)
		}
		return nil
	})
}

// Unban lets somebody ask to join again.
func (c Community) Unban(by Control, k key.Public) (Community, error) {
	id := k.Hex()
	return c.change(by, func(m *apppb.CommunityDescription) error {
		if !c.IsBanned(k) {
			return ErrNotBanned
		}
		delete(m.BannedMembers, id)
		m.BanList = slices.DeleteFunc(m.BanList, func(s string) bool { return s == id })
		return nil
	})
}
