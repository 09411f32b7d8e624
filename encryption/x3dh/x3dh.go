// Package x3dh is the key agreement that starts a conversation with somebody
// who may be offline: signed pre keys in a [Bundle], and the shared secret of
// three Diffie-Hellman outputs that both sides can compute from it. There are
// no one-time pre keys.
//
// Specification: 53/WAKU2-X3DH, Pre-keys and Initial key exchange flow;
// 2/ACCOUNT, X3DH Prekey bundles. Where deployed clients (status-go) differ
// from the text, the deployed bytes are produced and the place says so.
package x3dh

import (
	"errors"
	"fmt"
	"io"

	"github.com/parley-im/parley/account/key"
)

// SecretSize is the size of the agreed secret in bytes.
const SecretSize = 32

// ErrAgreement means that a key of the agreement is missing or no point of the
// curve.
var ErrAgreement = errors.New("X3DH key agreement failed")

// Secret is what both sides agree on; it seeds the double ratchet. It prints
// as [secret].
type Secret [SecretSize]byte

// String hides the secret.
func (Secret) String() string { return "[secret]" }

// Format hides the secret from every verb of package fmt.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LocalPreKey is a signed pre key of ours: both halves.
type LocalPreKey struct{ Private key.Private }

// RemotePreKey is somebody else's signed pre key, out of a verified bundle.
type RemotePreKey struct{ Public key.Public }

// LocalEphemeral is the key pair that an initiator makes for one agreement.
type LocalEphemeral struct{ Private key.Private }

// RemoteEphemeral is the initiator's ephemeral key as the responder sees it.
type RemoteEphemeral struct{ Public key.Public }

// Remote returns the half of a pre key that others see.
func (k LocalPreKey) Remote() RemotePreKey { return RemotePreKey{k.Private.Public()} }

// Initiate computes the initiator's secret:
//
//	keccak256(DH(IK_A, SPK_B) ‖ DH(EK_A, IK_B) ‖ DH(EK_A, SPK_B))
//
// The hash is what deployed clients use; Signal's X3DH text would have HKDF.
func Initiate(own key.Private, ephemeral LocalEphemeral, peer key.Public, preKey RemotePreKey) (Secret, error) {
	return agree(
		pair{own, preKey.Public},
		pair{ephemeral.Private, peer},
		pair{ephemeral.Private, preKey.Public},
	)
}

// Respond computes the responder's secret, equal to the initiator's.
func Respond(own key.Private, preKey LocalPreKey, peer key.Public, ephemeral RemoteEphemeral) (Secret, error) {
	return agree(
		pair{preKey.Private, peer},
		pair{own, ephemeral.Public},
		pair{preKey.Private, ephemeral.Public},
	)
}

type pair struct {
	private key.Private
	public  key.Public
}

func agree(pairs ...pair) (Secret, error) {
	outputs := make([][]byte, 0, 3)
	for i, p := range pairs {
		if p.private.IsZero() || p.public.IsZero() {
			return Secret{}, fmt.Errorf("%w: DH%d lacks a key", ErrAgreement, i+1)
		}
		out, err := p.private.ECDH(p.public)
		if err != nil {
			return Secret{}, fmt.Errorf("%w: DH%d: %w", ErrAgreement, i+1, err)
		}
		outputs = append(outputs, out[:])
	}
	return Secret(key.Keccak256(outputs...)), nil
}
