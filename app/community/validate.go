package community

import (
	"fmt"
	"unicode/utf8"

	apppb "github.com/parley-im/parley/pb/app"
)

// Limits of what a community says of itself (deployed clients). They count
// bytes of what we send and characters of what we receive, so that nothing is
// refused here that another client took.
const (
	MaxName  = 30
	MaxText  = 140
	MaxIntro = 1400
	MaxOutro = 80
	// MaxCriteria is of one token permission.
	MaxCriteria = 5
)

// Limits that no specification gives; they keep a hostile owner from filling
// our memory.
const (
	MaxDescriptionSize = 8 << 20 // bytes
	MaxMembers         = 50_000
	MaxBanned          = 50_000
	MaxChannels        = 1000
	MaxCategories      = 500
	MaxPermissions     = 500
	// MaxLabel is the longest name or text of a channel or category, in
	// characters.
	MaxLabel = 1000
)

// validate checks what a received description must have.
func validate(m *apppb.CommunityDescription) error {
	if m.Clock == 0 {
		return fmt.Errorf("%w: without clock", ErrMalformed)
	}
	if m.Permissions.GetAccess() == apppb.CommunityPermissions_UNKNOWN_ACCESS {
		return ErrAccess
	}
	if n := utf8.RuneCountInString(m.Identity.GetDisplayName()); n < 1 || n > MaxName {
		return fmt.Errorf("%w: %d characters, want 1 to %d", ErrName, n, MaxName)
	}
	for _, t := range []struct {
		what, text string
		limit      int
	}{
		{"description", m.Identity.GetDescription(), MaxText},
		{"introduction", m.IntroMessage, MaxIntro},
		{"outro", m.OutroMessage, MaxOutro},
		{"colour", m.Identity.GetColor(), MaxLabel},
		{"emoji", m.Identity.GetEmoji(), MaxLabel},
	} {
		if n := utf8.RuneCountInString(t.text); n > t.limit {
			return fmt.Errorf("%w: %s of %d characters, at most %d", ErrText, t.what, n, t.limit)
		}
	}
	if n := len(m.Members); n > MaxMembers {
		return fmt.Errorf("%w: %d, at most %d", ErrMembers, n, MaxMembers)
	}
	if n := len(m.BannedMembers) + len(m.BanList); n > 2*MaxBanned {
		return fmt.Errorf("%w: %d banned in two lists, at most %d", ErrMembers, n, 2*MaxBanned)
	}
	if err := validateCategories(m); err != nil {
		return err
	}
	if err := validateChannels(m); err != nil {
		return err
	}
	return validatePermissions(m)
}

func validateCategories(m *apppb.CommunityDescription) error {
	if n := len(m.Categories); n > MaxCategories {
		return fmt.Errorf("%w: %d of them, at most %d", ErrCategory, n, MaxCategories)
	}
	for id, g := range m.Categories {
		if g.GetCategoryId() == "" || g.GetName() == "" {
			return fmt.Errorf("%w: without id or name", ErrCategory)
		}
		if g.GetCategoryId() != id {
			return fmt.Errorf("%w: listed under another id", ErrCategory)
		}
		if n := utf8.RuneCountInString(g.GetName()); n > MaxLabel || len(id) > MaxLabel {
			return fmt.Errorf("%w: name of %d characters, at most %d", ErrCategory, n, MaxLabel)
		}
	}
	return nil
}

func validateChannels(m *apppb.CommunityDescription) error {
	if n := len(m.Chats); n > MaxChannels {
		return fmt.Errorf("%w: %d of them, at most %d", ErrChannel, n, MaxChannels)
	}
	for _, ch := range m.Chats {
		if ch.GetPermissions().GetAccess() == apppb.CommunityPermissions_UNKNOWN_ACCESS || ch.GetIdentity() == nil {
			return fmt.Errorf("%w: without permissions or identity", ErrChannel)
		}
		if id := ch.GetCategoryId(); id != "" && m.Categories[id] == nil {
			return fmt.Errorf("%w: in a category that is not there", ErrChannel)
		}
		identity := ch.GetIdentity()
		for _, text := range []string{identity.GetDisplayName(), identity.GetDescription(), identity.GetColor(), identity.GetEmoji()} {
			if n := utf8.RuneCountInString(text); n > MaxLabel {
				return fmt.Errorf("%w: text of %d characters, at most %d", ErrChannel, n, MaxLabel)
			}
		}
		for id := range ch.GetMembers() {
			if m.Members[id] == nil {
				return fmt.Errorf("%w: of a channel and not of the community", ErrMembers)
			}
		}
	}
	return nil
}

func validatePermissions(m *apppb.CommunityDescription) error {
	if n := len(m.TokenPermissions); n > MaxPermissions {
		return fmt.Errorf("%w: %d, at most %d", ErrPermissions, n, MaxPermissions)
	}
	for _, p := range m.TokenPermissions {
		if n := len(p.GetTokenCriteria()); n > MaxCriteria {
			return fmt.Errorf("%w: %d criteria, at most %d", ErrPermissions, n, MaxCriteria)
		}
	}
	return nil
}
