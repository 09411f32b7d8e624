package inspect

import (
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/fault"
)

// Key is a public key in all its forms, with everything that is computed from
// it for people to tell keys apart (2/ACCOUNT, 65/STATUS-ACCOUNT-ADDRESS).
type Key struct {
	PublicKey  string `json:"public_key"` // 0x04…
	Compressed string `json:"compressed"` // 0x02… or 0x03…
	Key        string `json:"key"`        // zQ3sh…
	Address    string `json:"address"`    // with EIP-55 checksum
	Alias      string `json:"alias"`
	// EmojiHash has account.EmojiHashLength emoji.
	EmojiHash []string `json:"emoji_hash"`
	// ColorHash has the segments of the ring: length and colour.
	ColorHash [][2]int `json:"color_hash"`
	ColorID   int      `json:"color_id"`
}

// DescribeKey returns a key's forms.
func DescribeKey(pub key.Public) Key {
	return Key{
		PublicKey:  pub.Hex(),
		Compressed: pub.CompressedHex(),
		Key:        pub.String(),
		Address:    account.Address(pub),
		Alias:      account.Alias(pub),
		EmojiHash:  account.EmojiHash(pub),
		ColorHash:  account.ColorHash(pub),
		ColorID:    account.ColorID(pub),
	}
}

// Mnemonic is what a recovery phrase leads to: the chat key, and the keys of
// the derivation paths that clients use.
type Mnemonic struct {
	Key
	KeyUID            string             `json:"key_uid"`
	WalletRootAddress string             `json:"wallet_root_address"`
	WalletAddress     string             `json:"wallet_address"`
	Paths             map[string]PathKey `json:"paths"`
}

// PathKey is the key at one derivation path.
type PathKey struct {
	Address   string `json:"address"`
	PublicKey string `json:"public_key"` // 0x04…
	// PrivateKey is there only when secrets were asked for.
	PrivateKey Hex `json:"private_key,omitempty"`
}

// DescribeMnemonic derives the keys of a recovery phrase and its optional
// BIP-39 passphrase; with secrets, the private keys are part of the result.
// Paths has the master key m, the keys of 65/STATUS-ACCOUNT-ADDRESS (chat,
// encryption, wallet root, default wallet), the EIP-1581 root, and m/43'/60',
// whose key is what deployed clients (status-go) keep for that root. Errors are those of account.Derive, of kind
// fault.Usage; none repeats a word.
func DescribeMnemonic(phrase, passphrase string, secrets bool) (Mnemonic, error) {
	keys, err := account.Derive(phrase, passphrase)
	if err != nil {
		return Mnemonic{}, &fault.Error{Kind: fault.Usage, Op: "reading the recovery phrase", Err: err,
			Hint: "a recovery phrase has 12, 15, 18, 21 or 24 English words"}
	}
	const eip1581Parent = "m/43'/60'"
	parent, err := keys.Path(eip1581Parent)
	if err != nil {
		return Mnemonic{}, invalid("deriving "+eip1581Parent, err)
	}
	m := Mnemonic{
		Key:               DescribeKey(keys.Chat.Public()),
		KeyUID:            keys.KeyUID(),
		WalletRootAddress: keys.WalletRoot.Address(),
		WalletAddress:     keys.DefaultWallet.Address(),
		Paths:             make(map[string]PathKey),
	}
	for _, n := range []account.Node{
		keys.Master, parent, keys.EIP1581, keys.Chat, keys.Encryption, keys.WalletRoot, keys.DefaultWallet,
	} {
		at := PathKey{Address: n.Address(), PublicKey: n.Public().Hex()}
		if secrets {
			at.PrivateKey = n.Private.Bytes()
		}
		m.Paths[n.Path] = at
	}
	return m, nil
}
