package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
)

// How a followed stream is resumed after it broke.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
	// patience is how long the daemon may be away; a restart fits in.
	patience = 30 * time.Second
)

// maxEvent bounds one event, in bytes. Pictures and recordings are not in
// events, but all texts of a message are, those of bridges and previews too,
// which nothing bounds but the length of a message; a byte of them takes six in
// JSON at most. A megabyte is for the rest.
const maxEvent = 6*message.MaxSize + 1<<20

// Events calls yield for every event with a sequence number above since, in
// order. With follow it goes on as they happen until ctx ends, and resumes by
// itself when the daemon is restarted: it gives up when the daemon stays away
// for half a minute. An error of yield ends it and is returned.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, yield func(parley.Event) error) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	s := &stream{client: c, account: t.account, since: since, follow: follow, yield: yield}
	delay, lost := firstRetry, time.Time{}
	for {
		connected, err := s.read(ctx, t)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.failed != nil:
			return s.failed
		case err == nil && !follow:
			return nil
		case !s.connected || err != nil && !resumable(err):
			return err
		}
		if err == nil {
			err = fault.New(fault.Unreachable, "the daemon has closed the event stream").WithHint(hintRun)
		}
		if connected {
			delay, lost = firstRetry, time.Now()
			if c.config.OnRetry != nil {
				c.config.OnRetry(err)
			}
		}
		if !follow || time.Since(lost) > patience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
		delay = min(2*delay, lastRetry)
		// A restarted daemon may be somewhere else.
		if t, err = c.target(); err != nil && !resumable(err) {
			return err
		}
	}
}

func resumable(err error) bool { return fault.KindOf(err) == fault.Unreachable }

// stream is a followed stream over all its connections.
type stream struct {
	client    *Client
	account   string
	since     uint64
	follow    bool
	yield     func(parley.Event) error
	connected bool  // at least once
	failed    error // of yield, or what cannot be resumed
}

// read takes events from one connection until it ends; connected tells whether
// there was one.
func (s *stream) read(ctx context.Context, t target) (connected bool, err error) {
	if t.url == "" {
		return false, fault.New(fault.Unreachable, "the daemon has stopped").WithHint(hintRun)
	}
	if s.account != t.account {
		s.failed = fault.New(fault.Conflict, "the daemon now runs another account, %s", t.account)
		return false, nil
	}
	query := url.Values{"since": {strconv.FormatUint(s.since, 10)}, "follow": {strconv.FormatBool(s.follow)}}
	response, err := s.client.open(ctx, t, http.MethodGet, "/events", query, nil)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	s.connected = true
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, s.client.maxEvent+1) // and the line break
	lines.Split(wholeLines)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // a sign of life
		}
		var e parley.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			s.failed = fmt.Errorf("reading the event stream: %w", err)
			return true, nil
		}
		if e.Seq <= s.since {
			continue
		}
		if s.failed = s.yield(e); s.failed != nil {
			return true, nil
		}
		s.since = e.Seq
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			s.failed = fmt.Errorf("reading the event stream: %w", err)
			return true, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the event stream broke off")
		}
		return true, unreachable(t.url, err)
	}
	return true, nil
}

// wholeLines splits at line breaks; what a broken connection has cut short is
// no line.
func wholeLines(data []byte, _ bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}
