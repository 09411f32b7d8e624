package pairing

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// moved is what both sides have at the end of a pairing.
type moved struct {
	to              Device
	received        Received
	sendErr, getErr error
}

// senderShows pairs with the code on the side that has the account.
func senderShows(ctx context.Context, t testing.TB, o Outgoing, in Incoming) (m moved) {
	s := startServer(t, o.Account)
	done := make(chan struct{})
	go func() { m.to, m.sendErr = s.Send(ctx, o); close(done) }()
	m.received, m.getErr = Receive(ctx, copied(t, s.Code()), in)
	if m.getErr != nil {
		s.Close() // else the sender would go on waiting
	}
	<-done
	return m
}

// receiverShows pairs with the code on the side that wants the account.
func receiverShows(ctx context.Context, t testing.TB, o Outgoing, in Incoming) (m moved) {
	s := startServer(t, nil)
	done := make(chan struct{})
	go func() { m.received, m.getErr = s.Receive(ctx, in); close(done) }()
	m.to, m.sendErr = Send(ctx, copied(t, s.Code()), o)
	if m.sendErr != nil {
		s.Close()
	}
	<-done
	return m
}

// copied is a code that went from screen to camera.
func copied(t testing.TB, c Code) Code {
	c, err := ParseCode(c.Text())
	if err != nil {
		t.Error(err)
	}
	return c
}

var directions = map[string]func(context.Context, testing.TB, Outgoing, Incoming) moved{
	"sender shows": senderShows, "receiver shows": receiverShows,
}

// TestMove moves an account with its recovery phrase in both directions.
//
// Proves: AP-214.
func TestMove(t *testing.T) {
	t.Parallel()
	for name, pair := range directions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, k := newAccount(t, phrase), newKeeper(t)
			o := outgoing(a)
			o.Messages = []Message{{apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, []byte("a contact")}}
			o.Profile.Updated = time.Unix(1700000000, 0).UTC()
			m := pair(bounded(t), t, o, k.incoming())
			if m.sendErr != nil || m.getErr != nil {
				t.Fatal(m.sendErr, m.getErr)
			}
			kept, err := k.store.Open(a.ID, newPassword)
			if err != nil {
				t.Fatal(err)
			}
			if kept.ID != a.ID || kept.KeyUID != a.KeyUID || !kept.Chat.Equal(a.Chat) || !kept.Encryption.Equal(a.Encryption) ||
				kept.Mnemonic != phrase || kept.WalletRoot != a.WalletRoot || kept.Name != a.Name {
				t.Errorf("kept %v, sent %v", kept, a)
			}
			if kept.InstallationID == a.InstallationID || kept.InstallationID == "" {
				t.Errorf("installation %s, the other's is %s", kept.InstallationID, a.InstallationID)
			}
			if m.to != (Device{kept.InstallationID, "second", "darwin"}) || m.received.From != (Device{a.InstallationID, "first", "linux"}) {
				t.Errorf("devices %v and %v", m.to, m.received.From)
			}
			// All ten fields of MultiAccount, but for the two that stay empty, and
			// what of the profile goes another way.
			want := o.Profile
			want.KeyUID, want.ColorHash, want.ColorID = a.KeyUID, account.ColorHash(a.Chat.Public()), account.ColorID(a.Chat.Public())
			if !reflect.DeepEqual(m.received.Profile, want) {
				t.Errorf("profile %+v\nwant %+v", m.received.Profile, want)
			}
			if !reflect.DeepEqual(m.received.Messages, o.Messages) {
				t.Errorf("messages %v", m.received.Messages)
			}
		})
	}
}

// TestMultiAccountOnTheWire reads the account's body as another implementation
// would, by the field numbers of 65/STATUS-ACCOUNT-ADDRESS.
//
// Proves: AP-214.
func TestMultiAccountOnTheWire(t *testing.T) {
	t.Parallel()
	a := newAccount(t, phrase)
	o := outgoing(a)
	now := time.Unix(1700000000, 0)
	out, err := o.prepare(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &apppb.LocalPairingPayload{}
	if err := proto.Unmarshal(out.account, p); err != nil {
		t.Fatal(err)
	}
	hash := account.ColorHash(a.Chat.Public())
	want := &apppb.MultiAccount{
		Name: "Ada Lovelace", Timestamp: 1700000000, ColorId: int64(account.ColorID(a.Chat.Public())), KeyUid: a.KeyUID,
		CustomizationColor: "magenta", CustomizationColorClock: 1700000000123,
		Images: []*apppb.MultiAccount_IdentityImage{
			{KeyUid: a.KeyUID, Name: "thumbnail", Payload: []byte("small"), Width: 80, Height: 80, Filesize: 5, ResizeTarget: 80, Clock: 1700000000001},
			{KeyUid: a.KeyUID, Name: "large", Payload: []byte("larger"), Width: 240, Height: 239, Filesize: 6, ResizeTarget: 240, Clock: 1700000000002},
		},
	}
	for _, s := range hash {
		want.ColorHash = append(want.ColorHash, &apppb.MultiAccount_ColorHash{Index: []int64{int64(s[0]), int64(s[1])}})
	}
	if !proto.Equal(p.GetMultiaccount(), want) {
		t.Errorf("%v\nwant %v", p.GetMultiaccount(), want)
	}
	for number, name := range []string{
		"name", "timestamp", "identicon", "color_hash", "color_id", "keycard_pairing", "key_uid", "images",
		"customization_color", "customization_color_clock",
	} {
		if f := want.ProtoReflect().Descriptor().Fields().ByName(protoName(name)); f == nil || int(f.Number()) != number+1 {
			t.Errorf("field %s is not %d", name, number+1)
		}
	}
	// The keys open for a Status application with the password of the account,
	// which itself is nowhere.
	if p.GetChatKey() != "" || len(p.GetKeys()) != 6 || bytes.Contains(out.account, []byte(testPassword)) || bytes.Contains(out.sync, []byte(testPassword)) {
		t.Errorf("chat key %t, %d keys", p.GetChatKey() != "", len(p.GetKeys()))
	}
	for _, k := range p.GetKeys() {
		opened, err := account.ReadKeystore(k.GetData(), testPassword)
		if err != nil || opened.Node.ExtendedKey() == "" || !strings.HasSuffix(k.GetName(), bare(account.Address(opened.Private.Public()))) {
			t.Errorf("%s: %v", k.GetName(), err)
		}
	}
}

// TestMoveLoose moves accounts of which less is known.
func TestMoveLoose(t *testing.T) {
	t.Parallel()
	keys, err := account.Derive(phrase, "")
	if err != nil {
		t.Fatal(err)
	}
	chat, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]account.Spec{
		"keys without phrase":    {Name: "Ada", Keys: keys},
		"phrase with passphrase": {Name: "Ada", Mnemonic: phrase, Passphrase: "TREZOR"},
		"chat key alone":         {Name: "Ada", Chat: chat},
		"no name":                {Mnemonic: phrase},
	} {
		for direction, pair := range directions {
			t.Run(name+", "+direction, func(t *testing.T) {
				t.Parallel()
				a, k := create(t, spec), newKeeper(t)
				m := pair(bounded(t), t, Outgoing{
					Account: a, Password: "p", Scrypt: cheapScrypt, Device: Device{Name: "d", Type: "t"}, Profile: Profile{Name: a.Name},
				}, k.incoming())
				if m.sendErr != nil || m.getErr != nil {
					t.Fatal(m.sendErr, m.getErr)
				}
				kept, err := k.store.Open(a.ID, newPassword)
				if err != nil {
					t.Fatal(err)
				}
				phrase := a.Mnemonic
				if spec.Passphrase != "" {
					phrase = "" // it gives other keys without its passphrase
				}
				if !kept.Chat.Equal(a.Chat) || !bytes.Equal(kept.Encryption.Bytes(), a.Encryption.Bytes()) || kept.KeyUID != a.KeyUID ||
					kept.WalletRoot != a.WalletRoot || kept.Mnemonic != phrase || kept.Name != a.Name {
					t.Errorf("kept %+v, sent %+v", kept, a)
				}
			})
		}
	}
}

// TestKeepFails ends a pairing at the last moment: nothing is kept.
func TestKeepFails(t *testing.T) {
	t.Parallel()
	full := errors.New("the disk is full")
	for name, pair := range directions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKeeper(t)
			k.err = full
			m := pair(bounded(t), t, outgoing(newAccount(t, phrase)), k.incoming())
			if !errors.Is(m.getErr, full) || m.received.Spec.Mnemonic != "" {
				t.Errorf("received with %v", m.getErr)
			}
			// The one that shows the code can still tell the other.
			if name == "receiver shows" && !errors.Is(m.sendErr, ErrPeer) {
				t.Errorf("sent with %v", m.sendErr)
			}
			k.nothing(t)
		})
	}
}

// TestKeepsOnce refuses an account that is already there.
func TestKeepsOnce(t *testing.T) {
	t.Parallel()
	a, k := newAccount(t, phrase), newKeeper(t)
	if m := receiverShows(bounded(t), t, outgoing(a), k.incoming()); m.getErr != nil {
		t.Fatal(m.getErr)
	}
	if m := receiverShows(bounded(t), t, outgoing(a), k.incoming()); !errors.Is(m.getErr, account.ErrExists) || !errors.Is(m.sendErr, ErrPeer) {
		t.Error(m.getErr, m.sendErr)
	}
}

// TestSameDirection lets both sides send, and both receive.
func TestSameDirection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(bounded(t))
	a, k := newAccount(t, phrase), newKeeper(t)
	sender, receiver := startServer(t, a), startServer(t, nil)
	ends := make(chan error, 2)
	go func() { _, err := sender.Send(ctx, outgoing(a)); ends <- err }()
	go func() { _, err := receiver.Receive(ctx, k.incoming()); ends <- err }()
	if _, err := Send(ctx, sender.Code(), outgoing(a)); !errors.Is(err, ErrDirection) {
		t.Errorf("both send: %v", err)
	}
	if _, err := Receive(ctx, receiver.Code(), k.incoming()); !errors.Is(err, ErrDirection) {
		t.Errorf("both receive: %v", err)
	}
	cancel()
	for range 2 {
		if err := <-ends; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
	k.nothing(t)
}

// TestSharesNothing refuses to begin with half of what is needed.
func TestSharesNothing(t *testing.T) {
	t.Parallel()
	a := newAccount(t, phrase)
	for name, o := range map[string]Outgoing{
		"no account":  {Password: "p", Device: Device{Name: "d", Type: "t"}},
		"no password": {Account: a, Device: Device{Name: "d", Type: "t"}},
		"no name":     {Account: a, Password: "p", Device: Device{Name: " ", Type: "t"}, Scrypt: cheapScrypt},
		"no type":     {Account: a, Password: "p", Device: Device{Name: "d"}, Scrypt: cheapScrypt},
	} {
		if _, err := Send(t.Context(), newCode(t, "127.0.0.1"), o); !errors.Is(err, ErrPayload) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := startServer(t, nil).Send(t.Context(), o); !errors.Is(err, ErrPayload) {
			t.Errorf("%s, waiting: %v", name, err)
		}
	}
	if _, err := startServer(t, nil).Receive(t.Context(), Incoming{}); !errors.Is(err, ErrPayload) {
		t.Error(err)
	}
	if _, err := Receive(t.Context(), newCode(t, "127.0.0.1"), Incoming{}); !errors.Is(err, ErrPayload) {
		t.Error(err)
	}
	if _, err := Listen(nil, "", ""); !errors.Is(err, ErrAddress) {
		t.Error(err)
	}
}
