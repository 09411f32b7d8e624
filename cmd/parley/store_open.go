package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/service"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/storesync"
)

const (
	// storeDial bounds how long it takes to reach a node, and to hear of its
	// network.
	storeDial = 20 * time.Second
	// storePause is how long a store that limits the rate of queries is left
	// alone, storePauses how often in a row.
	storePause  = time.Second
	storePauses = 30
)

// storeAt is a store as it was given on the command line. Its text may have a
// password in it, and is shown to nobody.
type storeAt struct {
	name string // what to call it
	text string
	peer *peer.AddrInfo // nil for an archive
}

// parseStore reads the address of a node or the URL of an archive.
func parseStore(name, text string) (storeAt, error) {
	s := storeAt{name: name, text: text}
	switch {
	case strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//"):
		info, err := peer.AddrInfoFromString(text)
		if err == nil && len(info.Addrs) == 0 {
			err = errors.New("it says who, and not where")
		}
		if err != nil {
			return s, &fault.Error{Kind: fault.Usage, Op: name + " " + text, Err: err,
				Hint: "give a multiaddr that ends in /p2p/<peer id>, or sqlite:PATH for an archive on this machine"}
		}
		s.peer = info
	case text == "sqlite:" || text == "sqlite::memory:":
		return s, fault.New(fault.Usage, "%s: %s names no archive", name, text).WithHint("give sqlite:PATH")
	case !strings.HasPrefix(text, "sqlite:") && !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://"):
		// Not the text itself: there may be a password in it.
		return s, fault.New(fault.Usage, "%s is neither the address of a node nor the URL of an archive", name).
			WithHint("give a multiaddr that ends in /p2p/<peer id>, sqlite:PATH or postgres://user@host/database")
	}
	return s, nil
}

// parseStores reads a and b.
func parseStores(args []string) (all []storeAt, err error) {
	if args[0] == args[1] {
		return nil, fault.New(fault.Usage, "a and b are the same store")
	}
	for i, name := range []string{"a", "b"} {
		s, err := parseStore(name, args[i])
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// path is that of an archive in SQLite.
func (s storeAt) path() (string, bool) {
	path, ok := strings.CutPrefix(s.text, "sqlite:")
	return strings.TrimPrefix(path, "//"), ok
}

// openArchive opens an archive; one in SQLite that is not there yet only where
// it may be made. busy is what to do when it is in use.
func (s storeAt) openArchive(ctx context.Context, create bool, busy string) (store.Maintainer, error) {
	if path, ok := s.path(); ok && !create {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.NotFound, "%s: there is no archive at %s", s.name, path)
		}
	}
	archive, err := service.OpenArchive(ctx, s.text)
	switch {
	case err == nil && ctx.Err() == nil:
		return archive, nil
	case err == nil:
		return nil, storeFault(ctx, s.name, fault.Internal, errors.Join(ctx.Err(), archive.Close()))
	case errors.Is(err, sqlite.ErrLocked):
		return nil, &fault.Error{Kind: fault.Conflict, Op: s.name, Err: err, Hint: busy}
	}
	return nil, storeFault(ctx, s.name, fault.Internal, err)
}

// openStore is a store that can be asked.
type openStore struct {
	storesync.Source
	name string
	// otherwise is the kind of errors that do not tell their own.
	otherwise fault.Kind
	// ask answers one page.
	ask func(context.Context, *store.Query) (*store.Page, error)
}

func (s openStore) fault(ctx context.Context, err error) error {
	return storeFault(ctx, s.name, s.otherwise, err)
}

// withStores opens stores, has f work with them, and closes them. Archives in
// SQLite that create says are made where they are not there yet. Nodes are
// reached by a light node that lives as long.
func (a *app) withStores(ctx context.Context, cluster uint16, all []storeAt, create func(i int) bool, f func(open []openStore) error) (err error) {
	var ends []func() error
	defer func() {
		for _, end := range slices.Backward(ends) {
			err = errors.Join(err, end())
		}
	}()
	var infos []peer.AddrInfo
	for _, s := range all {
		if s.peer != nil {
			infos = append(infos, *s.peer)
		}
	}
	var n *node.Node
	if len(infos) > 0 {
		log, err := a.logger()
		if err != nil {
			return err
		}
		n, err = node.New(node.Config{Mode: node.Light, Cluster: cluster, Listen: []string{}, StorePeers: infos, Logger: log})
		if err != nil {
			return fault.Wrap(fault.Internal, "starting a light node", err)
		}
		ends = append(ends, n.Close)
	}
	open := make([]openStore, len(all))
	for i, s := range all {
		if s.peer != nil {
			if err := reachStore(ctx, n, s, cluster); err != nil {
				return err
			}
			open[i] = remoteStore(n, s)
			continue
		}
		archive, err := s.openArchive(ctx, create(i), "a node that runs keeps its messages there: give the address of the node, or stop it first")
		if err != nil {
			return err
		}
		ends = append(ends, archive.Close)
		open[i] = openStore{storesync.Local{Archive: archive}, s.name, fault.Internal, archive.Query}
	}
	return f(open)
}

// never is for stores that are only read.
func never(int) bool { return false }

// reachStore connects to a node and waits until both know that they are of the
// same network: a node parts from others, whatever they ask for.
func reachStore(ctx context.Context, n *node.Node, s storeAt, cluster uint16) error {
	within, cancel := context.WithTimeout(ctx, storeDial)
	defer cancel()
	if err := n.Dial(within, *s.peer); err != nil {
		if ctx.Err() != nil {
			return storeFault(ctx, s.name, fault.Unreachable, err)
		}
		return &fault.Error{Kind: fault.Unreachable, Op: s.name, Err: err, Hint: "check the address, and that the node runs and can be reached from here"}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, ok := n.Metadata(s.peer.ID); ok {
			return answersQueries(n, s)
		}
		if n.Host().Network().Connectedness(s.peer.ID) != network.Connected {
			return fault.New(fault.Unreachable, "%s: %s is not of the network %d", s.name, s.peer.ID, cluster).
				WithHint("give the network of the node with --cluster")
		}
		select {
		case <-tick.C:
		case <-within.Done():
			if ctx.Err() != nil {
				return storeFault(ctx, s.name, fault.Unreachable, ctx.Err())
			}
			return fault.New(fault.Unreachable, "%s: %s does not say what network it is of", s.name, s.peer.ID)
		}
	}
}

// answersQueries says whether a connected node has a store.
func answersQueries(n *node.Node, s storeAt) error {
	speaks, err := n.Host().Peerstore().GetProtocols(s.peer.ID)
	if err == nil && len(speaks) > 0 && !slices.Contains(speaks, store.ProtocolID) {
		return fault.New(fault.Unreachable, "%s: %s has no store that answers queries", s.name, s.peer.ID).
			WithHint("the protocol needed is 13/WAKU2-STORE, version 3")
	}
	return nil
}

// remoteStore is the store of a node that n is connected to.
func remoteStore(n *node.Node, s storeAt) openStore {
	client := store.NewClient(n.Host())
	return openStore{
		Source:    storesync.NewRemote(n.Host(), s.peer.ID),
		name:      s.name,
		otherwise: fault.Unreachable,
		ask: func(ctx context.Context, q *store.Query) (*store.Page, error) {
			for pauses := 0; ; pauses++ {
				page, err := client.Query(ctx, s.peer.ID, q)
				if !errors.Is(err, store.ErrTooMany) || pauses == storePauses {
					return page, err
				}
				if err := pause(ctx, storePause); err != nil {
					return nil, err
				}
			}
		},
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// storeFault gives what went wrong with a store its kind, otherwise where the
// error does not tell. op names the store, or what was done.
func storeFault(ctx context.Context, op string, otherwise fault.Kind, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fault.New(fault.Internal, "%s: stopped before the end", op)
	}
	if _, known := errors.AsType[*fault.Error](err); known {
		return fmt.Errorf("%s: %w", op, err)
	}
	e := &fault.Error{Kind: otherwise, Op: op, Err: err}
	_, status := errors.AsType[*store.StatusError](err)
	switch {
	case errors.Is(err, storesync.ErrTakesNone):
		e.Kind, e.Hint = fault.Conflict, "a node with store synchronization takes messages, as `parley node` does; else write to its archive, or use --into to copy only the other way"
	case errors.Is(err, storesync.ErrRefused):
		e.Kind, e.Hint = fault.Denied, "wait a while: a node limits how often it is given messages, and may take them from nodes it trusts alone"
	case errors.Is(err, storesync.ErrScope):
		e.Kind, e.Hint = fault.Conflict, "the node does not keep these shards; choose others with --pubsub-topic"
	case errors.Is(err, store.ErrQuery):
		e.Kind = fault.Usage
	case errors.Is(err, store.ErrTooMany):
		e.Kind, e.Hint = fault.Denied, "the node limits the rate of queries: wait a while, or ask for less"
	case errors.Is(err, store.ErrUnavailable):
		e.Kind = fault.Unreachable
	case status, errors.Is(err, store.ErrResponse), errors.Is(err, store.ErrEndless), errors.Is(err, store.ErrAnswerSize):
		e.Kind = fault.Invalid
	case errors.Is(err, context.DeadlineExceeded):
		e.Kind = fault.Timeout
	}
	return e
}
