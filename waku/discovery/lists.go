package discovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// listMost is how many nodes of one list are kept.
	listMost = 100
	// MaxLookups bounds the DNS entries read for one refresh of one list. Those
	// known from before are not read again.
	MaxLookups = 1000
	// lookupTimeout bounds one look-up, lookupRate the look-ups a second, and
	// listTimeout the refresh of one list.
	lookupTimeout = 5 * time.Second
	lookupRate    = 10
	listTimeout   = 3 * time.Minute
)

// Errors of Refresh.
var (
	// ErrListTooLarge is a list of more than MaxLookups entries.
	ErrListTooLarge = errors.New("DNS list too large")
	// ErrListBusy is a list whose refresh was given up and has not ended yet.
	ErrListBusy = errors.New("DNS list still being read")
)

// TXTResolver looks up TXT records; *net.Resolver does.
type TXTResolver interface {
	LookupTXT(ctx context.Context, domain string) ([]string, error)
}

// ListsConfig are the parameters of Lists.
type ListsConfig struct {
	// URLs are the lists, enrtree://<key>@<domain>.
	URLs []string
	// Max is the most records kept of one list, a random choice of a longer
	// one; zero for 100.
	Max int
	// Resolver may be nil for the system's.
	Resolver TXTResolver
}

// Lists reads node lists in DNS (EIP-1459). What a list said last stays while
// DNS fails. It is safe for concurrent use.
type Lists struct {
	lists   []*dnsList
	refresh sync.Mutex // held by Refresh
}

// NewLists checks the URLs. Nothing is looked up before Refresh.
func NewLists(cfg ListsConfig) (*Lists, error) {
	for _, url := range cfg.URLs {
		if _, _, err := dnsdisc.ParseURL(url); err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrEntry, url, err)
		}
	}
	if cfg.Max <= 0 {
		cfg.Max = listMost
	}
	if cfg.Resolver == nil {
		cfg.Resolver = new(net.Resolver)
	}
	l := new(Lists)
	for _, url := range cfg.URLs {
		bound := &boundResolver{TXTResolver: cfg.Resolver}
		l.lists = append(l.lists, &dnsList{url: url, limit: cfg.Max, bound: bound, client: dnsdisc.NewClient(dnsdisc.Config{
			Resolver: bound, Timeout: lookupTimeout, RateLimit: lookupRate, CacheLimit: MaxLookups,
		})})
	}
	return l, nil
}

// Refresh reads all lists once. Errors of single lists come back joined; what
// those lists said before is kept.
func (l *Lists) Refresh(ctx context.Context) error {
	l.refresh.Lock()
	defer l.refresh.Unlock()
	var errs []error
	for _, list := range l.lists {
		if err := list.read(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", list.url, err))
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// dnsList is one list and what it said last.
type dnsList struct {
	url    string
	limit  int
	bound  *boundResolver
	client *dnsdisc.Client // keeps entries that it has seen

	mu      sync.Mutex
	busy    bool
	records []*Record
}

// read reads the list. The client takes no context, and a malicious list can
// keep it for long without a look-up: it is then left behind, but only once.
func (d *dnsList) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	d.mu.Lock()
	busy := d.busy
	d.busy = true
	d.mu.Unlock()
	if busy {
		return ErrListBusy
	}
	d.bound.begin(ctx)
	done := make(chan error, 1)
	go func() {
		tree, err := d.client.SyncTree(d.url)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.busy = false
		if err == nil && ctx.Err() == nil {
			d.records = choose(tree.Nodes(), d.limit)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// choose reads at most limit records of nodes at random. Records without an
// address that libp2p can dial are left out.
func choose(nodes []*enode.Node, limit int) (records []*Record) {
	rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	for _, n := range nodes {
		if len(records) == limit {
			break
		}
		if r, err := fromNode(n); err == nil && len(r.Multiaddrs) > 0 {
			records = append(records, r)
		}
	}
	return records
}

// Records returns what the lists say, each node once with its newest record,
// in an order of its own each time: not all shall dial the same node first.
func (l *Lists) Records() []*Record {
	newest := make(map[peer.ID]*Record)
	for _, list := range l.lists {
		list.mu.Lock()
		for _, r := range list.records {
			if have := newest[r.PeerID]; have == nil || r.Seq > have.Seq {
				newest[r.PeerID] = r
			}
		}
		list.mu.Unlock()
	}
	all := make([]*Record, 0, len(newest))
	for _, r := range newest {
		all = append(all, r)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// boundResolver ends the look-ups of a refresh with its context and after
// MaxLookups.
type boundResolver struct {
	TXTResolver

	mu   sync.Mutex
	ctx  context.Context
	left int
}

func (b *boundResolver) begin(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctx, b.left = ctx, MaxLookups
}

// LookupTXT implements TXTResolver.
func (b *boundResolver) LookupTXT(ctx context.Context, domain string) ([]string, error) {
	b.mu.Lock()
	b.left--
	left, run := b.left, b.ctx
	b.mu.Unlock()
	if left < 0 {
		return nil, ErrListTooLarge
	}
	if err := run.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(run, cancel)()
	return b.TXTResolver.LookupTXT(ctx, domain)
}
