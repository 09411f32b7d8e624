package sds

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrID says that a message does not have the id that its rule gives it, so
// that it may be a forgery in another message's place.
var ErrID = errors.New("message id does not belong to the message")

// IDRule is how a network makes message ids. The specification asks for a
// unique one, likely a hash.
type IDRule int

// The rules.
const (
	// SaltedID is the lower-case base32 (RFC 4648, the extended hexadecimal
	// alphabet, whose order is that of the bytes) of 5 random bytes and the
	// first 20 bytes of SHA-256 over them, channel, sender, Lamport timestamp
	// and content: 40 characters. Equal content sent twice has two ids, even
	// from two devices in one millisecond, and whoever receives a message can
	// check that it is the one others refer to.
	SaltedID IDRule = iota
	// ContentID is the lower-case hexadecimal SHA-256 of the content, as
	// @waku/sds makes it: equal content is one message, whoever sends it when.
	// Send refuses content that is in the log; received copies are duplicates.
	ContentID
	// FreeID writes SaltedID and accepts any id, for networks in which
	// applications choose them (nim-sds). A message can be forged in the
	// place of one that has not arrived yet.
	FreeID
)

const (
	saltSize    = 5
	saltedSize  = saltSize + 20
	syncIDSize  = 10
	syncIDStart = "sync-"
)

var idText = base32.HexEncoding.WithPadding(base32.NoPadding)

// ref stands for a message id in the store: its SHA-256.
type ref [sha256.Size]byte

func refOf(id string) ref { return sha256.Sum256([]byte(id)) }

// newID makes the id of a content or ephemeral message.
func (c *Channel) newID(rand io.Reader, lamport uint64, content []byte) (string, error) {
	if c.Config.IDs == ContentID {
		return contentID(content), nil
	}
	var salt [saltSize]byte
	if _, err := io.ReadFull(rand, salt[:]); err != nil {
		return "", fmt.Errorf("drawing a message id: %w", err)
	}
	return saltedID(salt[:], c.ID, c.Self, lamport, content), nil
}

// newSyncID makes the id of a sync message, which nothing refers to.
func newSyncID(rand io.Reader) (string, error) {
	var b [syncIDSize]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("drawing a message id: %w", err)
	}
	return syncIDStart + strings.ToLower(idText.EncodeToString(b[:])), nil
}

// checkID reports whether a content or ephemeral message has the id that its
// rule gives it.
func (c *Channel) checkID(m *Message) error {
	ok := true
	switch c.Config.IDs {
	case ContentID:
		ok = same(m.ID, contentID(m.Content))
	case SaltedID:
		var raw [saltedSize]byte
		n, err := idText.Decode(raw[:], []byte(strings.ToUpper(m.ID[:min(len(m.ID), idText.EncodedLen(saltedSize))])))
		ok = err == nil && n == saltedSize && same(m.ID, saltedID(raw[:saltSize], m.Channel, m.Sender, m.Lamport, m.Content))
	}
	if !ok {
		return fmt.Errorf("%w: %.64q", ErrID, m.ID)
	}
	return nil
}

func contentID(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func saltedID(salt []byte, channel, sender string, lamport uint64, content []byte) string {
	h := sha256.New()
	var number [8]byte
	part := func(b []byte) {
		binary.BigEndian.PutUint64(number[:], uint64(len(b)))
		h.Write(number[:])
		h.Write(b)
	}
	part([]byte("SDS message id"))
	part(salt)
	part([]byte(channel))
	part([]byte(sender))
	binary.BigEndian.PutUint64(number[:], lamport)
	h.Write(number[:])
	part(content)
	raw := append(make([]byte, 0, saltSize+sha256.Size), salt...)
	return strings.ToLower(idText.EncodeToString(h.Sum(raw)[:saltedSize]))
}

// same compares without telling where two ids differ, as for every hash that
// authenticates.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
