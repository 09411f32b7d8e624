package account

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"github.com/parley-im/parley/account/key"
)

// Errors of key derivation. None contains key material.
var (
	// ErrDerive says that a step gave no key: a seed of the wrong length, a
	// path deeper than 255, or the one index in 2¹²⁷ that BIP-32 leaves out.
	ErrDerive = errors.New("no key at this path")
	// ErrExtendedKey says that a text is not a private extended key.
	ErrExtendedKey = errors.New("not a private extended key (xprv…)")
)

// maxExtendedKeyText bounds the base58 text of an extended key, which has 111
// characters.
const maxExtendedKeyText = 112

// Node is one private key of a BIP-32 tree. It prints without its secrets.
// The zero value is no node.
type Node struct {
	// Path is where the node is, from the master; empty for a node read by
	// NodeFromExtendedKey.
	Path string
	// Private is the node's key.
	Private key.Private

	ext *hdkeychain.ExtendedKey
}

// NodeFromExtendedKey reads a private extended key in base58, xprv….
func NodeFromExtendedKey(xprv string) (Node, error) {
	if len(xprv) > maxExtendedKeyText {
		return Node{}, ErrExtendedKey
	}
	ext, err := hdkeychain.NewKeyFromString(xprv)
	if err != nil || !ext.IsPrivate() || !ext.IsForNet(&chaincfg.MainNetParams) {
		return Node{}, ErrExtendedKey
	}
	return newNode("", ext)
}

func newNode(path string, ext *hdkeychain.ExtendedKey) (Node, error) {
	k, err := ext.ECPrivKey()
	if err != nil {
		return Node{}, fmt.Errorf("%w: %s", ErrDerive, path)
	}
	private, err := key.PrivateFromBytes(k.Serialize())
	if err != nil {
		return Node{}, fmt.Errorf("%w: %s", ErrDerive, path)
	}
	return Node{Path: path, Private: private, ext: ext}, nil
}

// Child returns the node's child at an index, hardened from Hardened on.
func (n Node) Child(index uint32) (Node, error) {
	return n.descend([]uint32{index})
}

func (n Node) descend(steps []uint32) (Node, error) {
	if n.ext == nil {
		return Node{}, fmt.Errorf("%w: no parent", ErrDerive)
	}
	path := ""
	if n.Path != "" {
		path = n.Path + FormatPath(steps)[len(PathMaster):]
	}
	ext := n.ext
	for _, step := range steps {
		var err error
		if ext, err = ext.Derive(step); err != nil {
			return Node{}, fmt.Errorf("%w: %s: %w", ErrDerive, path, err)
		}
	}
	return newNode(path, ext)
}

// Public returns the node's public key.
func (n Node) Public() key.Public { return n.Private.Public() }

// Address returns the node's Ethereum address with its EIP-55 checksum.
func (n Node) Address() string { return Address(n.Public()) }

// ChainCode returns the 32 bytes that, with the key, make the children; nil
// for the zero node. Secret.
func (n Node) ChainCode() []byte {
	if n.ext == nil {
		return nil
	}
	return n.ext.ChainCode()
}

// ExtendedKey returns the node as a private extended key in base58, empty for
// the zero node. Secret.
func (n Node) ExtendedKey() string {
	if n.ext == nil {
		return ""
	}
	return n.ext.String()
}

// String returns path and address.
func (n Node) String() string {
	if n.ext == nil {
		return "[no node]"
	}
	return n.Path + " " + n.Address()
}

// Format hides the secrets from every verb of package fmt.
func (n Node) Format(f fmt.State, _ rune) { io.WriteString(f, n.String()) }

// MarshalJSON writes what String writes; there is no way back.
func (n Node) MarshalJSON() ([]byte, error) { return quoted(n.String()) }

// Keys are the keys of an account that clients keep at login, and the master
// key that any other path starts from.
type Keys struct {
	Master        Node
	EIP1581       Node
	Chat          Node
	Encryption    Node
	WalletRoot    Node
	DefaultWallet Node
}

// Derive makes the keys of a recovery phrase and its optional passphrase
// (BIP-39, BIP-32). Errors are those of ParseMnemonic and ErrDerive.
func Derive(phrase, passphrase string) (*Keys, error) {
	seed, err := Seed(phrase, passphrase)
	if err != nil {
		return nil, err
	}
	return DeriveSeed(seed)
}

// DeriveSeed makes the keys of a BIP-32 seed of 16 to 64 bytes.
func DeriveSeed(seed []byte) (*Keys, error) {
	ext, err := hdkeychain.NewMaster(seed, &chaincfg.MainNetParams)
	if err != nil {
		return nil, fmt.Errorf("%w: master: %w", ErrDerive, err)
	}
	master, err := newNode(PathMaster, ext)
	if err != nil {
		return nil, err
	}
	return DeriveMaster(master)
}

// DeriveMaster makes the keys under a master node, which must have depth 0.
func DeriveMaster(master Node) (*Keys, error) {
	if master.ext == nil || master.ext.Depth() != 0 {
		return nil, fmt.Errorf("%w: not a master key", ErrDerive)
	}
	master.Path = PathMaster
	k := &Keys{Master: master}
	for _, at := range []struct {
		from *Node
		to   *Node
		path []uint32
	}{
		{&k.Master, &k.EIP1581, []uint32{43 + Hardened, 60 + Hardened, 1581 + Hardened}},
		{&k.EIP1581, &k.Chat, []uint32{0 + Hardened, 0}},
		{&k.EIP1581, &k.Encryption, []uint32{1 + Hardened, 0}},
		{&k.Master, &k.WalletRoot, []uint32{44 + Hardened, 60 + Hardened, 0 + Hardened, 0}},
		{&k.WalletRoot, &k.DefaultWallet, []uint32{0}},
	} {
		var err error
		if *at.to, err = at.from.descend(at.path); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Path derives the node at any path.
func (k *Keys) Path(path string) (Node, error) {
	steps, err := ParsePath(path)
	if err != nil {
		return Node{}, err
	}
	return k.Master.descend(steps)
}

// Wallet derives wallet account i, m/44'/60'/0'/0/i.
func (k *Keys) Wallet(i uint32) (Node, error) {
	if i >= Hardened {
		return Node{}, fmt.Errorf("%w: wallet %d", ErrPath, i)
	}
	return k.WalletRoot.Child(i)
}

// KeyUID returns the account's id that does not depend on its chat key: 0x and
// the hexadecimal SHA-256 of the uncompressed master public key.
func (k *Keys) KeyUID() string {
	h := sha256.Sum256(k.Master.Public().Bytes())
	return "0x" + hex.EncodeToString(h[:])
}
