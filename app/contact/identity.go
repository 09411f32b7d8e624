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

// Pictures are profile pictures by name.
type Pictures map[string]*apppb.IdentityImage

// The names of profile pictures. Others occur for communities only.
const (
	Thumbnail = "thumbnail"
	Large     = "large"
)

// Learnt is what a ChatIdentity says beside what the contact keeps.
type Learnt struct {
	// Newer: it is newer than the last one, so Pictures are those they have
	// now; a picture that is not among them is one they have no longer.
	Newer bool
	// Pictures are as received: unchecked, and perhaps encrypted.
	Pictures Pictures
}

// ApplyIdentity is [Contact.ReceiveIdentity] for who needs no pictures.
func (c Contact) ApplyIdentity(m *apppb.ChatIdentity, in Incoming) (Contact, error) {
	after, _, err := c.ReceiveIdentity(m, in)
	return after, err
}

// ReceiveIdentity applies a ChatIdentity, alone or out of a contact code; nil
// is none. One with an equal or older clock is ignored. Social links are read
// by no current client and ignored, colour and emoji are those of chats.
func (c Contact) ReceiveIdentity(m *apppb.ChatIdentity, in Incoming) (Contact, Learnt, error) {
	if m == nil {
		return c, Learnt{}, nil
	}
	if err := c.before(in, m.Clock); err != nil {
		return c, Learnt{}, fmt.Errorf("chat identity: %w", err)
	}
	name, err := CheckReceivedName(m.DisplayName, in.IsAlias)
	if err != nil {
		return c, Learnt{}, fmt.Errorf("chat identity: %w", err)
	}
	if err := CheckBio(m.Description); err != nil {
		return c, Learnt{}, fmt.Errorf("chat identity: %w", err)
	}
	if m.Clock <= c.IdentityClock {
		return c, Learnt{}, nil
	}
	c.IdentityClock, c.Bio = m.Clock, m.Description
	// Contact updates and chat messages carry names too, and may be newer.
	if m.Clock > c.UpdatedClock {
		c.claim(m.EnsName)
		c.UpdatedClock, c.Color = m.Clock, m.CustomizationColor
		if name != "" {
			c.DisplayName = name
		}
	}
	return c, Learnt{Newer: true, Pictures: pictures(m)}, nil
}

// pictures returns the profile pictures of an identity, nil for none.
func pictures(m *apppb.ChatIdentity) Pictures {
	var found Pictures
	for _, name := range []string{Thumbnail, Large} {
		if image := m.Images[name]; len(image.GetPayload()) > 0 {
			if found == nil {
				found = make(Pictures)
			}
			found[name] = image
		}
	}
	return found
}
