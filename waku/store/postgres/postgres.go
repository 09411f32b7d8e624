package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/parley-im/parley/waku/store"
)

// Errors of opening an archive.
var (
	// ErrURL does not say what is wrong with a URL, for the text of one that
	// cannot be read may have the password anywhere.
	ErrURL    = errors.New("postgres: the database URL cannot be read; it has the form postgres://user:password@host:5432/database?sslmode=verify-full")
	ErrConfig = errors.New("postgres: invalid configuration")
)

const (
	// DefaultSchema, DefaultSlice and DefaultReaders are what a Config gets
	// that does not say.
	DefaultSchema  = "parley_store"
	DefaultSlice   = 48 * time.Hour
	DefaultReaders = 4
	// MinSlice is the shortest span of a partition.
	MinSlice = time.Minute
)

// Config says how an archive is kept; the zero value will do.
type Config struct {
	// Schema is the PostgreSQL schema of the archive.
	Schema string
	// Slice is the span of a partition.
	Slice time.Duration
	// Readers is the number of connections that answer queries. There is one
	// more for writing, and one for pruning.
	Readers int
}

func (c Config) complete() (Config, error) {
	if c.Schema == "" {
		c.Schema = DefaultSchema
	}
	if c.Slice == 0 {
		c.Slice = DefaultSlice
	}
	if c.Readers == 0 {
		c.Readers = DefaultReaders
	}
	switch {
	case len(c.Schema) > 63: // PostgreSQL would cut it off
		return c, fmt.Errorf("%w: a schema name of %d bytes, at most 63", ErrConfig, len(c.Schema))
	case c.Slice < MinSlice:
		return c, fmt.Errorf("%w: a slice of %s, at least %s", ErrConfig, c.Slice, MinSlice)
	case c.Readers < 0:
		return c, fmt.Errorf("%w: %d readers", ErrConfig, c.Readers)
	}
	return c, nil
}

// Archive is a store archive in a PostgreSQL database. It is safe for
// concurrent use, also by several processes.
//
// A connection that is lost is made anew by the operation that finds it lost;
// when the server cannot be reached, operations fail until it can.
type Archive struct {
	readers *pool
	upkeep  *pool // one connection, for pruning
	writer  *writer
	tail    tail
	work    chan *insertion
	stopped chan struct{}

	mu     sync.RWMutex // held for reading while an operation is under way
	closed bool
}

var _ store.Maintainer = (*Archive)(nil)

// Open opens the archive in the database at url, and creates it or brings its
// schema up to date if need be. The error is ErrURL or ErrConfig for what
// cannot be tried at all, and store.ErrSchema for an archive of a later
// version.
func Open(ctx context.Context, url string, cfg Config) (*Archive, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	conn, err := connConfig(url, cfg.Schema)
	if err != nil {
		return nil, err
	}
	a := &Archive{
		readers: newPool(conn, cfg.Readers),
		upkeep:  newPool(conn, 1),
		writer:  &writer{pool: newPool(conn, 1), lock: lockKey(cfg.Schema), slice: cfg.Slice, tail: maxTail},
		work:    make(chan *insertion, 64),
		stopped: make(chan struct{}),
	}
	// A server that lost its newest commits gives their numbers again.
	a.readers.connected = a.tail.forget
	err = a.writer.pool.do(ctx, func(c *connection) error {
		return migrate(ctx, c, cfg.Schema, migrations)
	})
	if err != nil {
		a.writer.pool.close()
		return nil, failure(ctx, "opening the store archive", err)
	}
	go a.writeLoop()
	return a, nil
}

// Close implements store.Archive.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	close(a.work)
	<-a.stopped
	a.writer.pool.close()
	a.readers.close()
	a.upkeep.close()
	return nil
}

// read runs f on a connection for reading.
func (a *Archive) read(ctx context.Context, what string, f func(*connection) error) error {
	return a.run(ctx, a.readers, what, f)
}

// run runs f on a connection, again if that turns out to be lost.
func (a *Archive) run(ctx context.Context, p *pool, what string, f func(*connection) error) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return store.ErrClosed
	}
	return failure(ctx, what, p.do(ctx, f))
}

// workers is the number of goroutines that check a large insertion.
func workers() int { return min(4, runtime.GOMAXPROCS(0)) }
