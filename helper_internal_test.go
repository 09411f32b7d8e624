package parley

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/share"
	apppb "github.com/parley-im/parley/pb/app"
)

// memoryClient opens a client in memory that knows no network.
func memoryClient(t testing.TB) *Client {
	t.Helper()
	store, err := account.OpenStore(t.TempDir(), account.StoreConfig{KDF: account.KDF{Time: 1, MemoryKiB: 8, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	phrase, err := account.NewMnemonic(account.DefaultWords, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := store.Create(account.Spec{Name: "Alice", Mnemonic: phrase, Created: time.Now()}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	network, err := LoadNetwork("local")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Config{Account: acc, Network: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func strangerKey(t testing.TB) key.Public {
	t.Helper()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// shareLink is a link to Bob.
func shareLink(pub key.Public) string {
	u := share.URL{Kind: share.User, Key: pub, User: &apppb.UserUrlData{DisplayName: "Bob"}}
	return u.String()
}
