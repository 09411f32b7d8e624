package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
)

// wait lets time pass in a bubble of synctest.
func wait(d time.Duration) { <-time.After(d) }

// zone is DNS in a map.
type zone struct {
	mu    sync.Mutex
	names map[string]string
	err   error
	asked int
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.err != nil {
		return nil, z.err
	}
	if text, ok := z.names[name]; ok {
		return []string{text}, ctx.Err()
	}
	return nil, &net.DNSError{Name: name, IsNotFound: true}
}

func (z *zone) set(names map[string]string, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names, z.err = names, err
}

func (z *zone) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

// publish signs a list of nodes.
func publish(t testing.TB, domain string, seq uint, nodes ...*enode.Node) (url string, names map[string]string) {
	t.Helper()
	k, err := crypto.ToECDSA(crypto.Keccak256([]byte(domain)))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := dnsdisc.MakeTree(seq, nodes, nil)
	if err != nil {
		t.Fatal(err)
	}
	if url, err = tree.Sign(k, domain); err != nil {
		t.Fatal(err)
	}
	return url, tree.ToTXT(domain)
}

func listed(t testing.TB, n int) (nodes []*enode.Node) {
	t.Helper()
	for i := range n {
		nodes = append(nodes, node(t, enr.IP(net.IPv4(127, 0, 0, 1)), enr.TCP(uint16(1000+i))))
	}
	return nodes
}

func newLists(t testing.TB, cfg ListsConfig) *Lists {
	t.Helper()
	l, err := NewLists(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLists: what is listed is found, in random order, and the last answer
// stays while DNS fails or lies.
func TestLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nodes := listed(t, 12)
		silent := node(t)
		url, names := publish(t, "a.example", 1, append(nodes[:10:10], silent)...)
		second, names2 := publish(t, "b.example", 1, nodes[8:12]...)
		maps.Copy(names, names2)
		dns := &zone{names: names}
		l := newLists(t, ListsConfig{URLs: []string{url, second}, Resolver: dns})
		if len(l.Records()) != 0 || dns.count() != 0 {
			t.Error("looked up before it was asked to")
		}
		if err := l.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		orders := make(map[string]bool)
		for range 20 {
			records := l.Records()
			if len(records) != 12 {
				t.Fatalf("%d records", len(records))
			}
			var order strings.Builder
			for _, r := range records {
				fmt.Fprint(&order, r.TCP, " ")
			}
			orders[order.String()] = true
		}
		if len(orders) < 2 {
			t.Error("always in the same order")
		}

		// A second time only what changed is looked up.
		before := dns.count()
		if err := l.Refresh(t.Context()); err != nil || dns.count()-before > 2 {
			t.Errorf("%d look-ups, %v", dns.count()-before, err)
		}
		_, names = publish(t, "a.example", 2, nodes[:3]...)
		dns.set(names, errors.New("no network"))
		if err := l.Refresh(t.Context()); err == nil || len(l.Records()) != 12 {
			t.Errorf("DNS fails: %v, %d records", err, len(l.Records()))
		}
		dns.set(names, nil)
		if err := l.Refresh(t.Context()); err == nil {
			t.Error("one of two lists is gone, and no error")
		}
		// The first list changed, the second one stays as it was.
		if got := len(l.Records()); got != 3+4 {
			t.Errorf("%d records", got)
		}
		_, lies := publish(t, "c.example", 3, nodes...)
		for name, text := range lies {
			names[strings.ReplaceAll(name, "c.example", "a.example")] = text
		}
		dns.set(names, nil)
		if err := l.Refresh(t.Context()); err == nil || len(l.Records()) != 3+4 {
			t.Errorf("a list with somebody else's signature: %v, %d records", err, len(l.Records()))
		}
	})
}

// TestListsBounds: of a long list some are kept, one too long is none.
func TestListsBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		url, names := publish(t, "a.example", 1, listed(t, 30)...)
		l := newLists(t, ListsConfig{URLs: []string{url}, Resolver: &zone{names: names}, Max: 7})
		if err := l.Refresh(t.Context()); err != nil || len(l.Records()) != 7 {
			t.Errorf("%d records, %v", len(l.Records()), err)
		}
		url, names = publish(t, "b.example", 1, listed(t, MaxLookups)...)
		dns := &zone{names: names}
		l = newLists(t, ListsConfig{URLs: []string{url}, Resolver: dns})
		if err := l.Refresh(t.Context()); !errors.Is(err, ErrListTooLarge) || len(l.Records()) != 0 || dns.count() != MaxLookups {
			t.Errorf("%d records after %d look-ups, %v", len(l.Records()), dns.count(), err)
		}
	})
}

// stuck is a resolver that answers nobody.
type stuck struct{}

func (stuck) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestListsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		url, _ := publish(t, "a.example", 1)
		l := newLists(t, ListsConfig{URLs: []string{url}, Resolver: stuck{}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if err := l.Refresh(ctx); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		synctest.Wait()
		if err := l.Refresh(t.Context()); err == nil || errors.Is(err, ErrListBusy) {
			t.Errorf("the look-up given up never ended: %v", err)
		}
	})
}

func TestListsConfig(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "enr:x", "enrtree://nodes.example"} {
		if _, err := NewLists(ListsConfig{URLs: []string{url}}); !errors.Is(err, ErrEntry) {
			t.Errorf("%q: %v", url, err)
		}
	}
}
