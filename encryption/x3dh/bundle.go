package x3dh

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// Limits of a bundle. Deployed clients put at most three installations into
// one (54/WAKU2-X3DH-SESSIONS, Recommendations) and name them with a UUID of
// 36 characters.
const (
	// MaxInstallations is how many installations a bundle may list.
	MaxInstallations = 16
	// MaxInstallationID is the longest installation id in bytes.
	MaxInstallationID = 64
)

// ReservedID is the installation id that stands for "any device" in a message
// (53/WAKU2-X3DH); no device may have it.
const ReservedID = "none"

// Errors of bundles.
var (
	// ErrBundle means that a bundle breaks a rule of the format.
	ErrBundle = errors.New("malformed X3DH bundle")
	// ErrSignature means that a bundle is not signed by the identity it names.
	ErrSignature = errors.New("X3DH bundle signature does not fit its identity")
)

// Entry is one installation's signed pre key in a bundle.
type Entry struct {
	// Installation is the installation id, 1 to MaxInstallationID bytes.
	Installation string
	PreKey       RemotePreKey
	// Version counts the pre keys of this installation.
	Version uint32
	// ProtocolVersion is not covered by the signature.
	ProtocolVersion uint32
}

// Bundle is a bundle whose signature has been verified; only Verify and Decode
// make one.
type Bundle struct {
	identity  key.Public
	timestamp int64
	entries   []Entry
}

// Identity returns whose bundle it is: the key that signed it.
func (b Bundle) Identity() key.Public { return b.identity }

// Timestamp returns when the bundle was signed, Unix time in nanoseconds.
func (b Bundle) Timestamp() int64 { return b.timestamp }

// Entries returns the signed pre keys by installation id in byte order. Do not
// change the slice.
func (b Bundle) Entries() []Entry { return b.entries }

// Sign builds the bundle of an identity. The timestamp is Unix time in
// nanoseconds. It returns ErrBundle for entries that Verify would refuse.
func Sign(identity key.Private, entries []Entry, timestamp int64) (*encryptionpb.Bundle, error) {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Installation, b.Installation) })
	if err := checkEntries(entries); err != nil {
		return nil, err
	}
	sig, err := identity.Sign(key.Keccak256(signatureInput(entries, timestamp)))
	if err != nil {
		return nil, err
	}
	id := identity.Public().Compressed()
	b := &encryptionpb.Bundle{
		Identity:      id[:],
		SignedPreKeys: make(map[string]*encryptionpb.SignedPreKey, len(entries)),
		Signature:     sig,
		Timestamp:     timestamp,
	}
	for _, e := range entries {
		spk := e.PreKey.Public.Compressed()
		b.SignedPreKeys[e.Installation] = &encryptionpb.SignedPreKey{
			SignedPreKey:    spk[:],
			Version:         e.Version,
			ProtocolVersion: e.ProtocolVersion,
		}
	}
	return b, nil
}

// Verify checks a received bundle: its limits, its keys, and that the identity
// it names has signed it. It returns ErrBundle or ErrSignature.
func Verify(b *encryptionpb.Bundle) (Bundle, error) {
	if b == nil {
		return Bundle{}, fmt.Errorf("%w: none", ErrBundle)
	}
	if n := len(b.GetSignedPreKeys()); n > MaxInstallations {
		return Bundle{}, fmt.Errorf("%w: %d installations, at most %d", ErrBundle, n, MaxInstallations)
	}
	identity, err := compressed(b.GetIdentity())
	if err != nil {
		return Bundle{}, fmt.Errorf("%w: identity: %w", ErrBundle, err)
	}
	entries := make([]Entry, 0, len(b.GetSignedPreKeys()))
	for id, spk := range b.GetSignedPreKeys() {
		public, err := compressed(spk.GetSignedPreKey())
		if err != nil {
			return Bundle{}, fmt.Errorf("%w: signed pre key: %w", ErrBundle, err)
		}
		entries = append(entries, Entry{id, RemotePreKey{public}, spk.GetVersion(), spk.GetProtocolVersion()})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Installation, b.Installation) })
	if err := checkEntries(entries); err != nil {
		return Bundle{}, err
	}
	signer, err := key.Recover(key.Keccak256(signatureInput(entries, b.GetTimestamp())), b.GetSignature())
	if err != nil {
		return Bundle{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if signer != identity {
		return Bundle{}, ErrSignature
	}
	return Bundle{identity, b.GetTimestamp(), entries}, nil
}

// Decode reads a bundle from its protobuf bytes and verifies it.
func Decode(data []byte) (Bundle, error) {
	var b encryptionpb.Bundle
	if err := proto.Unmarshal(data, &b); err != nil {
		return Bundle{}, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	return Verify(&b)
}

// CheckInstallationID refuses an id that is empty, too long, not text, or the
// reserved one.
func CheckInstallationID(id string) error {
	switch {
	case id == "", id == ReservedID, !utf8.ValidString(id):
		return fmt.Errorf("%w: installation id %q", ErrBundle, id)
	case len(id) > MaxInstallationID:
		return fmt.Errorf("%w: installation id of %d bytes, at most %d", ErrBundle, len(id), MaxInstallationID)
	}
	return nil
}

// checkEntries wants its entries sorted.
func checkEntries(entries []Entry) error {
	if len(entries) > MaxInstallations {
		return fmt.Errorf("%w: %d installations, at most %d", ErrBundle, len(entries), MaxInstallations)
	}
	if len(entries) == 0 {
		return fmt.Errorf("%w: no installation", ErrBundle)
	}
	for i, e := range entries {
		if err := CheckInstallationID(e.Installation); err != nil {
			return err
		}
		if e.PreKey.Public.IsZero() {
			return fmt.Errorf("%w: installation without a signed pre key", ErrBundle)
		}
		if i > 0 && entries[i-1].Installation == e.Installation {
			return fmt.Errorf("%w: installation listed twice", ErrBundle)
		}
	}
	return nil
}

// signatureInput is what a bundle's signature is over, as deployed clients
// have it: for each installation id in byte order the id, the 33 bytes of the
// pre key and the decimal version; then the decimal timestamp unless it is 0,
// which 53/WAKU2-X3DH does not mention. The fields have no separators, so the
// caller must not take a bundle from anybody but its own identity.
func signatureInput(entries []Entry, timestamp int64) []byte {
	var in []byte
	for _, e := range entries {
		spk := e.PreKey.Public.Compressed()
		in = append(in, e.Installation...)
		in = append(in, spk[:]...)
		in = strconv.AppendUint(in, uint64(e.Version), 10)
	}
	if timestamp != 0 {
		in = strconv.AppendInt(in, timestamp, 10)
	}
	return in
}

// compressed reads a key that must be in compressed form.
func compressed(b []byte) (key.Public, error) {
	if len(b) != key.CompressedSize {
		return key.Public{}, fmt.Errorf("%w: %d bytes, want %d", key.ErrPublic, len(b), key.CompressedSize)
	}
	return key.PublicFromBytes(b)
}
