package parley_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/discovery"
)

// newAccount makes an account in a fresh key store, with the cheapest password
// derivation there is.
func newAccount(t testing.TB, dir, name string) *account.Account {
	t.Helper()
	store, err := account.OpenStore(dir, account.StoreConfig{KDF: account.KDF{Time: 1, MemoryKiB: 8, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	phrase, err := account.NewMnemonic(account.DefaultWords, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := store.Create(account.Spec{Name: name, Mnemonic: phrase, Created: time.Now()}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

func localNetwork(t testing.TB) parley.Network {
	t.Helper()
	network, err := parley.LoadNetwork("local")
	if err != nil {
		t.Fatal(err)
	}
	return network
}

func serve(t testing.TB) *parley.ServiceNode {
	t.Helper()
	network := localNetwork(t)
	service, err := parley.Serve(parley.ServiceConfig{Cluster: network.Cluster, Shards: network.AllShards()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	return service
}

func open(t testing.TB, acc *account.Account, dir string, mode parley.Mode, service *parley.ServiceNode) *parley.Client {
	t.Helper()
	var log *slog.Logger
	if os.Getenv("PARLEY_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", acc.Name)
	}
	client, err := parley.Open(t.Context(), parley.Config{
		Account: acc,
		DataDir: dir,
		Network: localNetwork(t),
		Mode:    mode,
		Peers:   service.Addrs(),
		Stores:  service.Addrs(),
		Log:     log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// wait reads a client's events from the beginning until one satisfies, within
// eventually.Patience.
func wait(t testing.TB, c *parley.Client, what string, satisfies func(parley.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	found := errors.New("found")
	err := c.Events(ctx, 0, true, func(e parley.Event) error {
		if satisfies(e) {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		s, _ := c.Status(context.Background())
		t.Fatalf("%s: %v; status %+v", what, err, s)
	}
}

func texts(t testing.TB, c *parley.Client) (all []string) {
	t.Helper()
	messages, err := c.Messages(t.Context(), "", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		all = append(all, m.Text)
	}
	return all
}

// A full and a light client become contacts and talk over real sockets.
//
// Proves: SP-47, SP-51, SP-52, SP-55, SP-59, SP-60, SP-63.
func TestFullAndLightTalk(t *testing.T) {
	t.Parallel()
	service := serve(t)
	alice := open(t, newAccount(t, t.TempDir(), "Alice"), t.TempDir(), parley.Full, service)
	bobby := open(t, newAccount(t, t.TempDir(), "Bobby"), t.TempDir(), parley.Light, service)

	if _, err := alice.AddContact(t.Context(), bobby.Self().String(), "It is Alice"); err != nil {
		t.Fatal(err)
	}
	wait(t, bobby, "bobby gets the request", func(e parley.Event) bool { return e.Type == parley.EventContactRequest })
	if _, err := bobby.AcceptContact(t.Context(), "Alice"); err != nil {
		t.Fatal(err)
	}
	wait(t, alice, "alice sees the acceptance", func(parley.Event) bool {
		c, err := alice.Contact(t.Context(), bobby.Self().Hex())
		return err == nil && c.State == "mutual"
	})
	want := []string{"It is Alice"}
	for i := range 3 {
		for _, m := range []struct {
			from *parley.Client
			to   *parley.Client
		}{{alice, bobby}, {bobby, alice}} {
			text := fmt.Sprintf("%d from %s", i, m.from.Account().Name)
			sent, err := m.from.Send(t.Context(), m.to.Self().String(), text, parley.SendOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, text)
			wait(t, m.from, text+" is delivered", func(parley.Event) bool {
				now, err := m.from.Message(t.Context(), sent.ID.String())
				return err == nil && now.State == "delivered"
			})
		}
	}
	for _, c := range []*parley.Client{alice, bobby} {
		if got := texts(t, c); !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", c.Account().Name, got, want)
		}
	}
}

// A client opens without a way out, keeps what is sent, and refuses addresses
// that can never work.
func TestOpenOffline(t *testing.T) {
	t.Parallel()
	network := localNetwork(t)
	acc := newAccount(t, t.TempDir(), "Alice")
	config := parley.Config{
		Account: acc, Network: network,
		Bootstrap: []string{"enrtree://AMOJVZX4V6EXP7NTJPMAYJYST2QP6AJXYW76IU6VGJS7UVSNDYZG4@nodes.invalid"},
	}
	client, err := parley.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m, err := client.Send(t.Context(), newAccount(t, t.TempDir(), "Bobby").ID, "later", parley.SendOptions{})
	if err != nil || m.State != "pending" {
		t.Errorf("%+v, %v", m, err)
	}
	config.Bootstrap = []string{"nodes.example"}
	if _, err := parley.Open(t.Context(), config); !errors.Is(err, discovery.ErrEntry) {
		t.Errorf("nonsense: %v", err)
	}
}
