package storesync

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"

	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
)

// remoteOf returns the store of a node that serves a as change says.
func remoteOf(t *testing.T, a *memory, change func(*Config)) *Remote {
	t.Helper()
	net, err := mocknet.FullMeshConnected(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = net.Close() })
	hosts := net.Hosts()
	queried(t, hosts[1], a)
	serve(t, hosts[1], a, change)
	return NewRemote(hosts[0], hosts[1].ID())
}

// TestTakeBusy: a node that limits how often a session begins is given its time
// and gets everything.
func TestTakeBusy(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		a := archiveOf(t)
		r := remoteOf(t, a, func(c *Config) {
			c.PubsubTopics = topics(topicA, topicB)
			c.Rate = rpc.Rate{PerSecond: 0.1, Burst: 1}
		})
		start := time.Now()
		n, err := r.Take(t.Context(), slices.Concat(entries(topicA, 0, 20), entries(topicB, 20, 20)))
		if err != nil || n != 40 || len(a.all()) != 40 {
			t.Errorf("%d taken, %v", n, err)
		}
		if took := time.Since(start); took < 9*time.Second || took > 15*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestTakeRefused: a node that speaks the protocol and ends every session is
// not one that does not speak it. What it has to give is copied nevertheless.
func TestTakeRefused(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		a, b := archiveOf(t, entries(topicA, 0, 20)...), archiveOf(t, entries(topicA, 10, 30)...)
		r := remoteOf(t, b, func(c *Config) { c.Allow = func(peer.ID) bool { return false } })
		start := time.Now()
		got, err := Repair(t.Context(), Local{a}, r, lastDay(), A|B)
		if !errors.Is(err, ErrRefused) || errors.Is(err, ErrTakesNone) || got.ToA != got.OnlyB || got.ToA == 0 || got.ToB != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		if took := time.Since(start); took < offerPatience || took > 2*offerPatience {
			t.Errorf("it took %s", took)
		}
	})
}

// TestTakeAgain: what a node could not keep is given once more.
func TestTakeAgain(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		a := archiveOf(t)
		a.fail = errors.New("no room")
		r := remoteOf(t, a, nil)
		time.AfterFunc(20*time.Second, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.fail = nil
		})
		if n, err := r.Take(t.Context(), entries(topicA, 0, 300)); err != nil || n != 300 || len(a.all()) != 300 {
			t.Errorf("%d taken, %v, %d there", n, err, len(a.all()))
		}
	})
}

// TestTakeSessions: as much is offered in one session as one may compare.
func TestTakeSessions(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	there, sessions := archiveOf(t), make(chan Report, 100)
	queried(t, y, there)
	serve(t, y, there, func(c *Config) { c.Done = func(_ peer.ID, r Report, _ error) { sessions <- r } })
	from := archiveOf(t, entries(topicA, 0, offerSize+1)...)
	got, err := Repair(t.Context(), Local{from}, NewRemote(x, y.ID()), lastDay(), B)
	if err != nil || got.ToB != offerSize+1 || len(there.all()) != offerSize+1 {
		t.Errorf("%+v, %v, %d there", got, err, len(there.all()))
	}
	if n := len(sessions); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// TestLocalTake: what could not be kept is not counted.
func TestLocalTake(t *testing.T) {
	t.Parallel()
	a := archiveOf(t)
	list := entries(topicA, 0, 3)
	list = append(list, store.NewEntry(topicA, nil))
	if n, err := (Local{a}).Take(t.Context(), list); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	a.fail = errors.New("no room")
	if n, err := (Local{a}).Take(t.Context(), list); n != 0 || !errors.Is(err, a.fail) {
		t.Errorf("%d, %v", n, err)
	}
}
