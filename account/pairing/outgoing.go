package pairing

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Message is a message about the account, which the clients themselves
// understand: the payload of a type of 62/STATUS-PAYLOADS, unsigned.
type Message struct {
	Type    apppb.ApplicationMetadataMessage_Type
	Payload []byte
}

// Device is an installation of the account, as it says of itself.
type Device struct {
	// InstallationID is its UUID.
	InstallationID string
	// Name is what its user calls it, Type its operating system.
	Name, Type string
}

// protocolVersion is that of the encryption layer of an installation.
const protocolVersion = 1

// Outgoing is an account to send. It holds secrets and prints without them.
type Outgoing struct {
	Account *account.Account
	// Password is the account's. It does not travel: the keys do under
	// account.ClientPassword of it, so that a Status application opens them with
	// the password itself.
	Password string
	// Profile is told as it is, but for what follows from the keys, and the
	// present when it has no time.
	Profile Profile
	// Device is this one; its installation id is the account's.
	Device Device
	// Messages are told beside the account.
	Messages []Message
	// Scrypt is the cost of the password hash of the keys that travel; zero is
	// account.LightScrypt.
	Scrypt account.Scrypt
}

// Format hides the secrets from every verb of package fmt.
func (o Outgoing) Format(f fmt.State, _ rune) { io.WriteString(f, "[account to send]") }

// MarshalJSON writes what Format writes; there is no way back.
func (o Outgoing) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(o)) }

// outbound are the bodies of a sender, not yet sealed.
type outbound struct{ account, sync []byte }

// check refuses what cannot be sent.
func (o Outgoing) check(now time.Time) error {
	if o.Account == nil || o.Password == "" {
		return fmt.Errorf("%w: no account or no password", ErrPayload)
	}
	_, err := o.Device.message(now)
	return err
}

// prepare makes the bodies.
func (o Outgoing) prepare(now time.Time, rand io.Reader) (out outbound, err error) {
	if err := o.check(now); err != nil {
		return out, err
	}
	if o.Scrypt == (account.Scrypt{}) {
		o.Scrypt = account.LightScrypt()
	}
	if o.Profile.Updated.IsZero() {
		o.Profile.Updated = now
	}
	o.Device.InstallationID = o.Account.InstallationID
	keys := keysOf(o.Account)
	password := account.ClientPassword(o.Password)
	p := &apppb.LocalPairingPayload{
		Multiaccount: NewMultiAccount(o.Account.Chat.Public(), o.Account.KeyUID, o.Profile),
		Password:     password,
	}
	for _, k := range keys.files() {
		address := k.Private.Public().Address()
		raw, err := account.WriteKeystore(k, password, o.Scrypt, rand)
		if err != nil {
			return out, err
		}
		name := fmt.Sprintf("UTC--%s--%s", now.UTC().Format("2006-01-02T15-04-05.000000000Z"), hex.EncodeToString(address[:]))
		p.Keys = append(p.Keys, &apppb.LocalPairingPayload_Key{Name: name, Data: raw})
	}
	if !keys.whole() {
		// Without a master key there is no other way to tell which is it.
		p.ChatKey = "0x" + hex.EncodeToString(o.Account.Chat.Bytes())
	}
	if out.account, err = proto.Marshal(p); err != nil {
		return out, fmt.Errorf("writing the account: %w", err)
	}
	s := &apppb.SyncRawMessage{}
	for _, m := range o.Messages {
		s.RawMessages = append(s.RawMessages, &apppb.SyncRawMessage_RawMessage{Payload: m.Payload, MessageType: int32(m.Type)})
	}
	installation, err := o.Device.message(now)
	if err != nil {
		return out, err
	}
	s.RawMessages = append(s.RawMessages, installation)
	if s.SubAccountsJsonBytes, err = keys.keypair(o.Profile.Name, now); err != nil {
		return out, err
	}
	if s.SettingsJsonBytes, err = keys.settings(o, rand); err != nil {
		return out, err
	}
	if out.sync, err = proto.Marshal(s); err != nil {
		return out, fmt.Errorf("writing the account: %w", err)
	}
	return out, nil
}

// message tells of the device, SyncPairInstallation. Deployed clients refuse
// one without name or type.
func (d Device) message(now time.Time) (*apppb.SyncRawMessage_RawMessage, error) {
	if strings.TrimSpace(d.Name) == "" || strings.TrimSpace(d.Type) == "" || !short(d.Name) || !short(d.Type) {
		return nil, fmt.Errorf("%w: name or type of this device", ErrPayload)
	}
	payload, err := proto.Marshal(&apppb.SyncPairInstallation{
		Clock: uint64(now.UnixMilli()), InstallationId: d.InstallationID, DeviceType: d.Type, Name: d.Name, Version: protocolVersion,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the installation: %w", err)
	}
	return &apppb.SyncRawMessage_RawMessage{Payload: payload, MessageType: int32(apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION)}, nil
}

// installationBody is what a receiver answers with.
func (d Device) installationBody(now time.Time) ([]byte, error) {
	m, err := d.message(now)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&apppb.SyncRawMessage{RawMessages: []*apppb.SyncRawMessage_RawMessage{m}})
}

// senderKeys are the keys of an account that travel; those that are not known
// are zero.
type senderKeys struct {
	account                             *account.Account
	mnemonic                            string
	master, eip1581, walletRoot, wallet account.ImportedKey
	chat, encryption                    account.ImportedKey
}

// keysOf finds the keys of an account: all when they follow from its recovery
// phrase.
func keysOf(a *account.Account) senderKeys {
	s := senderKeys{account: a, chat: account.ImportedKey{Private: a.Chat}, encryption: account.ImportedKey{Private: a.Encryption}}
	if a.Mnemonic != "" {
		// A phrase with a BIP-39 passphrase, which is not kept, gives other keys.
		if k, err := account.Derive(a.Mnemonic, ""); err == nil && k.Chat.Private.Equal(a.Chat) {
			s.mnemonic = a.Mnemonic
			s.master, s.eip1581, s.walletRoot, s.wallet = imported(k.Master), imported(k.EIP1581), imported(k.WalletRoot), imported(k.DefaultWallet)
			s.chat, s.encryption = imported(k.Chat), imported(k.Encryption)
			return s
		}
	}
	if a.WalletRoot != "" {
		if root, err := account.NodeFromExtendedKey(a.WalletRoot); err == nil {
			s.walletRoot = imported(root)
			if wallet, err := a.Wallet(0); err == nil {
				s.wallet = imported(wallet)
			}
		}
	}
	return s
}

func imported(n account.Node) account.ImportedKey {
	return account.ImportedKey{Private: n.Private, Node: n}
}

// whole says whether the master key is there.
func (s senderKeys) whole() bool { return !s.master.Private.IsZero() }

// files are the keys that are known.
func (s senderKeys) files() (known []account.ImportedKey) {
	for _, k := range []account.ImportedKey{s.master, s.eip1581, s.walletRoot, s.chat, s.wallet, s.encryption} {
		if !k.Private.IsZero() {
			known = append(known, k)
		}
	}
	return known
}

func addressOf(k key.Private) string {
	if k.IsZero() {
		return "0x" + strings.Repeat("0", 40)
	}
	return strings.ToLower(account.Address(k.Public()))
}
