package storesync

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/store"
)

// ledger knows which messages were asked of which peers: what a transfer may
// bring.
type ledger struct {
	mu       sync.Mutex
	accounts map[peer.ID]*account
	wanted   int // messages outstanding
}

// account is one peer with which a session is, or was within Grace, under way.
// Its fields are guarded by the ledger's mutex.
type account struct {
	active int           // sessions under way
	idle   chan struct{} // closed while there is none
	// wants are the messages asked for; true when one is there, or on its way
	// into the archive.
	wants   map[store.ID]bool
	open    int // those that are not there
	strays  int
	expires time.Time
	changed chan struct{} // closed and replaced when one arrives
}

// verdict on a message that a peer transfers.
type verdict int

const (
	wanted  verdict = iota
	stray           // not asked for, or there already
	refused         // one stray too many, or no session
)

// begin opens a session with p.
func (l *ledger) begin(p peer.ID, now time.Time) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	if l.accounts == nil {
		l.accounts = make(map[peer.ID]*account)
	}
	a := l.accounts[p]
	if a == nil {
		a = &account{wants: make(map[store.ID]bool), changed: make(chan struct{})}
		l.accounts[p] = a
	}
	if a.active == 0 {
		a.idle = make(chan struct{})
		a.strays = 0
	}
	a.active++
	return a
}

// end closes a session that found ids to ask for. Those of a session that the
// peer began count against what all of them may have outstanding; it returns
// how many are asked for.
func (l *ledger) end(a *account, wants []store.ID, begunHere bool, now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := 0
	for _, id := range wants {
		if asked == MaxWanted || !begunHere && l.wanted >= MaxWanted {
			break
		}
		if there, known := a.wants[id]; known && !there {
			asked++
			continue
		} else if known {
			continue
		}
		a.wants[id] = false
		a.open++
		l.wanted++
		asked++
	}
	a.expires = now.Add(Grace)
	if a.active--; a.active == 0 {
		close(a.idle)
	}
	return asked
}

// sweep forgets accounts whose time is over.
func (l *ledger) sweep(now time.Time) {
	for p, a := range l.accounts {
		if a.active == 0 && now.After(a.expires) {
			l.wanted -= a.open
			a.open = 0
			delete(l.accounts, p)
		}
	}
}

// take says what to do with a message of p. When it was not asked for while a
// session is under way, that may still come: take waits for its end.
func (l *ledger) take(ctx context.Context, p peer.ID, id store.ID) verdict {
	for {
		l.mu.Lock()
		now := time.Now()
		a := l.accounts[p]
		if a == nil || a.active == 0 && now.After(a.expires) {
			l.mu.Unlock()
			return refused
		}
		if there, known := a.wants[id]; known && !there {
			a.wants[id] = true
			a.expires = now.Add(Grace) // what moves may go on
			l.mu.Unlock()
			return wanted
		} else if known || a.active == 0 {
			v := a.stray()
			l.mu.Unlock()
			return v
		}
		idle := a.idle
		l.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return refused
		}
	}
}

// stray counts a message that is not to be kept.
func (a *account) stray() verdict {
	if a.strays++; a.strays > MaxStrays {
		return refused
	}
	return stray
}

// reject takes back that a message was wanted: it may not be stored.
func (l *ledger) reject(p peer.ID, e *store.Entry) verdict {
	l.settle(p, []store.Entry{*e}, false)
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.accounts[p]; a != nil {
		return a.stray()
	}
	return refused
}

// idOf names an entry.
func idOf(e *store.Entry) store.ID {
	return store.ID{Timestamp: e.Message.GetTimestamp(), Hash: e.Hash}
}

// known says whether a transfer of p may begin.
func (l *ledger) known(p peer.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[p]
	return a != nil && (a.active > 0 || !time.Now().After(a.expires))
}

// settle tells how the messages that were taken fared: they are there, or are
// wanted still.
func (l *ledger) settle(p peer.ID, entries []store.Entry, kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[p]
	if a == nil {
		return
	}
	for i := range entries {
		id := idOf(&entries[i])
		if !a.wants[id] {
			continue
		}
		if !kept {
			a.wants[id] = false
			continue
		}
		a.open--
		l.wanted--
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

// missing returns how many of some messages have not arrived, and a channel
// that is closed when that may have changed.
func (l *ledger) missing(a *account) (int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return a.open, a.changed
}

// forget gives up what has not arrived from a peer, once no session is under
// way.
func (l *ledger) forget(a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.active > 0 || a.open == 0 {
		return
	}
	for id, there := range a.wants {
		if !there {
			delete(a.wants, id)
			a.open--
			l.wanted--
		}
	}
}
