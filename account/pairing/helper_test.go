package pairing

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
)

const (
	phrase       = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
	testPassword = "correct horse"
)

// cheap are costs of tests.
var (
	cheapKDF    = account.KDF{Time: 1, MemoryKiB: 64, Threads: 1}
	cheapScrypt = account.Scrypt{N: 2, P: 1}
)

func newStore(t testing.TB) *account.Store {
	t.Helper()
	s, err := account.OpenStore(t.TempDir(), account.StoreConfig{KDF: cheapKDF})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, spec account.Spec) *account.Account {
	t.Helper()
	spec.Created = time.Now()
	a, err := newStore(t).Create(spec, testPassword)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newAccount(t testing.TB, phrase string) *account.Account {
	t.Helper()
	return create(t, account.Spec{Name: "Ada Lovelace", Mnemonic: phrase})
}

// outgoing is an account with everything that can travel.
func outgoing(a *account.Account) Outgoing {
	return Outgoing{
		Account: a, Password: testPassword, Device: Device{Name: "first", Type: "linux"}, Scrypt: cheapScrypt,
		Profile: Profile{
			Name: a.Name, Color: "magenta", ColorClock: 1700000000123, Bio: "Poetical science", ShowTo: ShowToEveryone,
			Images: []Image{
				{Name: "thumbnail", Data: []byte("small"), Width: 80, Height: 80, ResizeTarget: 80, Clock: 1700000000001},
				{Name: "large", Data: []byte("larger"), Width: 240, Height: 239, ResizeTarget: 240, Clock: 1700000000002},
			},
		},
	}
}

// keeper keeps what is received in a store of its own.
type keeper struct {
	store *account.Store
	kept  *account.Account
	err   error
}

const newPassword = "battery staple"

func (k *keeper) incoming() Incoming {
	return Incoming{Device: Device{Name: "second", Type: "darwin"}, Keep: func(r Received) (err error) {
		if k.err != nil {
			return k.err
		}
		k.kept, err = k.store.Create(r.Spec, newPassword)
		return err
	}}
}

func newKeeper(t testing.TB) *keeper { return &keeper{store: newStore(t)} }

// nothing checks that nothing was kept.
func (k *keeper) nothing(t testing.TB) {
	t.Helper()
	if all, err := k.store.List(); err != nil || len(all) != 0 {
		t.Errorf("kept %v, %v", all, err)
	}
}

var loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}

func startServer(t testing.TB, a *account.Account) *Server {
	t.Helper()
	installation, uid := "", ""
	if a != nil {
		installation, uid = a.InstallationID, a.KeyUID
	}
	s, err := Listen(loopback, installation, uid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// bounded is a context that ends long after a test should have.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 2*time.Minute, errors.New("too slow"))
	t.Cleanup(cancel)
	return ctx
}

func protoName(s string) protoreflect.Name { return protoreflect.Name(s) }

// chatOf is the chat key of a received account.
func chatOf(r Received) key.Public {
	if r.Spec.Keys != nil {
		return r.Spec.Keys.Chat.Public()
	}
	if r.Spec.Mnemonic != "" {
		keys, _ := account.Derive(r.Spec.Mnemonic, "")
		return keys.Chat.Public()
	}
	return r.Spec.Chat.Public()
}
