package view

import (
	"cmp"
	"time"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/app/verify"
)

// Contact is somebody the account knows.
type Contact struct {
	// Key is the contact's, zQ3sh….
	Key key.Public `json:"key"`
	// PublicKey is the same key as 0x04….
	PublicKey string `json:"public_key"`
	// Name is the nickname given here, else a verified ENS name, else the name
	// the contact gives, else the alias.
	Name string `json:"name"`
	// Alias is three words that follow from the key.
	Alias string `json:"alias"`
	// Nickname is the name given here.
	Nickname string `json:"nickname,omitempty"`
	// DisplayName is the name the contact gives.
	DisplayName string `json:"display_name,omitempty"`
	// ENSName is what the contact claims.
	ENSName string `json:"ens_name,omitempty"`
	// ENSVerified tells that the claim was found to be true.
	ENSVerified bool `json:"ens_verified,omitempty"`
	// Bio is what the contact says of themselves.
	Bio string `json:"bio,omitempty"`
	// Color is the word for the contact's customisation colour.
	Color string `json:"color,omitempty"`
	// Picture tells that there is a profile picture of theirs, which is had by a
	// call of its own.
	Picture bool `json:"picture,omitempty"`
	// Trust is trusted or untrustworthy, as we have marked them; empty for
	// neither.
	Trust string `json:"trust,omitempty"`
	// Presence is automatic, do_not_disturb, always_online, inactive or
	// unknown; empty for somebody who has not said anything for long.
	Presence contact.Presence `json:"presence,omitempty"`
	// PresenceText is what they say to it.
	PresenceText string `json:"presence_text,omitempty"`
	// AddedAt is when we first asked or accepted.
	AddedAt int64 `json:"added_at,omitempty"`
	// State is sent, received, mutual or none.
	State contact.State `json:"state"`
	// Blocked tells that nothing of theirs is let in.
	Blocked bool `json:"blocked"`
	// Declined tells that we declined the contact's request.
	Declined bool `json:"declined,omitempty"`
}

// NewContact shows a contact as they are at a time; picture tells whether there
// is one.
func NewContact(c contact.Contact, picture bool, now time.Time) Contact {
	alias := account.Alias(c.Key)
	shown := Contact{
		Key:         c.Key,
		PublicKey:   c.Key.Hex(),
		Name:        cmp.Or(c.Nickname, VerifiedENS(c), c.DisplayName, alias),
		Alias:       alias,
		Nickname:    c.Nickname,
		DisplayName: c.DisplayName,
		ENSName:     c.ENSName,
		ENSVerified: c.ENSVerified,
		Bio:         c.Bio,
		Color:       colorName(c.Color),
		Picture:     picture,
		State:       c.State(),
		Blocked:     c.Blocked,
		Declined:    c.IsDismissed(),
	}
	if c.Trust != contact.TrustUnknown {
		shown.Trust = c.Trust.String()
	}
	shown.Presence, shown.PresenceText = presence(c.Status, now)
	if !c.AddedAt.IsZero() {
		shown.AddedAt = c.AddedAt.UnixMilli()
	}
	return shown
}

// colorName is the word for a customisation colour, empty for none.
func colorName(id uint32) string {
	if id == 0 {
		return ""
	}
	return contact.ColorName(id)
}

// presence is what a status says as long as it holds.
func presence(s contact.Status, now time.Time) (contact.Presence, string) {
	shown := s.Shown(now)
	if shown == "" {
		return "", ""
	}
	return shown, s.Text
}

// Profile is what others are told about us.
type Profile struct {
	Person
	// Name is the display name.
	Name string `json:"name"`
	// Alias is what we are called without one.
	Alias string `json:"alias"`
	// Bio is what we say of ourselves.
	Bio string `json:"bio,omitempty"`
	// Color is the word for the customisation colour.
	Color string `json:"color,omitempty"`
	// Link is the share URL by which others add us.
	Link string `json:"link"`
	// ENSName is the name that we claim.
	ENSName string `json:"ens_name,omitempty"`
	// Picture says who may see the picture: everyone, contacts or nobody; empty
	// for none.
	Picture picture.ShowTo `json:"picture,omitempty"`
	// Presence is what we said last about being there, as long as it holds.
	Presence contact.Presence `json:"presence,omitempty"`
	// PresenceText is what we say to it.
	PresenceText string `json:"presence_text,omitempty"`
}

// NewProfile shows our profile as it is at a time.
func NewProfile(self key.Public, p contact.Profile, showTo picture.ShowTo, s contact.Status, now time.Time) Profile {
	shown := Profile{
		Person: NewPerson(self), Name: p.DisplayName, Alias: account.Alias(self), Bio: p.Bio,
		Color: colorName(p.Color), Link: share.Link(self, p.DisplayName), ENSName: p.ENSName, Picture: showTo,
	}
	shown.Presence, shown.PresenceText = presence(s, now)
	return shown
}

// ContactRequest is that somebody asks to become a contact.
type ContactRequest struct {
	Person
	// Name is what they are called.
	Name string `json:"name"`
	// Text is what they say, which may be nothing.
	Text string `json:"text"`
	// Message is the id of what they asked with: of a message of the chat with
	// them, if they wrote one.
	Message message.ID `json:"message"`
}

// ContactPicture is that somebody's profile picture is another one.
type ContactPicture struct {
	Person
	// There tells that there is a picture now.
	There bool `json:"there"`
}

// Presence is what somebody says about being there.
type Presence struct {
	Person
	// Presence is automatic, do_not_disturb, always_online, inactive or
	// unknown.
	Presence contact.Presence `json:"presence"`
	// PresenceText is what they say to it.
	PresenceText string `json:"presence_text,omitempty"`
}

// Verification is a question that one contact has asked another to make sure of
// them, and what became of it.
type Verification struct {
	// ID is that of the question.
	ID message.ID `json:"id"`
	Person
	// Own tells that we have asked.
	Own bool `json:"own"`
	// State is pending, accepted (that is, answered), declined, canceled,
	// trusted or untrustworthy.
	State string `json:"state"`
	// Challenge is what was asked.
	Challenge string `json:"challenge"`
	// Response is what was answered.
	Response string `json:"response,omitempty"`
	// AskedClock is when, in milliseconds.
	AskedClock uint64 `json:"asked_clock"`
	// AnsweredClock is when it was answered, declined or taken back.
	AnsweredClock uint64 `json:"answered_clock,omitempty"`
}

// NewVerification shows a question.
func NewVerification(r verify.Request) Verification {
	return Verification{r.ID, NewPerson(r.Peer), r.Own, r.State.String(), r.Challenge, r.Response, r.AskedClock, r.AnsweredClock}
}
