package community

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Limits of revealed accounts; deployed clients' wallets have at most twenty.
const (
	MaxAccounts = 50
	MaxChains   = 50
)

// Errors of revealed accounts.
var (
	ErrNoAccount = errors.New("no account is revealed")
	ErrAccount   = errors.New("bad revealed account")
)

// addressDomain separates the derived keys from all else that is derived from a
// chat key.
const addressDomain = "parley community address"

// Account is an Ethereum account that somebody reveals to a control node, with
// the proof that it is theirs. Other members do not get to see it: it is in no
// description.
type Account struct {
	// Address is 0x and 40 hexadecimal digits.
	Address string `json:"address"`
	// Signature is 65 bytes by the account's key, as personal_sign makes them
	// (EIP-191), over what [Proof] returns.
	Signature []byte `json:"signature"`
	// ChainIDs are the chains it is used on.
	ChainIDs []uint64 `json:"chain_ids,omitempty"`
	// Airdrop says that tokens are to be sent there.
	Airdrop bool `json:"airdrop,omitempty"`
}

// RequestID names the request of a member to a community: there is one.
type RequestID [32]byte

// NewRequestID computes it: keccak256 of the member's id, a hyphen and the
// community's id.
func NewRequestID(member, community key.Public) RequestID {
	return key.Keccak256([]byte(member.Hex()), []byte("-"), []byte(community.CompressedHex()))
}

// String returns 0x and 64 hexadecimal digits.
func (id RequestID) String() string { return "0x" + hex.EncodeToString(id[:]) }

// Proof is the 32 bytes that the key of a revealed account signs in a request
// to join: keccak256(member ‖ community ‖ request id), both keys compressed.
func Proof(member, community key.Public) [32]byte {
	m, c, id := member.Compressed(), community.Compressed(), NewRequestID(member, community)
	return key.Keccak256(m[:], c[:], id[:])
}

// EditProof is what it signs when shared addresses are edited: keccak256(member
// ‖ community).
func EditProof(member, community key.Public) [32]byte {
	m, c := member.Compressed(), community.Compressed()
	return key.Keccak256(m[:], c[:])
}

// personal is the digest that personal_sign signs for 32 bytes (EIP-191).
func personal(data [32]byte) [32]byte {
	return key.Keccak256([]byte("\x19Ethereum Signed Message:\n32"), data[:])
}

// AddressKey derives the key of the account that is revealed to a community:
// control nodes of deployed clients refuse who reveals none. It is one's own
// for each community, so two of them cannot tell by it that they have the same
// member, and no wallet is touched.
func AddressKey(chat key.Private, community key.Public) (key.Private, error) {
	if chat.IsZero() {
		return key.Private{}, key.ErrPrivate
	}
	c := community.Compressed()
	// The bytes are a key but for once in 2^128 times.
	for try := byte(0); try < 8; try++ {
		b, err := hkdf.Key(sha256.New, chat.Bytes(), nil, addressDomain+string(c[:])+string([]byte{try}), key.PrivateSize)
		if err != nil {
			return key.Private{}, fmt.Errorf("deriving a community address: %w", err)
		}
		if k, err := key.PrivateFromBytes(b); err == nil {
			return k, nil
		}
	}
	return key.Private{}, fmt.Errorf("deriving a community address: %w", key.ErrPrivate)
}

// NewAccount reveals the account of a key, signing what [Proof] or [EditProof]
// returns.
func NewAccount(wallet key.Private, proof [32]byte) (Account, error) {
	signature, err := wallet.Sign(personal(proof))
	if err != nil {
		return Account{}, err
	}
	signature[key.SignatureSize-1] += 27 // as wallets write it
	return Account{
		Address:   common.Address(wallet.Public().Address()).Hex(),
		Signature: signature,
		ChainIDs:  []uint64{1},
		Airdrop:   true,
	}, nil
}

// Check checks an account's signature over what [Proof] or [EditProof] returns.
// Its last byte may be 27 or 28, or 0 or 1.
func (a Account) Check(proof [32]byte) error {
	address, err := a.address()
	if err != nil {
		return err
	}
	k, err := key.Recover(personal(proof), a.Signature)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAccount, err)
	}
	if its := k.Address(); !bytes.Equal(its[:], address) {
		return fmt.Errorf("%w: signed by another key", ErrAccount)
	}
	return nil
}

// address reads the 20 bytes of the address, in whatever case it is written.
func (a Account) address() ([]byte, error) {
	if len(a.Address) != 42 || a.Address[:2] != "0x" {
		return nil, fmt.Errorf("%w: address not 0x and 40 hexadecimal digits", ErrAccount)
	}
	b, err := hex.DecodeString(a.Address[2:])
	if err != nil {
		return nil, fmt.Errorf("%w: address not 0x and 40 hexadecimal digits", ErrAccount)
	}
	return b, nil
}

// checkAccounts checks all of them; there must be one.
func checkAccounts(list []Account, proof [32]byte) error {
	if len(list) == 0 {
		return ErrNoAccount
	}
	for _, a := range list {
		if err := a.Check(proof); err != nil {
			return err
		}
	}
	return nil
}

func parseAccounts(list []*apppb.RevealedAccount) ([]Account, error) {
	if len(list) > MaxAccounts {
		return nil, fmt.Errorf("%w: %d of them, at most %d", ErrAccount, len(list), MaxAccounts)
	}
	var out []Account
	for _, m := range list {
		a := Account{Address: m.GetAddress(), Signature: m.GetSignature(), ChainIDs: m.GetChainIds(), Airdrop: m.GetIsAirdropAddress()}
		if _, err := a.address(); err != nil {
			return nil, err
		}
		if n := len(a.Signature); n != key.SignatureSize {
			return nil, fmt.Errorf("%w: signature of %d bytes, want %d", ErrAccount, n, key.SignatureSize)
		}
		if n := len(a.ChainIDs); n > MaxChains {
			return nil, fmt.Errorf("%w: %d chains, at most %d", ErrAccount, n, MaxChains)
		}
		out = append(out, a)
	}
	return out, nil
}

func accountsWire(list []Account) []*apppb.RevealedAccount {
	var out []*apppb.RevealedAccount
	for _, a := range list {
		out = append(out, &apppb.RevealedAccount{Address: a.Address, Signature: a.Signature, ChainIds: a.ChainIDs, IsAirdropAddress: a.Airdrop})
	}
	return out
}
