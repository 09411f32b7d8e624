package parley

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/ens"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	claims "github.com/parley-im/parley/app/ens"
	"github.com/parley-im/parley/internal/fault"
)

// book is a claimBook in memory.
type book struct {
	mu      sync.Mutex
	claims  map[string]claims.Claim // by name
	changed chan struct{}
	fail    error
}

func newBook(names ...string) *book {
	b := &book{claims: make(map[string]claims.Claim), changed: make(chan struct{}, 1)}
	for _, name := range names {
		b.claims[name], _ = claims.Claim{}.Receive(name, 1)
	}
	return b
}

func (b *book) DueClaims() (due []claims.Claim, next time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := make([]string, 0, len(b.claims))
	for name := range b.claims {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := b.claims[name]
		if c.Due(time.Now()) {
			due = append(due, c)
		} else if at, ok := c.NextTry(); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return due, next, b.fail
}

func (b *book) ClaimsChanged() <-chan struct{} { return b.changed }

func (b *book) Looked(_ key.Public, name string, outcome claims.Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims[name] = b.claims[name].Looked(name, outcome, time.Now())
	return nil
}

func (b *book) claim(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims[name], _ = claims.Claim{}.Receive(name, 1)
}

func (b *book) get(name string) claims.Claim {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.claims[name]
}

// chain answers by name and writes down when it was asked.
type chain struct {
	start time.Time
	mu    sync.Mutex
	asked []string
	down  atomic.Bool
	bob   key.Public // of bob.eth
}

func (c *chain) calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func (c *chain) Verify(_ context.Context, name string, _ key.Public) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, fmt.Sprint(time.Since(c.start), " ", name))
	switch {
	case c.down.Load():
		return false, fmt.Errorf("asking: %w", ens.ErrUnreachable)
	case strings.HasPrefix(name, "mine"):
		return true, nil
	case strings.HasPrefix(name, "nobody"):
		return false, ens.ErrNoName
	}
	return false, nil
}

func (c *chain) PublicKey(_ context.Context, name string) (key.Public, error) {
	switch {
	case c.down.Load():
		return key.Public{}, fmt.Errorf("asking: %w", ens.ErrUnreachable)
	case name == "bob.eth":
		return c.bob, nil
	}
	return key.Public{}, ens.ErrNoName
}

// TestAddressByENSName: who is nobody's contact is found by an ENS name, when
// there is an Ethereum node to ask, and a contact of that name comes first.
func TestAddressByENSName(t *testing.T) {
	t.Parallel()
	c, ctx := memoryClient(t), t.Context()
	if _, err := c.Resolve(ctx, "bob.eth"); fault.KindOf(err) != fault.NotFound {
		t.Fatalf("without an Ethereum node: %v", err)
	}
	eth := &chain{bob: strangerKey(t)}
	c.names = eth
	for _, text := range []string{"bob.eth", "BOB.eth", "https://status.app/u#bob.eth"} {
		if pub, err := c.Resolve(ctx, text); err != nil || pub != eth.bob {
			t.Errorf("%s: %v %v", text, pub, err)
		}
		if id, err := c.ResolveChat(ctx, text); err != nil || id != chat.OneToOneID(eth.bob) {
			t.Errorf("chat with %s: %v %v", text, id, err)
		}
	}
	for text, kind := range map[string]fault.Kind{"carol.eth": fault.NotFound, "bob": fault.NotFound, "b ob.eth": fault.NotFound, "bob.com": fault.NotFound} {
		if _, err := c.Resolve(ctx, text); fault.KindOf(err) != kind {
			t.Errorf("%s: %v", text, err)
		}
	}
	eth.down.Store(true)
	if _, err := c.ResolveChat(ctx, "bob.eth"); fault.KindOf(err) != fault.Unreachable {
		t.Errorf("with the Ethereum node down: %v", err)
	}
	carol := strangerKey(t)
	if _, err := c.AddContact(ctx, carol.String(), "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RenameContact(ctx, carol.String(), "bob.eth"); err != nil {
		t.Fatal(err)
	}
	if pub, err := c.Resolve(ctx, "bob.eth"); err != nil || pub != carol {
		t.Errorf("a contact of that nickname: %v %v", pub, err)
	}
}

// TestLookUpNames: what is claimed is looked up at once, what was not verified
// again at growing distances, and a new claim does not wait for those.
func TestLookUpNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, c := newBook("mine.eth", "theirs.eth", "nobodys.eth"), &chain{start: time.Now()}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- lookUpNames(ctx, b, c) }()
		synctest.Wait()
		for name, want := range map[string]claims.State{"mine.eth": claims.Verified, "theirs.eth": claims.Unverified, "nobodys.eth": claims.Unverified} {
			if got := b.get(name); got.State != want || want == claims.Unverified && got.Tries != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		<-time.After(claims.Step)
		b.claim("mine-too.eth")
		b.changed <- struct{}{}
		synctest.Wait()
		if got := b.get("mine-too.eth").State; got != claims.Verified {
			t.Errorf("the new claim is %s", got)
		}
		<-time.After(24 * time.Hour)
		synctest.Wait()
		if got := b.get("theirs.eth"); got.State != claims.Failed || got.Tries != claims.MaxTries {
			t.Errorf("after a day: %+v", got)
		}
		if want := []string{"0s mine.eth", "0s nobodys.eth", "0s theirs.eth", "30s mine-too.eth", "1m0s nobodys.eth"}; !slices.Equal(c.calls()[:5], want) {
			t.Errorf("asked %q, want %q first", c.calls(), want)
		}
		if want := 2 + 2*claims.MaxTries; len(c.calls()) != want {
			t.Errorf("asked %d times, want %d", len(c.calls()), want)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNodeDown: an Ethereum node that does not answer is not asked for every
// name, and nothing is held against the names.
func TestNodeDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, c := newBook("mine-1.eth", "mine-2.eth", "mine-3.eth"), &chain{start: time.Now()}
		c.down.Store(true)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan error)
		go func() { done <- lookUpNames(ctx, b, c) }()
		<-time.After(5 * time.Minute)
		synctest.Wait()
		if n := len(c.calls()); n < 3 || n > 11 {
			t.Errorf("asked %d times in five minutes: %q", n, c.calls())
		}
		c.down.Store(false)
		<-time.After(time.Hour)
		synctest.Wait()
		for _, name := range []string{"mine-1.eth", "mine-2.eth", "mine-3.eth"} {
			if claim := b.get(name); claim.State != claims.Verified {
				t.Errorf("%s: %+v", name, claim)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLookUpFails(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.fail = errors.New("the disk is full")
	if err := lookUpNames(t.Context(), b, &chain{}); !errors.Is(err, b.fail) {
		t.Errorf("%v", err)
	}
}

// TestDialENS: a URL that is none is refused without being shown.
func TestDialENS(t *testing.T) {
	t.Parallel()
	if r, err := dialENS(""); r != nil || err != nil {
		t.Errorf("no URL: %v, %v", r, err)
	}
	if _, err := dialENS("ftp://node.example/secret"); fault.KindOf(err) != fault.Usage || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "example") {
		t.Errorf("no node: %v", err)
	}
	if r, err := dialENS("https://node.example/secret"); err != nil || strings.Contains(fmt.Sprintf("%v %+v %#v", r, r, r), "secret") {
		t.Errorf("a node: %v, %v", r, err)
	}
}
