package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
)

const (
	// maxIdle is the number of connections kept open for later, a month of
	// slices and some more. Each takes up to 1 MB.
	maxIdle = 40
	// busyTimeout is how long a connection waits for another one.
	busyTimeout = 10 * time.Second
	// A large page holds several messages, and costs less for each.
	pragmas = `PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512;`
)

// conn is a connection to the database of a slice.
type conn struct {
	db    *sqlite3.Conn
	of    *slice
	stmts map[string]*sqlite3.Stmt
	// The block of an index read last.
	blockID   int64
	blockData []byte
}

func connect(s *slice) (*conn, error) {
	db, err := sqlite3.OpenFlags(s.path, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return nil, err
	}
	c := &conn{db: db, of: s, stmts: make(map[string]*sqlite3.Stmt)}
	if err := errors.Join(db.BusyTimeout(busyTimeout), db.Exec(pragmas)); err != nil {
		_ = db.Close()
		return nil, err
	}
	return c, nil
}

func (c *conn) close() error {
	var errs []error
	for _, st := range c.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, c.db.Close())...)
}

// prepare returns the statement of a text, reset and ready to be bound.
func (c *conn) prepare(sql string) (*sqlite3.Stmt, error) {
	if st, ok := c.stmts[sql]; ok {
		return st, nil
	}
	st, _, err := c.db.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, err
	}
	c.stmts[sql] = st
	return st, nil
}

// exec runs a statement with numbers for parameters.
func (c *conn) exec(sql string, params ...int64) error {
	st, err := c.prepare(sql)
	if err != nil {
		return err
	}
	for i, p := range params {
		if err := st.BindInt64(i+1, p); err != nil {
			return err
		}
	}
	return each(st, func() error { return nil })
}

// number returns the first column of the first row, 0 when there is none.
func (c *conn) number(sql string) (n int64, err error) {
	st, err := c.prepare(sql)
	if err != nil {
		return 0, err
	}
	first := true
	err = each(st, func() error {
		if first {
			n, first = st.ColumnInt64(0), false
		}
		return nil
	})
	return n, err
}

// within runs do in a transaction that is committed unless do fails.
func (c *conn) within(do func() error) (err error) {
	tx, err := c.db.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	return do()
}

// each calls visit for every row of a bound statement and resets it.
func each(st *sqlite3.Stmt, visit func() error) (err error) {
	for err == nil && st.Step() {
		err = visit()
	}
	err = errors.Join(err, st.Err())
	return errors.Join(err, st.Reset())
}

// pool lends the connections to slices. Few are kept open, those used last.
type pool struct {
	// only is the connection of an archive in memory, which lives in it.
	only chan *conn

	mu   sync.Mutex
	idle []*conn // the one used last at the end
}

// get lends a connection to a slice.
func (p *pool) get(ctx context.Context, s *slice) (*conn, error) {
	if p.only != nil {
		select {
		case c := <-p.only:
			return c, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.mu.Lock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if c := p.idle[i]; c.of == s {
			p.idle = slices.Delete(p.idle, i, i+1)
			p.mu.Unlock()
			return c, nil
		}
	}
	p.mu.Unlock()
	c, err := connect(s)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.path, err)
	}
	return c, err
}

// put takes a connection back.
func (p *pool) put(c *conn) {
	if p.only != nil {
		p.only <- c
		return
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	var spare *conn
	if len(p.idle) > maxIdle {
		spare = p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.mu.Unlock()
	if spare != nil {
		_ = spare.close()
	}
}

// drop closes the idle connections to a slice, or all when there is none.
func (p *pool) drop(s *slice) error {
	if p.only != nil {
		if s != nil {
			return nil
		}
		return (<-p.only).close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if s != nil && c.of != s {
			return false
		}
		errs = append(errs, c.close())
		return true
	})
	return errors.Join(errs...)
}

// session is one reader's way through the slices, with one connection at a
// time and one snapshot of its database. What is read under it must be known
// in memory before it is opened: memory never knows more than the database.
type session struct {
	ctx  context.Context
	pool *pool
	c    *conn
	tx   sqlite3.Txn
}

// open returns a connection to a slice with a snapshot taken now.
func (r *session) open(s *slice) (*conn, error) {
	if r.c != nil && r.c.of == s {
		r.end()
		r.tx = r.c.db.Begin()
		return r.c, nil
	}
	r.close()
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	c, err := r.pool.get(r.ctx, s)
	if err != nil {
		return nil, err
	}
	c.db.SetInterrupt(r.ctx)
	r.c, r.tx = c, c.db.Begin()
	return c, nil
}

// at returns a connection to a slice with the snapshot there is, if there is
// one of it.
func (r *session) at(s *slice) (*conn, error) {
	if r.c != nil && r.c.of == s {
		return r.c, nil
	}
	return r.open(s)
}

// close gives the connection back.
func (r *session) close() {
	if r.c == nil {
		return
	}
	r.c.db.SetInterrupt(context.Background())
	r.end()
	r.pool.put(r.c)
	r.c = nil
}

// end ends the transaction, unless an error did.
func (r *session) end() {
	if !r.c.db.GetAutocommit() {
		_ = r.tx.Rollback()
	}
}
