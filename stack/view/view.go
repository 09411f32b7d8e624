// Package view is what leaves the library: messages, chats, contacts and the
// rest as the API, the command line and the event stream show them, the same
// in all three.
//
// The names of JSON fields are stable, and fields are only added. Keys are
// shown in two forms, zQ3sh… and 0x04…; ids are 0x…; times and clocks are Unix
// time in milliseconds. The comments of the fields are what docs/events.md says
// of them.
package view

import (
	"cmp"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
)

// Person is somebody by their key.
type Person struct {
	// Key is the person's, zQ3sh….
	Key key.Public `json:"key"`
	// PublicKey is the same key as 0x04….
	PublicKey string `json:"public_key"`
}

// NewPerson shows a key.
func NewPerson(pub key.Public) Person { return Person{pub, pub.Hex()} }

// NewPeople shows several keys, nil for none.
func NewPeople(keys []key.Public) []Person {
	var all []Person
	for _, k := range keys {
		all = append(all, NewPerson(k))
	}
	return all
}

// hexOf is a key as 0x04…, empty for nobody.
func hexOf(pub key.Public) string {
	if pub.IsZero() {
		return ""
	}
	return pub.Hex()
}

// Name is what a contact is called: by the nickname given here, else by a
// verified ENS name, else by the name they give, else by the alias of their key.
func Name(c contact.Contact) string {
	if name := cmp.Or(c.Nickname, VerifiedENS(c), c.DisplayName); name != "" {
		return name
	}
	return account.Alias(c.Key) // which is long to compute
}

// VerifiedENS is the ENS name that was found to be the contact's.
func VerifiedENS(c contact.Contact) string {
	if c.ENSVerified {
		return c.ENSName
	}
	return ""
}
