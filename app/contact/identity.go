package contact

import (
	"fmt"
	"time"

	apppb "github.com/parley-im/parley/pb/app"
)

// Identity returns the profile as the payload of a CHAT_IDENTITY. Its clock is
// the time, in milliseconds.
func (p Profile) Identity(now time.Time) *apppb.ChatIdentity {
	return &apppb.ChatIdentity{
		Clock:              uint64(max(now.UnixMilli(), 0)),
		EnsName:            p.ENSName,
		DisplayName:        p.DisplayName,
		Description:        p.Bio,
		CustomizationColor: p.Color,
	}
}

// Check checks a profile that is to be our own and returns it trimmed.
func (p Profile) Check(isAlias func(string) bool) (Profile, error) {
	name, err := CheckName(p.DisplayName, isAlias)
	if err != nil {
		return Profile{}, err
	}
	if err := CheckBio(p.Bio); err != nil {
		return Profile{}, err
	}
	p.DisplayName = name
	return p, nil
}

// ContactCode returns the payload of a CONTACT_CODE_ADVERTISEMENT; the bundle
// of keys that it advertises is the encryption layer's. identity may be nil: it
// need not go with every one.
func ContactCode(identity *apppb.ChatIdentity) *apppb.ContactCodeAdvertisement {
	return &apppb.ContactCodeAdvertisement{ChatIdentity: identity}
}

// ApplyIdentity applies a ChatIdentity, alone or out of a contact code; nil is
// none. One with an equal or older clock is ignored.
func (c Contact) ApplyIdentity(m *apppb.ChatIdentity, in Incoming) (Contact, error) {
	if m == nil {
		return c, nil
	}
	if err := c.before(in, m.Clock); err != nil {
		return c, fmt.Errorf("chat identity: %w", err)
	}
	name, err := CheckReceivedName(m.DisplayName, in.IsAlias)
	if err != nil {
		return c, fmt.Errorf("chat identity: %w", err)
	}
	if err := CheckBio(m.Description); err != nil {
		return c, fmt.Errorf("chat identity: %w", err)
	}
	if m.Clock <= c.IdentityClock {
		return c, nil
	}
	c.IdentityClock, c.Bio = m.Clock, m.Description
	// Contact updates and chat messages carry names too, and may be newer.
	if m.Clock > c.UpdatedClock {
		c.UpdatedClock, c.ENSName, c.Color = m.Clock, m.EnsName, m.CustomizationColor
		if name != "" {
			c.DisplayName = name
		}
	}
	return c, nil
}
