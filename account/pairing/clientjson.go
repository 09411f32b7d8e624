package pairing

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tyler-smith/go-bip39/wordlists"

	"github.com/parley-im/parley/account"
)

// The two JSON objects that deployed clients (status-go) exchange beside the
// account and cannot do without: they make their tables of settings and wallet
// accounts of them.

// keypairJSON is the profile's key pair. Addresses are 0x and 40 digits.
type keypairJSON struct {
	KeyUID      string           `json:"key-uid"`
	Name        string           `json:"name"`
	Type        string           `json:"type"`
	DerivedFrom string           `json:"derived-from"`
	LastIndex   uint64           `json:"last-used-derivation-index"`
	SyncedFrom  string           `json:"synced-from"`
	Clock       uint64           `json:"clock"`
	Accounts    []subAccountJSON `json:"accounts"`
	Removed     bool             `json:"removed"`
}

type subAccountJSON struct {
	Address   string `json:"address"`
	KeyUID    string `json:"key-uid"`
	Wallet    bool   `json:"wallet"`
	Chat      bool   `json:"chat"`
	Type      string `json:"type"`
	Path      string `json:"path"`
	PublicKey string `json:"public-key"`
	Name      string `json:"name"`
	Emoji     string `json:"emoji"`
	Color     string `json:"colorId"`
	Hidden    bool   `json:"hidden"`
	Clock     uint64 `json:"clock"`
	Removed   bool   `json:"removed"`
	Operable  string `json:"operable"`
	Created   int64  `json:"createdAt"`
	Position  int64  `json:"position"`
}

// defaultWalletName is what deployed clients call the first wallet account.
const defaultWalletName = "Account 1"

// keypair describes the keys of the account.
func (s senderKeys) keypair(name string, now time.Time) ([]byte, error) {
	uid := s.account.KeyUID
	k := keypairJSON{
		KeyUID: uid, Name: name, Type: "profile", DerivedFrom: addressOf(s.master.Private), Clock: uint64(now.UnixMilli()),
		Accounts: []subAccountJSON{},
	}
	if !s.wallet.Private.IsZero() {
		k.Accounts = append(k.Accounts, subAccountJSON{
			Address: addressOf(s.wallet.Private), KeyUID: uid, Wallet: true, Path: account.PathDefaultWallet,
			PublicKey: s.wallet.Private.Public().Hex(), Name: defaultWalletName, Operable: "fully", Created: now.UnixMilli(),
		})
	}
	k.Accounts = append(k.Accounts, subAccountJSON{
		Address: addressOf(s.chat.Private), KeyUID: uid, Chat: true, Path: account.PathChat,
		PublicKey: s.chat.Private.Public().Hex(), Name: name, Operable: "fully", Created: now.UnixMilli(), Position: -1,
	})
	return json.Marshal(k)
}

// settingsJSON are settings: those that the tables of deployed clients must
// have, and those that Parley knows, too.
type settingsJSON struct {
	Address           string `json:"address"`
	EIP1581Address    string `json:"eip1581-address"`
	WalletRootAddress string `json:"wallet-root-address"`
	DappsAddress      string `json:"dapps-address"`
	// EncryptionAddress is Parley's own.
	EncryptionAddress string  `json:"encryption-address,omitempty"`
	KeyUID            string  `json:"key-uid"`
	PublicKey         string  `json:"public-key"`
	InstallationID    string  `json:"installation-id"`
	DeviceName        string  `json:"device-name"`
	DisplayName       string  `json:"display-name"`
	Name              string  `json:"name"`
	Bio               string  `json:"bio,omitempty"`
	Mnemonic          *string `json:"mnemonic,omitempty"`
	ShowTo            ShowTo  `json:"profile-pictures-show-to"`

	Visibility        int             `json:"profile-pictures-visibility"`
	SigningPhrase     string          `json:"signing-phrase"`
	Currency          string          `json:"currency"`
	CurrentNetwork    string          `json:"networks/current-network"`
	Networks          json.RawMessage `json:"networks/networks"`
	UserStatus        json.RawMessage `json:"current-user-status"`
	PhotoPath         string          `json:"photo-path"`
	GifKey            string          `json:"gifs/api-key"`
	LatestDerivedPath uint            `json:"latest-derived-path"`
	PreviewPrivacy    bool            `json:"preview-privacy?"`
	UseMailservers    bool            `json:"use-mailservers?"`
	Backup            bool            `json:"backup-enabled?"`
}

// visibleToEveryone is, for deployed clients, whose pictures the user sees.
const visibleToEveryone = 2

// settings are the settings of the account.
func (s senderKeys) settings(o Outgoing, rand io.Reader) ([]byte, error) {
	chat := s.chat.Private.Public()
	status, err := json.Marshal(map[string]any{"publicKey": chat.Hex(), "statusType": 1, "clock": 0, "text": ""})
	if err != nil {
		return nil, err
	}
	phrase, err := signingPhrase(rand)
	if err != nil {
		return nil, err
	}
	out := settingsJSON{
		Address: addressOf(s.master.Private), EIP1581Address: addressOf(s.eip1581.Private),
		WalletRootAddress: addressOf(s.walletRoot.Private), DappsAddress: addressOf(s.wallet.Private),
		EncryptionAddress: addressOf(s.encryption.Private),
		KeyUID:            s.account.KeyUID, PublicKey: chat.Hex(), InstallationID: s.account.InstallationID,
		DeviceName: o.Device.Name, DisplayName: o.Profile.Name, Name: account.Alias(chat), Bio: o.Profile.Bio,
		ShowTo: o.Profile.ShowTo, Visibility: visibleToEveryone, SigningPhrase: phrase, Currency: "usd",
		CurrentNetwork: "mainnet_rpc", Networks: json.RawMessage("[]"), UserStatus: status,
		PreviewPrivacy: true, UseMailservers: true, Backup: true,
	}
	if out.ShowTo == 0 {
		out.ShowTo = ShowToContacts
	}
	if s.mnemonic != "" {
		out.Mnemonic = &s.mnemonic
	}
	return json.Marshal(out)
}

// signingPhrase makes the three words of four letters that a deployed client
// shows beside a transaction, so that its user knows the client.
func signingPhrase(rand io.Reader) (string, error) {
	var b [6]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("making a signing phrase: %w", err)
	}
	short := slices.DeleteFunc(slices.Clone(wordlists.English), func(word string) bool { return len(word) != 4 })
	words := make([]string, 3)
	for i := range words {
		words[i] = short[int(binary.BigEndian.Uint16(b[2*i:]))%len(short)]
	}
	return strings.Join(words, " "), nil
}
