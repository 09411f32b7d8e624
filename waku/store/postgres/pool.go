package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/parley-im/parley/waku/store"
)

// connection is a connection with its prepared statements: pgx prepares each
// text once and keeps it.
type connection = pgx.Conn

const (
	connectTimeout = 10 * time.Second
	// closeTimeout bounds the farewell of a connection, and the rolling back
	// of what failed.
	closeTimeout = 2 * time.Second
)

// settings are those of every session. Each statement is planned once, without
// looking at its parameters, and walks indexes: the planner's guesses about
// rows that it does not know would now and then read a whole partition.
var settings = map[string]string{
	"plan_cache_mode":     "force_generic_plan",
	"enable_seqscan":      "off",
	"enable_hashjoin":     "off",
	"enable_mergejoin":    "off",
	"enable_sort":         "off",
	"enable_material":     "off",
	"enable_bitmapscan":   "off",
	"jit":                 "off",
	"client_min_messages": "warning",

	"default_transaction_isolation": "read committed",
	"default_transaction_read_only": "off",
}

// connConfig reads a URL. Its errors do not have the URL in them.
func connConfig(url, schema string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, ErrURL
	}
	for name, value := range settings {
		cfg.RuntimeParams[name] = value
	}
	cfg.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "parley"
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	return cfg, nil
}

// pool are a fixed number of connections, made when they are needed.
type pool struct {
	config *pgx.ConnConfig
	idle   chan *connection // a place for each; nil is one to be made
	// connected, unless nil, is called when a connection was made.
	connected func()
}

func newPool(config *pgx.ConnConfig, size int) *pool {
	p := &pool{config: config, idle: make(chan *connection, size)}
	for range size {
		p.idle <- nil
	}
	return p
}

// do runs f on a connection. When that turns out to have been lost since it was
// last used, f runs again on a new one. A transaction that f leaves open is
// rolled back.
func (p *pool) do(ctx context.Context, f func(*connection) error) (err error) {
	var c *connection
	select {
	case c = <-p.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.idle <- c }()
	fresh := c == nil || c.IsClosed()
	if fresh {
		c = nil
	}
	for {
		if c == nil {
			if c, err = pgx.ConnectConfig(ctx, p.config); err != nil {
				return p.scrub(err)
			}
			if p.connected != nil {
				p.connected()
			}
		}
		err = f(c)
		if err != nil && !c.IsClosed() {
			rollback(c)
		}
		lost := c.IsClosed()
		if lost {
			c = nil
		}
		if err == nil || !lost || fresh || ctx.Err() != nil {
			return p.scrub(err)
		}
		fresh = true
	}
}

// rollback ends what transaction is open on a connection, or else the
// connection.
func rollback(c *connection) {
	if c.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if _, err := c.Exec(ctx, `ROLLBACK`); err != nil {
		_ = c.Close(ctx)
	}
}

// close waits for the operations under way and closes the connections. The pool
// can not be used any more.
func (p *pool) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	for range cap(p.idle) {
		if c := <-p.idle; c != nil {
			_ = c.Close(ctx)
		}
	}
}

// scrubbed is an error without the secrets of its cause.
type scrubbed struct {
	text  string
	cause error // without secrets, for errors.Is and errors.As
}

func (e *scrubbed) Error() string { return e.text }
func (e *scrubbed) Unwrap() error { return e.cause }

// scrub returns err without a password in its text, and without the
// configuration that errors of connecting carry.
func (p *pool) scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, secret := range p.secrets() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	var connecting *pgconn.ConnectError
	if text == err.Error() && !errors.As(err, &connecting) {
		return err
	}
	e := &scrubbed{text: text}
	// The server's own error is kept when it is as clean as its text, else its
	// code alone.
	var server *pgconn.PgError
	switch {
	case errors.As(err, &server) && text == err.Error():
		e.cause = server
	case server != nil:
		e.cause = &pgconn.PgError{Severity: server.Severity, Code: server.Code}
	case errors.Is(err, context.Canceled):
		e.cause = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		e.cause = context.DeadlineExceeded
	}
	return e
}

// secrets are the forms of the password.
func (p *pool) secrets() []string {
	s := p.config.Password
	if s == "" {
		return nil
	}
	return []string{s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:]}
}

// code is the condition that the server named, "" for another error.
func code(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code
	}
	return ""
}

// failure says what went wrong, and leaves alone what callers compare with.
func failure(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, store.ErrUnknownCursor), errors.Is(err, store.ErrClosed):
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}
