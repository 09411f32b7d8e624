package pairing

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account"
	apppb "github.com/parley-im/parley/pb/app"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// statusFile is a key store file as deployed clients have them.
func statusFile(t testing.TB, n account.Node, password string) *apppb.LocalPairingPayload_Key {
	t.Helper()
	box := func(plain []byte) any {
		sealed, err := keystore.EncryptDataV3(plain, []byte(password), cheapScrypt.N, cheapScrypt.P)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	address := bare(n.Address())
	raw, err := json.Marshal(map[string]any{
		"address": address, "crypto": box(n.Private.Bytes()), "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3,
		"extendedkey": box([]byte(n.ExtendedKey())), "subaccountindex": 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &apppb.LocalPairingPayload_Key{Name: "UTC--2024-10-24T01-40-04.000000000Z--" + address, Data: raw}
}

// deployed is what a deployed client sends of an account.
func deployed(t testing.TB) (keys *account.Keys, p *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
	t.Helper()
	keys, err := account.Derive(phrase, "")
	if err != nil {
		t.Fatal(err)
	}
	password := account.ClientPassword("what the user types")
	p = &apppb.LocalPairingPayload{
		Multiaccount: &apppb.MultiAccount{
			Name: "Grace", Timestamp: 1729726804, Identicon: "data:image/png;base64,", ColorId: 5, KeyUid: keys.KeyUID(),
			CustomizationColor: "turquoise", CustomizationColorClock: 7,
			ColorHash: []*apppb.MultiAccount_ColorHash{{Index: []int64{4, 3}}, {Index: []int64{1, 31}}},
			Images:    []*apppb.MultiAccount_IdentityImage{{Name: "thumbnail", Payload: []byte{1}, Width: 80, Height: 80, Filesize: 1, ResizeTarget: 80, Clock: 9}},
		},
		Password: password,
	}
	for _, n := range []account.Node{keys.Chat, keys.WalletRoot, keys.DefaultWallet, keys.Master, keys.Encryption} {
		p.Keys = append(p.Keys, statusFile(t, n, password))
	}
	settings := fmt.Sprintf(`{"address":"%s","anon-metrics/should-send?":false,"networks/current-network":"mainnet_rpc",
		"dapps-address":"%s","device-name":"Desktop","display-name":"Grace","bio":"Nanoseconds","eip1581-address":"%s",
		"installation-id":"fabcfc11-6ed9-46d1-b723-de5d4ad1657a","key-uid":"%s","latest-derived-path":0,"mnemonic":"%s",
		"networks/networks":null,"photo-path":"","public-key":"%s","signing-phrase":"able acid acid","current-user-status":null,
		"gifs/recent-gifs":null,"profile-pictures-show-to":2,"profile-pictures-visibility":2,"wallet-root-address":"%s",
		"emojiHash":["🙂"],"compressedKey":"zQ3sh"}`,
		keys.Master.Address(), keys.DefaultWallet.Address(), keys.EIP1581.Address(), keys.KeyUID(), phrase, keys.Chat.Public().Hex(), keys.WalletRoot.Address())
	pair := fmt.Sprintf(`{"key-uid":"%s","name":"Grace","type":"profile","derived-from":"%s","last-used-derivation-index":0,"synced-from":"",
		"clock":0,"accounts":[{"address":"%s","mixedcase-address":"%s","key-uid":"%s","wallet":false,"chat":true,"type":"","path":"m/43'/60'/1581'/0'/0",
		"public-key":"%s","name":"Grace","emoji":"","colorId":"primary","hidden":false,"clock":0,"removed":false,"operable":"fully","createdAt":1,
		"position":-1,"prodPreferredChainIds":"","testPreferredChainIds":""}],"keycards":[],"removed":false}`,
		keys.KeyUID(), keys.Master.Address(), bare(keys.Chat.Address()), keys.Chat.Address(), keys.KeyUID(), keys.Chat.Public().Hex())
	installation := marshal(t, &apppb.SyncPairInstallation{
		Clock: 1729726804000, InstallationId: "fabcfc11-6ed9-46d1-b723-de5d4ad1657a", DeviceType: "windows", Name: "Desktop", Version: 1,
	})
	s = &apppb.SyncRawMessage{
		RawMessages: []*apppb.SyncRawMessage_RawMessage{
			{MessageType: 12, Payload: []byte("a contact")}, {MessageType: 4, Payload: installation},
		},
		SubAccountsJsonBytes: []byte(pair), SettingsJsonBytes: []byte(settings),
	}
	return keys, p, s
}

func joined(t testing.TB, p *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) (Received, error) {
	t.Helper()
	first, err := readAccount(marshal(t, p))
	if err != nil {
		return Received{}, err
	}
	second, err := readSync(marshal(t, s))
	if err != nil {
		return Received{}, err
	}
	return join(first, second, "6ba7b810-9dad-41d1-80b4-00c04fd430c8", time.Unix(1700000000, 0))
}

func TestReadDeployed(t *testing.T) {
	t.Parallel()
	keys, p, s := deployed(t)
	r, err := joined(t, p, s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Spec.Mnemonic != phrase || r.Spec.Name != "Grace" || r.Spec.InstallationID != "6ba7b810-9dad-41d1-80b4-00c04fd430c8" || r.Spec.Created.Unix() != 1700000000 {
		t.Errorf("%s", r.Spec.Name)
	}
	if r.From != (Device{"fabcfc11-6ed9-46d1-b723-de5d4ad1657a", "Desktop", "windows"}) || len(r.Messages) != 1 || r.Messages[0].Type != 12 {
		t.Errorf("%v, %d messages", r.From, len(r.Messages))
	}
	q := r.Profile
	if q.Name != "Grace" || q.Color != "turquoise" || q.ColorClock != 7 || q.ColorID != 5 || q.Bio != "Nanoseconds" || q.ShowTo != ShowToEveryone ||
		q.KeyUID != keys.KeyUID() || q.Updated.Unix() != 1729726804 || len(q.ColorHash) != 2 || q.ColorHash[1] != [2]int{1, 31} ||
		len(q.Images) != 1 || q.Images[0].Width != 80 {
		t.Errorf("%+v", q)
	}
	// A phrase that was removed, or has a passphrase, leaves the keys.
	for _, settings := range []string{"{}", strings.Replace(string(s.SettingsJsonBytes), phrase, "legal winner thank year wave sausage worth useful legal winner thank yellow", 1)} {
		s.SettingsJsonBytes = []byte(settings)
		if r, err = joined(t, p, s); err != nil || r.Spec.Mnemonic != "" || r.Spec.Keys.KeyUID() != keys.KeyUID() {
			t.Errorf("without the phrase: %v", err)
		}
	}
	// Neither settings nor key pair are needed to find the master key.
	s.SubAccountsJsonBytes = nil
	if r, err = joined(t, p, s); err != nil || r.Spec.Keys.KeyUID() != keys.KeyUID() {
		t.Errorf("without key pair: %v", err)
	}
	// A key card's account comes as its chat key.
	_, p, s = deployed(t)
	p.Keys, p.ChatKey, p.Password = nil, hex.EncodeToString(keys.Chat.Private.Bytes()), ""
	for _, prefix := range []string{"", "0x"} {
		p.ChatKey = prefix + strings.TrimPrefix(p.ChatKey, "0x")
		if r, err = joined(t, p, s); err != nil || !r.Spec.Chat.Equal(keys.Chat.Private) || r.Spec.KeyUID != keys.KeyUID() {
			t.Errorf("key card: %v", err)
		}
	}
	// Without master key the key pair says which is the chat key.
	_, p, s = deployed(t)
	p.Keys = p.Keys[:3]
	if r, err = joined(t, p, s); err != nil || !r.Spec.Chat.Equal(keys.Chat.Private) || r.Spec.WalletRoot != keys.WalletRoot.ExtendedKey() {
		t.Errorf("no master key: %v", err)
	}
}

// TestJoinRefuses reads accounts that make no sense.
func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	other, err := account.Derive("legal winner thank year wave sausage worth useful legal winner thank yellow", "")
	if err != nil {
		t.Fatal(err)
	}
	long := func(n int) string { return strings.Repeat("a", n) }
	for name, change := range map[string]func(*apppb.LocalPairingPayload, *apppb.SyncRawMessage){
		"no MultiAccount": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) { p.Multiaccount = nil },
		"no keys":         func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) { p.Keys = nil },
		"another password": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) {
			p.Password = "another"
		},
		"long password": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) { p.Password = long(4*MaxText + 1) },
		"no key file":   func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) { p.Keys[0].Data = []byte("no JSON") },
		"large file": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) {
			p.Keys[0].Data = append(p.Keys[0].Data, bytes.Repeat([]byte{' '}, account.MaxKeystoreFileSize)...)
		},
		"too many files": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) {
			for len(p.Keys) <= MaxKeyFiles {
				p.Keys = append(p.Keys, p.Keys[0])
			}
		},
		"a chat key that is none": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) { p.ChatKey = "0x12" },
		"another chat key": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) {
			p.ChatKey = hex.EncodeToString(other.Chat.Private.Bytes())
		},
		"another public key": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
			s.SettingsJsonBytes = fmt.Appendf(nil, `{"public-key":"%s"}`, other.Chat.Public().Hex())
		},
		"no public key": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
			s.SettingsJsonBytes = []byte(`{"public-key":"0x04"}`)
		},
		"wallet keys alone": func(p *apppb.LocalPairingPayload, _ *apppb.SyncRawMessage) {
			p.Keys = p.Keys[1:3]
		},
		"settings": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) { s.SettingsJsonBytes = []byte(`[]`) },
		"key pair": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
			s.SubAccountsJsonBytes = []byte(`{"accounts":1}`)
		},
		"long biography": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
			s.SettingsJsonBytes = fmt.Appendf(nil, `{"bio":"%s"}`, long(4*MaxText+1))
		},
		"installation": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
			s.RawMessages[1].Payload = []byte("garbage")
		},
		"no installation id": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
			s.RawMessages[1].Payload = marshal(t, &apppb.SyncPairInstallation{InstallationId: "none"})
		},
		"device with control characters": func(_ *apppb.LocalPairingPayload, s *apppb.SyncRawMessage) {
			s.RawMessages[1].Payload = marshal(t, &apppb.SyncPairInstallation{InstallationId: "6ba7b810-9dad-41d1-80b4-00c04fd430c8", Name: "\x1b[2J"})
		},
	} {
		_, p, s := deployed(t)
		change(p, s)
		if r, err := joined(t, p, s); !errors.Is(err, ErrPayload) || r.Spec.Mnemonic != "" || r.Spec.Keys != nil {
			t.Errorf("%s: %v, want ErrPayload", name, err)
		} else if strings.Contains(err.Error(), "abandon") || strings.Contains(err.Error(), "0x") {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
}

// TestManyFiles finds the master key among those of other wallets, and opens
// no more files than are worth it.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	keys, p, s := deployed(t)
	var files []*apppb.LocalPairingPayload_Key
	for i := range uint32(openedFiles) {
		n, err := keys.Wallet(i + 10)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, statusFile(t, n, p.Password))
	}
	master, chat := p.Keys[3], p.Keys[0]
	s.SubAccountsJsonBytes = bytes.ReplaceAll(s.SubAccountsJsonBytes, []byte(keys.Master.Address()), nil)
	unhelpful := bytes.ReplaceAll(s.SettingsJsonBytes, []byte(keys.Master.Address()), nil)
	for _, c := range []struct {
		files    []*apppb.LocalPairingPayload_Key
		settings []byte
		whole    bool
	}{
		{append(append([]*apppb.LocalPairingPayload_Key{chat}, files...), master), s.SettingsJsonBytes, true},
		{append(files[:openedFiles-1:openedFiles-1], master, chat), unhelpful, true},
		{append(files[:openedFiles:openedFiles], master, chat), unhelpful, false},
	} {
		p.Keys, s.SettingsJsonBytes = c.files, c.settings
		r, err := joined(t, p, s)
		if err != nil || (r.Spec.Mnemonic != "") != c.whole || c.whole == r.Spec.Chat.Equal(keys.Chat.Private) {
			t.Errorf("whole %t: %v", c.whole, err)
		}
	}
}

// TestMultiAccountLimits reads what is at a limit and refuses what is past it.
func TestMultiAccountLimits(t *testing.T) {
	t.Parallel()
	type multi = apppb.MultiAccount
	images := func(n int) (all []*apppb.MultiAccount_IdentityImage) {
		for range n {
			all = append(all, &apppb.MultiAccount_IdentityImage{})
		}
		return all
	}
	segments := func(n int, index ...int64) (all []*apppb.MultiAccount_ColorHash) {
		for range n {
			all = append(all, &apppb.MultiAccount_ColorHash{Index: index})
		}
		return all
	}
	image := func(i *apppb.MultiAccount_IdentityImage) *multi {
		return &multi{Images: []*apppb.MultiAccount_IdentityImage{i}}
	}
	type picture = apppb.MultiAccount_IdentityImage
	text := func(n int) string { return strings.Repeat("a", n) }
	for name, m := range map[string]*multi{
		"empty": {}, "name": {Name: text(MaxText)}, "colour": {CustomizationColor: text(MaxText)}, "time": {Timestamp: maxTimestamp},
		"colour id": {ColorId: account.ColorCount - 1}, "images": {Images: images(MaxImages)}, "segments": {ColorHash: segments(maxColorSegments, 255, 31)},
		"image": image(&picture{Payload: make([]byte, MaxImageSize), Name: text(MaxText), Width: maxImageSide, Height: maxImageSide, ResizeTarget: maxImageSide}),
		"uid":   {KeyUid: "0x" + text(64)},
	} {
		if _, err := ReadMultiAccount(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, m := range map[string]*multi{
		"nil": nil, "name": {Name: text(MaxText + 1)}, "controls": {Name: "a\nb"}, "colour": {CustomizationColor: text(MaxText + 1)},
		"time": {Timestamp: maxTimestamp + 1}, "before time": {Timestamp: -1}, "colour id": {ColorId: account.ColorCount}, "negative": {ColorId: -1},
		"images": {Images: images(MaxImages + 1)}, "segments": {ColorHash: segments(maxColorSegments+1, 1, 1)},
		"one index": {ColorHash: segments(1, 1)}, "three": {ColorHash: segments(1, 1, 1, 1)}, "length": {ColorHash: segments(1, 256, 1)},
		"below": {ColorHash: segments(1, -1, 1)}, "ring": {ColorHash: segments(1, 1, 32)}, "ring below": {ColorHash: segments(1, 1, -1)},
		"image": image(&picture{Payload: make([]byte, MaxImageSize+1)}), "image name": image(&picture{Name: text(MaxText + 1)}),
		"width": image(&picture{Width: maxImageSide + 1}), "height": image(&picture{Height: -1}), "target": image(&picture{ResizeTarget: maxImageSide + 1}),
		"uid": {KeyUid: "0x" + text(63)}, "no digits": {KeyUid: "0x" + strings.Repeat("g", 64)}, "no 0x": {KeyUid: text(66)},
	} {
		if p, err := ReadMultiAccount(m); !errors.Is(err, ErrPayload) || p.Name != "" || p.Images != nil {
			t.Errorf("%s: %v, want ErrPayload", name, err)
		}
	}
}

// TestMessageLimits bounds the number of messages.
func TestMessageLimits(t *testing.T) {
	t.Parallel()
	s := &apppb.SyncRawMessage{}
	for range MaxMessages {
		s.RawMessages = append(s.RawMessages, &apppb.SyncRawMessage_RawMessage{MessageType: 12})
	}
	if got, err := readSync(marshal(t, s)); err != nil || len(got.messages) != MaxMessages {
		t.Error(err)
	}
	s.RawMessages = append(s.RawMessages, s.RawMessages[0])
	if _, err := readSync(marshal(t, s)); !errors.Is(err, ErrPayload) {
		t.Error(err)
	}
	if _, err := readInstallation(marshal(t, &apppb.SyncRawMessage{})); !errors.Is(err, ErrPayload) {
		t.Errorf("no installation: %v", err)
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	k := [keySize]byte{1}
	sealed, err := seal(k, []byte("text"), bytes.NewReader(bytes.Repeat([]byte{7}, nonceSize)))
	if err != nil || !bytes.Equal(sealed[:nonceSize], bytes.Repeat([]byte{7}, nonceSize)) || len(sealed) != nonceSize+4+16 {
		t.Fatalf("%x, %v", sealed, err)
	}
	if plain, err := open(k, sealed); err != nil || string(plain) != "text" {
		t.Errorf("%q, %v", plain, err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := open(k, changed); !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := open(k, sealed[:i]); !errors.Is(err, ErrSealed) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := open([keySize]byte{2}, sealed); !errors.Is(err, ErrSealed) {
		t.Error(err)
	}
	if _, err := seal(k, nil, broken{}); err == nil || errors.Is(err, ErrSealed) {
		t.Error(err)
	}
}

// TestPrepareWithoutRandomness fails whole, wherever randomness ends.
func TestPrepareWithoutRandomness(t *testing.T) {
	t.Parallel()
	o := outgoing(newAccount(t, phrase))
	var needed int
	count := readerFunc(func(p []byte) (int, error) { needed += len(p); return rand.Read(p) })
	if _, err := o.prepare(time.Now(), count); err != nil {
		t.Fatal(err)
	}
	for _, left := range []int{0, 16, needed / 2, needed - 1} {
		out, err := o.prepare(time.Now(), bytes.NewReader(make([]byte, left)))
		if err == nil {
			t.Errorf("with %d bytes of %d: %d and %d bytes", left, needed, len(out.account), len(out.sync))
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func FuzzReadAccount(f *testing.F) {
	_, p, s := deployed(f)
	f.Add(marshal(f, p), marshal(f, s))
	f.Add(marshal(f, &apppb.LocalPairingPayload{Multiaccount: &apppb.MultiAccount{}, ChatKey: strings.Repeat("1", 64)}), []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, err := readAccount(first)
		if err != nil {
			if !errors.Is(err, ErrPayload) {
				t.Errorf("%v is not ErrPayload", err)
			}
			return
		}
		b, err := readSync(second)
		if err != nil {
			if !errors.Is(err, ErrPayload) {
				t.Errorf("%v is not ErrPayload", err)
			}
			return
		}
		r, err := join(a, b, "6ba7b810-9dad-41d1-80b4-00c04fd430c8", time.Unix(1700000000, 0))
		if err != nil {
			if !errors.Is(err, ErrPayload) {
				t.Errorf("%v is not ErrPayload", err)
			}
			return
		}
		// What is accepted can be told again.
		again, err := ReadMultiAccount(NewMultiAccount(chatOf(r), r.Profile.KeyUID, r.Profile))
		if err != nil || again.Name != r.Profile.Name {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	k := [keySize]byte{1}
	sealed, err := seal(k, []byte("text"), bytes.NewReader(make([]byte, nonceSize)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if plain, err := open(k, b); err == nil && !bytes.Equal(b, sealed) {
			t.Errorf("forged %q", plain)
		}
	})
}

func BenchmarkPrepare(b *testing.B) {
	o := outgoing(newAccount(b, phrase))
	o.Scrypt = account.Scrypt{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.prepare(time.Unix(1700000000, 0), rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCode(b *testing.B) {
	text := newCode(b, "192.168.1.42", "10.0.0.1").Text()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCode(text); err != nil {
			b.Fatal(err)
		}
	}
}
