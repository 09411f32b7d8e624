package storesync

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"

	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
)

// queried mounts the store query protocol over an archive.
func queried(t testing.TB, h host.Host, a *memory) {
	t.Helper()
	s := store.NewService(h, a, store.ServiceConfig{})
	t.Cleanup(func() { _ = s.Close() })
}

// TestResume fills a gap out of another store, and takes nothing but what is
// kept here.
func TestResume(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	all := entries(topicA, 0, 350)
	other := entries(topicB, 1000, 20)
	there := archiveOf(t, append(other, all...)...)
	queried(t, y, there)
	for name, c := range map[string]struct {
		change func(*Gap)
		held   int // of all, the oldest
		want   int
	}{
		"since the newest entry": {func(*Gap) {}, 100, 250 + 21}, // and what was on its way
		"nothing here":           {func(*Gap) {}, 0, 350},
		"since a time":           {func(g *Gap) { g.Since = time.Unix(0, all[300].Message.GetTimestamp()) }, 0, 50 + 20},
		"at most so far back":    {func(g *Gap) { g.Max = time.Since(time.Unix(0, all[340].Message.GetTimestamp()-1)) }, 0, 10},
		"no gap":                 {func(g *Gap) { g.Since = time.Now().Add(-MinGap + 10*time.Second) }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := archiveOf(t, all[:c.held]...)
			g := Gap{Archive: a, Client: store.NewClient(x), Peers: []peer.ID{y.ID()}, PubsubTopics: []string{topicA}}
			c.change(&g)
			n, err := Resume(t.Context(), g)
			// The time before the first one asked about may be gone.
			if err != nil || n < c.want-1 || n > c.want {
				t.Errorf("%d messages, want %d, %v", n, c.want, err)
			}
			for _, e := range a.all() {
				if e.PubsubTopic != topicA {
					t.Fatal("a message of another shard was taken")
				}
			}
		})
	}
}

// failing answers so many pages, then none.
type failing struct {
	Querier
	bad   peer.ID
	pages int
}

var errGone = errors.New("gone")

func (f *failing) All(ctx context.Context, p peer.ID, q *store.Query, visit func(*store.Page) error) error {
	pages := 0
	return f.Querier.All(ctx, p, q, func(page *store.Page) error {
		if p == f.bad && pages == f.pages {
			return errGone
		}
		pages++
		return visit(page)
	})
}

// TestResumeGoesOn with the next peer where one fails.
func TestResumeGoesOn(t *testing.T) {
	t.Parallel()
	net, err := mocknet.FullMeshConnected(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = net.Close() })
	x, y, z := net.Hosts()[0], net.Hosts()[1], net.Hosts()[2]
	all := entries(topicA, 0, 350)
	queried(t, y, archiveOf(t, all...))
	queried(t, z, archiveOf(t, all...))
	for range 4 { // either is the first
		a := archiveOf(t)
		g := Gap{Archive: a, Client: &failing{store.NewClient(x), y.ID(), 2}, Peers: []peer.ID{y.ID(), z.ID()}}
		if _, err := Resume(t.Context(), g); err != nil || len(a.all()) != 350 {
			t.Errorf("%d messages, %v", len(a.all()), err)
		}
	}
	a := archiveOf(t)
	g := Gap{Archive: a, Client: &failing{store.NewClient(x), y.ID(), 2}, Peers: []peer.ID{y.ID()}}
	if n, err := Resume(t.Context(), g); !errors.Is(err, ErrResume) || !errors.Is(err, errGone) || n != 200 || len(a.all()) != 200 {
		t.Errorf("%d messages, %v", n, err)
	}
	if _, err := Resume(t.Context(), Gap{Archive: archiveOf(t), Client: store.NewClient(x)}); !errors.Is(err, ErrResume) {
		t.Errorf("without a peer: %v", err)
	}
}

// narrow refuses pages above a size, and every other query for its rate.
type narrow struct {
	a       *memory
	size    uint64
	queries int
}

func (n *narrow) Query(ctx context.Context, _ peer.ID, q *store.Query) (*store.Page, error) {
	if n.queries++; n.queries%2 == 0 && n.queries < 5 {
		return nil, store.ErrTooMany
	}
	if q.Limit > n.size {
		return nil, store.ErrAnswerSize
	}
	return n.a.Query(ctx, q)
}

func (n *narrow) All(ctx context.Context, p peer.ID, q *store.Query, visit func(*store.Page) error) error {
	ask := *q
	for {
		page, err := n.Query(ctx, p, &ask)
		if err != nil {
			return err
		}
		if err := visit(page); err != nil || page.Cursor == nil {
			return err
		}
		ask.Cursor = page.Cursor
	}
}

// TestPages: smaller ones where they are too large, later ones where it is too
// early, each entry once.
func TestPages(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		a := archiveOf(t, entries(topicA, 0, 30)...)
		var got []message.Hash
		q := &store.Query{Forward: true, Limit: store.MaxPage}
		err := pages(t.Context(), &narrow{a: a, size: 7}, "", q, func(page *store.Page) error {
			for _, e := range page.Messages {
				got = append(got, e.Hash)
			}
			return nil
		})
		if err != nil || !slices.Equal(got, a.hashes()) {
			t.Errorf("%d entries, %v", len(got), err)
		}
		if err := pages(t.Context(), &narrow{a: a}, "", q, nil); !errors.Is(err, store.ErrAnswerSize) {
			t.Error(err)
		}
	})
}
