package contact

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

const (
	// IdentityInterval is how often a ChatIdentity goes with the contact code,
	// or to one peer, when nothing in it has changed (deployed clients).
	IdentityInterval = 24 * time.Hour
	// UpdateInterval is how often all contacts get a ContactUpdate when
	// nothing in it has changed (62/STATUS-PAYLOADS, ContactUpdate).
	UpdateInterval = 48 * time.Hour
)

// Digest is different for everything that can be said about ourselves.
type Digest [32]byte

// Told is when somebody, or everybody, was told who we are, and what. The zero
// value is never.
type Told struct {
	Digest Digest    `json:"digest"`
	At     time.Time `json:"at"`
}

// Due tells whether to tell it again: it has changed, or the interval has
// passed. A time far ahead is one of a clock that was wrong.
func (t Told) Due(digest Digest, now time.Time, interval time.Duration) bool {
	return t.At.IsZero() || t.Digest != digest || now.Sub(t.At).Abs() >= interval
}

// Digest returns the digest of a profile and its pictures, which may be nil.
func (p Profile) Digest(pictures Pictures) Digest {
	var b []byte
	field := func(s []byte) {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	field([]byte(p.DisplayName))
	field([]byte(p.ENSName))
	field([]byte(p.Bio))
	b = binary.BigEndian.AppendUint32(b, p.Color)
	for _, name := range slices.Sorted(maps.Keys(pictures)) {
		picture := pictures[name]
		field([]byte(name))
		field(picture.GetPayload())
		b = binary.BigEndian.AppendUint32(b, uint32(picture.GetSourceType()))
		b = binary.BigEndian.AppendUint32(b, uint32(picture.GetImageFormat()))
		b = binary.BigEndian.AppendUint64(b, uint64(len(picture.GetEncryptionKeys())))
		for _, k := range picture.GetEncryptionKeys() {
			field(k)
		}
	}
	return key.Keccak256(b)
}

// IdentityWith returns the profile with its pictures as the payload of a
// CHAT_IDENTITY; without pictures it says that there are none.
func (p Profile) IdentityWith(pictures Pictures, now time.Time) *apppb.ChatIdentity {
	identity := p.Identity(now)
	identity.Images = pictures
	return identity
}
