// Package ratchet is the double ratchet over secp256k1 as pure values: a
// [State] goes in, a new one comes out, and on an error the old one is all
// there is. Keys of messages that have not arrived yet are not in the state;
// Decrypt names those to be kept and asks for one through [Lookup], so the
// ordinary message, next in its chain, costs nothing for them.
//
// Specification: 53/WAKU2-X3DH, Double Ratchet, and Signal's Double Ratchet.
// Deployed clients (status-go) use secp256k1 where 53 says Curve25519, and bind
// only the header, not the identity keys, as associated data; so does this
// package.
package ratchet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/parley-im/parley/account/key"
)

// Limits, as deployed clients have them.
const (
	// MaxSkip is how many messages of one chain may be missing when a later
	// one arrives.
	MaxSkip = 1000
	// MaxKeep is how long the key of a missing message is kept: until this
	// many further message keys have been derived.
	MaxKeep = 3000
	// MaxStored is how many keys of missing messages one session keeps; the
	// oldest go first.
	MaxStored = 2000
)

// PublicSize is the size of a ratchet key on the wire: compressed.
const PublicSize = key.CompressedSize

// Errors of Decrypt and Encrypt.
var (
	// ErrReplay: the message was decrypted before, or its key has been dropped.
	ErrReplay = errors.New("ratchet: message key is gone: decrypted before, or missing for too long")
	// ErrTooManySkipped: accepting the message would skip more than MaxSkip.
	ErrTooManySkipped = errors.New("ratchet: too many messages skipped")
	// ErrMAC: the message is not of this session, or was changed.
	ErrMAC = errors.New("ratchet: message authentication failed")
	// ErrHeader: the header names no point of the curve.
	ErrHeader = errors.New("ratchet: malformed header")
	// ErrExhausted: the sending chain has reached its last number.
	ErrExhausted = errors.New("ratchet: sending chain is exhausted")
	// ErrState: the bytes are no encoded state.
	ErrState = errors.New("ratchet: malformed state")
)

// Header is what goes with a ciphertext in the clear. It is authenticated.
type Header struct {
	// Key is the sender's ratchet key, compressed.
	Key [PublicSize]byte
	// N is the number of the message in the sender's chain.
	N uint32
	// PN is the length of the sender's chain before this one.
	PN uint32
}

// Message is a header with its ciphertext: iv (16) ‖ AES-256-CTR ‖
// HMAC-SHA-256 (32).
type Message struct {
	Header     Header
	Ciphertext []byte
}

// associatedData is LE32(n) ‖ LE32(pn) ‖ ratchet key.
func (h Header) associatedData() [8 + PublicSize]byte {
	var ad [8 + PublicSize]byte
	binary.LittleEndian.PutUint32(ad[0:], h.N)
	binary.LittleEndian.PutUint32(ad[4:], h.PN)
	copy(ad[8:], h.Key[:])
	return ad
}

// State is one session of two parties as one of them sees it. It is a plain
// value without pointers: a copy is independent. It holds secrets and prints
// as [ratchet state].
type State struct {
	// Root is the root key, Send and Recv the chain keys.
	Root, Send, Recv [32]byte
	// Own is our ratchet key pair: private half, and compressed public half.
	Own       [key.PrivateSize]byte
	OwnPublic [PublicSize]byte
	// Remote is the peer's ratchet key, compressed; all zero before the first
	// message to a responder.
	Remote [PublicSize]byte
	// SendN and RecvN number the next message of either chain; PN is the
	// length of our chain before this one.
	SendN, RecvN, PN uint32
	// Derived counts the receiving message keys derived in the session so far.
	Derived uint64
}

// String hides the state.
func (State) String() string { return "[ratchet state]" }

// Format hides the state from every verb of package fmt.
func (s State) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// Skipped is a message key to keep for a message that has not arrived.
type Skipped struct {
	// Key and N are those of the missing message's header.
	Key [PublicSize]byte
	N   uint32
	// Seq numbers the key among all receiving keys of the session, from 1.
	Seq uint64
	// MessageKey is secret.
	MessageKey [32]byte
}

// Lookup finds the kept key of a missing message. A nil Lookup has none.
type Lookup func(ratchetKey [PublicSize]byte, n uint32) (messageKey [32]byte, found bool, err error)

// Decrypted is the outcome of Decrypt.
type Decrypted struct {
	Plaintext []byte
	// State replaces the state that was handed in.
	State State
	// Skipped are keys to keep, by rising Seq.
	Skipped []Skipped
	// UsedSkipped says that the key found by Lookup was used: it is to be
	// deleted. State is then unchanged.
	UsedSkipped bool
}

// InitInitiator starts the session of the party that began: secret is the X3DH
// secret, remote the peer's signed pre key. Our first ratchet key is the next
// 32 bytes of rand (key.Generate).
func InitInitiator(secret [32]byte, remote key.Public, rand io.Reader) (State, error) {
	own, err := key.Generate(rand)
	if err != nil {
		return State{}, err
	}
	s := State{Root: secret, Send: secret, Recv: secret, Remote: remote.Compressed()}
	s.setOwn(own)
	shared, err := own.ECDH(remote)
	if err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	s.Root, s.Send = rootStep(s.Root, shared)
	return s, nil
}

// InitResponder starts the session of the party whose signed pre key, own, the
// peer used.
func InitResponder(secret [32]byte, own key.Private) State {
	s := State{Root: secret, Send: secret, Recv: secret}
	s.setOwn(own)
	return s
}

func (s *State) setOwn(own key.Private) {
	s.Own = [key.PrivateSize]byte(own.Bytes())
	s.OwnPublic = own.Public().Compressed()
}

// Encrypt seals the next message of the sending chain.
func Encrypt(s State, plaintext []byte) (State, Message, error) {
	if s.SendN == math.MaxUint32 {
		return s, Message{}, ErrExhausted
	}
	h := Header{Key: s.OwnPublic, N: s.SendN, PN: s.PN}
	next, messageKey := chainStep(s.Send)
	ciphertext := seal(messageKey, h, plaintext)
	s.Send = next
	s.SendN++
	return s, Message{h, ciphertext}, nil
}

// Decrypt opens a message. When the message begins a new chain of the peer,
// our next ratchet key is the next 32 bytes of rand (key.Generate); otherwise
// rand is not read. Errors: ErrReplay, ErrTooManySkipped, ErrMAC, ErrHeader, or
// that of rand or lookup.
func Decrypt(s State, m Message, lookup Lookup, rand io.Reader) (Decrypted, error) {
	if m.Header.Key == ([PublicSize]byte{}) {
		return Decrypted{}, fmt.Errorf("%w: no ratchet key", ErrHeader)
	}
	sameChain := m.Header.Key == s.Remote
	if lookup != nil && (!sameChain || m.Header.N < s.RecvN) {
		messageKey, found, err := lookup(m.Header.Key, m.Header.N)
		if err != nil {
			return Decrypted{}, err
		}
		if found {
			plaintext, err := open(messageKey, m.Header, m.Ciphertext)
			if err != nil {
				return Decrypted{}, err
			}
			return Decrypted{Plaintext: plaintext, State: s, UsedSkipped: true}, nil
		}
	}
	var skipped []Skipped
	var err error
	if !sameChain {
		if s.Remote != ([PublicSize]byte{}) {
			if skipped, err = s.skip(skipped, m.Header.PN); err != nil {
				return Decrypted{}, err
			}
		}
		if err := s.turn(m.Header.Key, rand); err != nil {
			return Decrypted{}, err
		}
	}
	if skipped, err = s.skip(skipped, m.Header.N); err != nil {
		return Decrypted{}, err
	}
	if s.RecvN == math.MaxUint32 {
		return Decrypted{}, fmt.Errorf("%w: last number of a chain", ErrHeader)
	}
	messageKey := s.receive()
	plaintext, err := open(messageKey, m.Header, m.Ciphertext)
	if err != nil {
		return Decrypted{}, err
	}
	return Decrypted{Plaintext: plaintext, State: s, Skipped: skipped}, nil
}

// skip derives the keys of the receiving chain up to, not including, until.
func (s *State) skip(skipped []Skipped, until uint32) ([]Skipped, error) {
	if until < s.RecvN {
		return nil, fmt.Errorf("%w: number %d, next is %d", ErrReplay, until, s.RecvN)
	}
	if n := until - s.RecvN; n > MaxSkip {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrTooManySkipped, n, MaxSkip)
	}
	skipped = slices.Grow(skipped, int(until-s.RecvN))
	for s.RecvN < until {
		n := s.RecvN
		messageKey := s.receive()
		skipped = append(skipped, Skipped{Key: s.Remote, N: n, Seq: s.Derived, MessageKey: messageKey})
	}
	return skipped, nil
}

// receive derives the next key of the receiving chain.
func (s *State) receive() [32]byte {
	next, messageKey := chainStep(s.Recv)
	s.Recv = next
	s.RecvN++
	s.Derived++
	return messageKey
}

// turn makes the Diffie-Hellman step that a new ratchet key of the peer asks
// for.
func (s *State) turn(remote [PublicSize]byte, rand io.Reader) error {
	peer, err := key.PublicFromBytes(remote[:])
	if err != nil {
		return fmt.Errorf("%w: ratchet key: %w", ErrHeader, err)
	}
	own, err := key.PrivateFromBytes(s.Own[:])
	if err != nil {
		return fmt.Errorf("%w: own ratchet key", ErrState)
	}
	shared, err := own.ECDH(peer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrHeader, err)
	}
	fresh, err := key.Generate(rand)
	if err != nil {
		return err
	}
	s.PN, s.SendN, s.RecvN = s.SendN, 0, 0
	s.Remote = remote
	s.Root, s.Recv = rootStep(s.Root, shared)
	if shared, err = fresh.ECDH(peer); err != nil {
		return fmt.Errorf("%w: %w", ErrHeader, err)
	}
	s.Root, s.Send = rootStep(s.Root, shared)
	s.setOwn(fresh)
	return nil
}
