package inspect

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/fault"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// Bundle is an X3DH bundle (2/ACCOUNT, X3DH Prekey bundles). When it is not
// valid, it shows what the bytes say nevertheless.
type Bundle struct {
	// Valid says that the bundle keeps the rules of its format and that
	// Identity has signed it.
	Valid bool   `json:"valid"`
	Error string `json:"error,omitempty"`
	// Identity is zQ3sh…, nil when the bytes hold no key.
	Identity    *string `json:"identity"`
	IdentityKey *string `json:"identity_key"` // 0x04…
	// Timestamp is when it was signed, Unix time in nanoseconds.
	Timestamp int64 `json:"timestamp"`
	// Installations are sorted by id.
	Installations []BundleEntry `json:"installations"`
	Signature     Hex           `json:"signature"`
}

// BundleEntry is the signed pre key of one installation.
type BundleEntry struct {
	InstallationID string `json:"installation_id"`
	// SignedPreKey is the compressed key.
	SignedPreKey Hex    `json:"signed_pre_key"`
	Version      uint32 `json:"version"`
	// ProtocolVersion is not covered by the signature.
	ProtocolVersion uint32 `json:"protocol_version"`
}

// ParseBundle reads a bundle and checks its signature. One that is not valid
// is described too, beside its error of kind fault.Invalid.
func ParseBundle(raw []byte) (Bundle, error) {
	var b encryptionpb.Bundle
	if err := proto.Unmarshal(raw, &b); err != nil {
		err = fmt.Errorf("%w: %w", x3dh.ErrBundle, err)
		return Bundle{Error: err.Error(), Installations: []BundleEntry{}}, bundleFault(err)
	}
	out, err := describeBundle(&b)
	return out, bundleFault(err)
}

func bundleFault(err error) error {
	if err == nil {
		return nil
	}
	return &fault.Error{Kind: fault.Invalid, Op: "checking the bundle", Err: err,
		Hint: "BYTES is one Bundle; parley inspect layers shows those inside a message"}
}

// describeBundle returns a bundle with what is wrong with it.
func describeBundle(b *encryptionpb.Bundle) (Bundle, error) {
	out := Bundle{Valid: true, Timestamp: b.GetTimestamp(), Signature: b.GetSignature(), Installations: []BundleEntry{}}
	_, err := x3dh.Verify(b)
	if err != nil {
		out.Valid, out.Error = false, err.Error()
	}
	if identity, err := key.PublicFromBytes(b.GetIdentity()); err == nil {
		out.Identity, out.IdentityKey = keyForms(identity)
	}
	for _, id := range slices.Sorted(maps.Keys(b.GetSignedPreKeys())) {
		k := b.GetSignedPreKeys()[id]
		out.Installations = append(out.Installations, BundleEntry{id, k.GetSignedPreKey(), k.GetVersion(), k.GetProtocolVersion()})
	}
	return out, err
}

// fields returns the bundle as a part of a layer, in the order of its JSON.
func (b Bundle) fields() Fields {
	f := Fields{{"valid", b.Valid}}
	if b.Error != "" {
		f = append(f, Field{"error", b.Error})
	}
	if b.Identity != nil {
		f = append(f, Field{"identity", *b.Identity}, Field{"identity_key", *b.IdentityKey})
	} else {
		f = append(f, Field{"identity", nil}, Field{"identity_key", nil})
	}
	installations := []any{}
	for _, e := range b.Installations {
		installations = append(installations, Fields{
			{"installation_id", e.InstallationID},
			{"signed_pre_key", e.SignedPreKey},
			{"version", e.Version},
			{"protocol_version", e.ProtocolVersion},
		})
	}
	return append(f, Field{"timestamp", b.Timestamp}, Field{"installations", installations}, Field{"signature", b.Signature})
}
