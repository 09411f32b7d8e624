package pairing

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Incoming is how to receive an account.
type Incoming struct {
	// Device is this one; without an installation id it gets a new one.
	Device Device
	// Keep keeps what was received, all or nothing. The other device is told
	// whether that went well.
	Keep func(Received) error
}

// check completes what is to be told of this device.
func (in Incoming) check(now time.Time) (Incoming, error) {
	if in.Device.InstallationID == "" {
		in.Device.InstallationID = uuid.NewString()
	}
	_, err := in.Device.message(now)
	return in, err
}

// Received is an account that another device has sent. It holds secrets and
// prints without them.
type Received struct {
	// Spec describes the account, for account.Store.Create. Its installation id
	// is a new one.
	Spec account.Spec
	// Profile is what the other device tells about it.
	Profile Profile
	// From is the other device.
	From Device
	// Messages are told beside the account; of those of one's own devices
	// (SyncPairInstallation) From is what is left.
	Messages []Message
}

// Format hides the secrets from every verb of package fmt.
func (r Received) Format(f fmt.State, _ rune) { io.WriteString(f, "[received account]") }

// MarshalJSON writes what Format writes; there is no way back.
func (r Received) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(r)) }

// openedFiles bounds the number of key store files that are opened in search of
// the master key: each costs a password hash.
const openedFiles = 16

// accountPart is the first body that comes, syncPart the second.
type accountPart struct {
	// files are the key store files by their lower-case address, without 0x;
	// order has the addresses as they came.
	files    map[string][]byte
	order    []string
	profile  Profile
	password string
	chat     key.Private
}

type syncPart struct {
	keypair  keypairJSON
	settings settingsJSON
	from     Device
	messages []Message
}

// readAccount reads a LocalPairingPayload. The error is ErrPayload.
func readAccount(plain []byte) (a accountPart, err error) {
	p := &apppb.LocalPairingPayload{}
	if err := proto.Unmarshal(plain, p); err != nil {
		return a, fmt.Errorf("%w: the account", ErrPayload)
	}
	if a.profile, err = ReadMultiAccount(p.GetMultiaccount()); err != nil {
		return a, err
	}
	if len(p.GetKeys()) > MaxKeyFiles {
		return a, fmt.Errorf("%w: %d keys, at most %d", ErrPayload, len(p.GetKeys()), MaxKeyFiles)
	}
	a.password, a.files = p.GetPassword(), map[string][]byte{}
	if len(a.password) > 4*MaxText {
		return a, fmt.Errorf("%w: password", ErrPayload)
	}
	for _, k := range p.GetKeys() {
		var named struct {
			Address string `json:"address"`
		}
		if len(k.GetData()) > account.MaxKeystoreFileSize || json.Unmarshal(k.GetData(), &named) != nil {
			return a, fmt.Errorf("%w: a key store file", ErrPayload)
		}
		address := bare(named.Address)
		if _, twice := a.files[address]; !twice {
			a.order = append(a.order, address)
		}
		a.files[address] = k.GetData()
	}
	if text := p.GetChatKey(); text != "" {
		if a.chat, err = key.ParsePrivate("0x" + strings.TrimPrefix(text, "0x")); err != nil {
			return a, fmt.Errorf("%w: chat key", ErrPayload)
		}
	}
	if len(a.files) == 0 && a.chat.IsZero() {
		return a, fmt.Errorf("%w: no key", ErrPayload)
	}
	return a, nil
}

// readSync reads a SyncRawMessage. The error is ErrPayload.
func readSync(plain []byte) (s syncPart, err error) {
	p := &apppb.SyncRawMessage{}
	if err := proto.Unmarshal(plain, p); err != nil {
		return s, fmt.Errorf("%w: messages", ErrPayload)
	}
	if len(p.GetRawMessages()) > MaxMessages {
		return s, fmt.Errorf("%w: %d messages, at most %d", ErrPayload, len(p.GetRawMessages()), MaxMessages)
	}
	// The causes could quote secrets.
	if raw := p.GetSubAccountsJsonBytes(); len(raw) > 0 && json.Unmarshal(raw, &s.keypair) != nil {
		return s, fmt.Errorf("%w: key pair", ErrPayload)
	}
	if raw := p.GetSettingsJsonBytes(); len(raw) > 0 && json.Unmarshal(raw, &s.settings) != nil {
		return s, fmt.Errorf("%w: settings", ErrPayload)
	}
	for _, m := range p.GetRawMessages() {
		if m.GetMessageType() != int32(apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION) {
			s.messages = append(s.messages, Message{apppb.ApplicationMetadataMessage_Type(m.GetMessageType()), m.GetPayload()})
			continue
		}
		if s.from, err = readDevice(m.GetPayload()); err != nil {
			return s, err
		}
	}
	return s, nil
}

// readDevice reads a SyncPairInstallation.
func readDevice(payload []byte) (Device, error) {
	p := &apppb.SyncPairInstallation{}
	if err := proto.Unmarshal(payload, p); err != nil {
		return Device{}, fmt.Errorf("%w: installation", ErrPayload)
	}
	id, err := uuid.Parse(p.GetInstallationId())
	if err != nil || !short(p.GetName()) || !short(p.GetDeviceType()) {
		return Device{}, fmt.Errorf("%w: installation", ErrPayload)
	}
	return Device{InstallationID: id.String(), Name: p.GetName(), Type: p.GetDeviceType()}, nil
}

// bare is an address in small digits without 0x.
func bare(address string) string { return strings.TrimPrefix(strings.ToLower(address), "0x") }

// join makes one account of both parts.
func join(a accountPart, s syncPart, installationID string, now time.Time) (r Received, err error) {
	r = Received{Profile: a.profile, From: s.from, Messages: s.messages}
	if r.Profile.Name == "" {
		r.Profile.Name = s.settings.DisplayName
	}
	r.Profile.Bio, r.Profile.ShowTo = s.settings.Bio, s.settings.ShowTo
	if !short(r.Profile.Name) || len(r.Profile.Bio) > 4*MaxText {
		return Received{}, fmt.Errorf("%w: name or text", ErrPayload)
	}
	keys, err := a.master(s)
	if err != nil {
		return Received{}, err
	}
	if keys != nil {
		r.Spec = account.Spec{Keys: keys}
		if phrase := s.settings.Mnemonic; phrase != nil && *phrase != "" {
			// Of a phrase with a passphrase only the keys are to be had.
			if same, err := account.Derive(*phrase, ""); err == nil && same.KeyUID() == keys.KeyUID() {
				r.Spec = account.Spec{Mnemonic: *phrase}
			}
		}
	} else if r.Spec, err = a.loose(s); err != nil {
		return Received{}, err
	}
	chat := r.Spec.Chat
	if keys != nil {
		chat = keys.Chat.Private
	}
	if err := a.fits(s, chat); err != nil {
		return Received{}, err
	}
	r.Spec.Name, r.Spec.Created, r.Spec.InstallationID = r.Profile.Name, now, installationID
	return r, nil
}

// fits checks a chat key against what is said of it elsewhere.
func (a accountPart) fits(s syncPart, chat key.Private) error {
	if !a.chat.IsZero() && !a.chat.Equal(chat) {
		return fmt.Errorf("%w: two chat keys", ErrPayload)
	}
	if told := s.settings.PublicKey; told != "" {
		if pub, err := key.ParsePublic(told); err != nil || pub != chat.Public() {
			return fmt.Errorf("%w: the chat key is not that of the settings", ErrPayload)
		}
	}
	return nil
}

// master finds the master key among the files, nil when it is not there: the
// one that the key uid is of.
func (a accountPart) master(s syncPart) (*account.Keys, error) {
	opened := 0
	seen := map[string]bool{}
	for _, address := range append([]string{bare(s.settings.Address), bare(s.keypair.DerivedFrom)}, a.order...) {
		if _, ok := a.files[address]; !ok || seen[address] {
			continue
		}
		if opened++; opened > openedFiles {
			break
		}
		seen[address] = true
		k, err := a.open(address)
		if err != nil {
			return nil, err
		}
		keys, err := account.DeriveMaster(k.Node)
		if err == nil && (a.profile.KeyUID == "" || strings.EqualFold(keys.KeyUID(), a.profile.KeyUID)) {
			return keys, nil
		}
	}
	return nil, nil
}

// loose describes an account whose master key did not come, by the keys that
// did.
func (a accountPart) loose(s syncPart) (account.Spec, error) {
	spec := account.Spec{Chat: a.chat, KeyUID: strings.ToLower(a.profile.KeyUID)}
	for _, sub := range s.keypair.Accounts {
		if _, ok := a.files[bare(sub.Address)]; ok && sub.Chat && spec.Chat.IsZero() {
			k, err := a.open(bare(sub.Address))
			if err != nil {
				return spec, err
			}
			spec.Chat = k.Private
		}
	}
	if spec.Chat.IsZero() {
		return spec, fmt.Errorf("%w: neither master key nor chat key", ErrPayload)
	}
	if _, ok := a.files[bare(s.settings.EncryptionAddress)]; ok {
		k, err := a.open(bare(s.settings.EncryptionAddress))
		if err != nil {
			return spec, err
		}
		spec.Encryption = k.Private
	}
	if _, ok := a.files[bare(s.settings.WalletRootAddress)]; ok {
		k, err := a.open(bare(s.settings.WalletRootAddress))
		if err != nil {
			return spec, err
		}
		spec.WalletRoot = k.Node.ExtendedKey()
	}
	return spec, nil
}

// open opens one key store file.
func (a accountPart) open(address string) (account.ImportedKey, error) {
	k, err := account.ReadKeystore(a.files[address], a.password)
	if err != nil {
		return k, fmt.Errorf("%w: a key store file does not open", ErrPayload)
	}
	return k, nil
}
