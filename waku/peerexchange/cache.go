package peerexchange

import (
	"container/list"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/discovery"
)

const (
	// DefaultCacheSize is the number of records kept when nothing is said.
	DefaultCacheSize = 1000
	// DefaultExpiry is how long a record is given to others after it was found
	// last.
	DefaultExpiry = time.Hour
)

// CacheConfig are the parameters of a Cache.
type CacheConfig struct {
	// Cluster is that of the records kept.
	Cluster uint16
	// Size is the most records kept; zero for DefaultCacheSize. The
	// specification recommends at least MaxPeers, and a tenth of the requests
	// expected while the records change.
	Size int
	// Expiry is how long a record is kept after it was added last; zero for
	// DefaultExpiry.
	Expiry time.Duration
}

// Cache holds the records found lately, for a Service to give to others. The
// oldest make room for new ones. It is safe for concurrent use.
type Cache struct {
	cfg CacheConfig

	mu    sync.Mutex
	byID  map[peer.ID]*list.Element // of *cached
	byAge *list.List                // the oldest first
	all   []*cached                 // in no order, to draw from
}

type cached struct {
	r   *discovery.Record
	raw []byte
	at  time.Time
	i   int // in Cache.all
}

// NewCache returns an empty cache.
func NewCache(cfg CacheConfig) *Cache {
	if cfg.Size <= 0 {
		cfg.Size = DefaultCacheSize
	}
	if cfg.Expiry <= 0 {
		cfg.Expiry = DefaultExpiry
	}
	return &Cache{cfg: cfg, byID: make(map[peer.ID]*list.Element), byAge: list.New()}
}

// Add keeps a record that was found just now. It is to come from discv5 and
// from a node that answered, as V5.Find yields them, not from the peers in
// use. Records that were not parsed, of no use to a node of the cluster, or
// older than the one kept of their node are left out.
func (c *Cache) Add(r *discovery.Record) {
	raw := r.Raw()
	if raw == nil || !r.Serves(c.cfg.Cluster, discovery.Want{}) {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byID[r.PeerID]; ok {
		if have := e.Value.(*cached); r.Seq >= have.r.Seq {
			have.r, have.raw, have.at = r, raw, now
			c.byAge.MoveToBack(e)
		}
		return
	}
	c.expire(now)
	if len(c.all) >= c.cfg.Size {
		c.remove(c.byAge.Front())
	}
	e := &cached{r: r, raw: raw, at: now, i: len(c.all)}
	c.all = append(c.all, e)
	c.byID[r.PeerID] = c.byAge.PushBack(e)
}

// Len returns the number of records that can be given.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(time.Now())
	return len(c.all)
}

// draw picks at most n records at random but that of p.
func (c *Cache) draw(n int, p peer.ID, take func(*cached)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(time.Now())
	// The first steps of a shuffle, which leaves what is drawn in front.
	for i := 0; i < len(c.all) && n > 0; i++ {
		c.swap(i, i+rand.IntN(len(c.all)-i))
		if e := c.all[i]; e.r.PeerID != p {
			take(e)
			n--
		}
	}
}

func (c *Cache) swap(i, j int) {
	c.all[i], c.all[j] = c.all[j], c.all[i]
	c.all[i].i, c.all[j].i = i, j
}

func (c *Cache) expire(now time.Time) {
	for e := c.byAge.Front(); e != nil && now.Sub(e.Value.(*cached).at) >= c.cfg.Expiry; e = c.byAge.Front() {
		c.remove(e)
	}
}

func (c *Cache) remove(e *list.Element) {
	out := c.byAge.Remove(e).(*cached)
	delete(c.byID, out.r.PeerID)
	last := len(c.all) - 1
	c.swap(out.i, last)
	c.all[last] = nil
	c.all = c.all[:last]
}
