package picture

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

const (
	// MaxKeys is the most contacts pictures are encrypted for, and the most
	// keys that are tried.
	MaxKeys = 4096
	// MaxSealed is the most images of an identity that are opened.
	MaxSealed = 8

	imageKeySize = 32
	nonceSize    = 12
	tagSize      = 16
)

// ErrContacts means that there are too many contacts to encrypt for.
var ErrContacts = errors.New("too many contacts to encrypt pictures for")

// Seal encrypts the images of an identity for contacts (deployed clients): each
// payload with AES-256-GCM under one random key, and that key for every contact
// under the secret agreed with them, the 12 bytes of the nonce before every
// ciphertext. The given images are not changed.
//
// What it does not hide: that there are pictures, how large they are, and for
// how many contacts.
func Seal(rand io.Reader, own key.Private, contacts []key.Public, images map[string]*apppb.IdentityImage) (map[string]*apppb.IdentityImage, error) {
	if len(contacts) > MaxKeys {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrContacts, len(contacts), MaxKeys)
	}
	imageKey := make([]byte, imageKeySize)
	if _, err := io.ReadFull(rand, imageKey); err != nil {
		return nil, fmt.Errorf("encrypting pictures: %w", err)
	}
	// The key is wrapped once: all images have the same.
	wrapped := make([][]byte, 0, len(contacts))
	for _, contact := range contacts {
		shared, err := own.ECDH(contact)
		if err != nil {
			return nil, fmt.Errorf("encrypting pictures: %w", err)
		}
		w, err := seal(rand, shared[:], imageKey)
		if err != nil {
			return nil, err
		}
		wrapped = append(wrapped, w)
	}
	sealed := make(map[string]*apppb.IdentityImage, len(images))
	for _, name := range slices.Sorted(maps.Keys(images)) { // the order of rand
		payload, err := seal(rand, imageKey, images[name].GetPayload())
		if err != nil {
			return nil, err
		}
		out := proto.CloneOf(images[name])
		if out == nil {
			out = new(apppb.IdentityImage)
		}
		out.Payload, out.Encrypted, out.EncryptionKeys = payload, true, wrapped
		sealed[name] = out
	}
	return sealed, nil
}

// Unseal decrypts the images that sender encrypted for us and returns them
// beside those that were not encrypted; what does not open is left out. At most
// MaxSealed images and MaxKeys keys in all are tried. The given images are not
// changed.
func Unseal(own key.Private, sender key.Public, images map[string]*apppb.IdentityImage) map[string]*apppb.IdentityImage {
	open := &opener{own: own, sender: sender}
	out := make(map[string]*apppb.IdentityImage, len(images))
	for _, name := range slices.Sorted(maps.Keys(images)) {
		m := images[name]
		if !m.GetEncrypted() {
			out[name] = m
			continue
		}
		payload, ok := open.image(m)
		if !ok {
			continue
		}
		opened := &apppb.IdentityImage{Payload: payload, SourceType: m.SourceType, ImageFormat: m.ImageFormat}
		out[name] = opened
	}
	return out
}

// opener decrypts the images of one identity.
type opener struct {
	own    key.Private
	sender key.Public

	tried, images int
	shared        cipher.AEAD // nil until it is needed
	imageKey      cipher.AEAD // the one that opened the last image
}

func (o *opener) image(m *apppb.IdentityImage) ([]byte, bool) {
	if o.images++; o.images > MaxSealed || len(m.Payload) > MaxIdentityBytes+nonceSize+tagSize {
		return nil, false
	}
	if o.imageKey != nil { // all images have the same key, as a rule
		if payload, ok := unseal(o.imageKey, m.Payload); ok {
			return payload, true
		}
	}
	if o.shared == nil {
		secret, err := o.own.ECDH(o.sender)
		if err != nil {
			return nil, false
		}
		if o.shared, err = gcm(secret[:]); err != nil {
			return nil, false
		}
	}
	for _, wrapped := range m.EncryptionKeys {
		if o.tried++; o.tried > MaxKeys {
			return nil, false
		}
		if len(wrapped) != nonceSize+imageKeySize+tagSize {
			continue
		}
		raw, ok := unseal(o.shared, wrapped)
		if !ok {
			continue
		}
		aead, err := gcm(raw)
		if err != nil {
			continue
		}
		if payload, ok := unseal(aead, m.Payload); ok {
			o.imageKey = aead
			return payload, true
		}
	}
	return nil, false
}

func gcm(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("encrypting pictures: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("encrypting pictures: %w", err)
	}
	return aead, nil
}

// seal returns nonce and ciphertext.
func seal(rand io.Reader, secret, plain []byte) ([]byte, error) {
	aead, err := gcm(secret)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, nonceSize, nonceSize+len(plain)+tagSize)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("encrypting pictures: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, nil), nil
}

func unseal(aead cipher.AEAD, sealed []byte) ([]byte, bool) {
	if len(sealed) < nonceSize {
		return nil, false
	}
	plain, err := aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], nil)
	return plain, err == nil
}
