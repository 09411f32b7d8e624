package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/parley-im/parley"
)

// say makes n events of type message and returns their sequence numbers.
func (a *api) say(n int) (seqs []uint64) {
	a.t.Helper()
	bob := stranger(a.t).String()
	before, err := a.client.Status(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range n {
		if _, err := a.client.Send(a.t.Context(), bob, fmt.Sprint("text ", i), parley.SendOptions{}); err != nil {
			a.t.Fatal(err)
		}
	}
	err = a.client.Events(a.t.Context(), before.LastEvent, false, func(e parley.Event) error {
		seqs = append(seqs, e.Seq)
		return nil
	})
	if err != nil || len(seqs) < n {
		a.t.Fatalf("%d events, %v", len(seqs), err)
	}
	return seqs
}

// lines reads a stream of events line by line; what the server says to show
// that it is there is kept.
type lines struct {
	t testing.TB
	*bufio.Scanner
}

func (a *api) stream(path string, header map[string]string) *lines {
	a.t.Helper()
	r := a.request(http.MethodGet, path, "", func(r *http.Request) {
		for name, value := range header {
			r.Header.Set(name, value)
		}
	})
	if r.StatusCode != http.StatusOK {
		a.t.Fatalf("%s: status %d", path, r.StatusCode)
	}
	return &lines{a.t, bufio.NewScanner(r.Body)}
}

// next returns the next event of a stream of JSON lines.
func (l *lines) next() parley.Event {
	l.t.Helper()
	for l.Scan() {
		if l.Text() != "" {
			return decode[parley.Event](l.t, l.Bytes())
		}
	}
	l.t.Fatal("the stream has ended:", l.Err())
	return parley.Event{}
}

func TestEventsResume(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	seqs := a.say(3)
	// Without follow the stream ends by itself, from wherever it begins.
	for since := range uint64(len(seqs) + 2) {
		l := a.stream(fmt.Sprintf("/api/v1/events?since=%d", since), nil)
		want := since + 1
		for l.Scan() {
			if e := decode[parley.Event](t, l.Bytes()); e.Seq != want || e.Time == 0 {
				t.Errorf("since %d: %+v, want number %d", since, e, want)
			}
			want++
		}
		if last := seqs[len(seqs)-1]; l.Err() != nil || want != max(last, since)+1 {
			t.Errorf("since %d: ends before %d, %v", since, want, l.Err())
		}
	}
	// With follow it goes on.
	last := seqs[len(seqs)-1]
	l := a.stream(fmt.Sprintf("/api/v1/events?follow=true&since=%d", last-1), nil)
	if e := l.next(); e.Seq != last {
		t.Errorf("followed: %+v", e)
	}
	for _, seq := range a.say(2) {
		if e := l.next(); e.Seq != seq {
			t.Errorf("followed: %+v, want number %d", e, seq)
		}
	}
}

func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	seqs := a.say(3)
	sse := map[string]string{"Accept": "text/event-stream"}
	for name, c := range map[string]struct {
		path, resume string
		first        uint64
	}{
		"from the beginning":        {"/api/v1/events", "", 1},
		"since":                     {"/api/v1/events?since=1", "", 2},
		"Last-Event-ID":             {"/api/v1/events", "2", 3},
		"Last-Event-ID above since": {"/api/v1/events?since=1", "2", 3},
	} {
		header := map[string]string{"Accept": sse["Accept"]}
		if c.resume != "" {
			header["Last-Event-ID"] = c.resume
		}
		l := a.stream(c.path, header)
		for seq := c.first; seq <= seqs[len(seqs)-1]; seq++ {
			var id, kind, data string
			for l.Scan() && (l.Text() != "" || data == "") {
				switch field, value, _ := strings.Cut(l.Text(), ": "); field {
				case "id":
					id = value
				case "event":
					kind = value
				case "data":
					data = value
				}
			}
			var e parley.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil || e.Seq != seq || id != fmt.Sprint(seq) || e.Type != kind {
				t.Fatalf("%s: id %q, event %q, data %q, %v; want number %d", name, id, kind, data, err, seq)
			}
		}
	}
	r := a.request(http.MethodGet, "/api/v1/events", "", func(r *http.Request) {
		r.Header.Set("Accept", sse["Accept"])
		r.Header.Set("Last-Event-ID", "x")
	})
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("Last-Event-ID x: %d", r.StatusCode)
	}
}

// TestEventsKeepAlive: a quiet stream shows that it is there, at once and again
// and again, without disturbing who reads it.
func TestEventsKeepAlive(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{KeepAlive: time.Millisecond})
	for _, c := range []struct{ accept, sign string }{{"", ""}, {"text/event-stream", ": alive"}} {
		l := a.stream("/api/v1/events?follow=true", map[string]string{"Accept": c.accept})
		for range 3 {
			for signs := 0; signs < 1 && l.Scan(); {
				if l.Text() == c.sign {
					signs++
				}
			}
		}
		if l.Err() != nil || l.Text() != c.sign {
			t.Errorf("stream %q: %q, %v", c.accept, l.Text(), l.Err())
		}
	}
	l := a.stream("/api/v1/events?follow=true", nil)
	for _, seq := range a.say(2) {
		if e := l.next(); e.Seq != seq {
			t.Errorf("between signs of life: %+v, want number %d", e, seq)
		}
	}
}

// TestEventsEnd: a followed stream ends with the client.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	seqs := a.say(1)
	l := a.stream("/api/v1/events?follow=true", nil)
	for e := l.next(); e.Seq != seqs[len(seqs)-1]; e = l.next() {
	}
	a.client.Close()
	for l.Scan() {
		if l.Text() != "" {
			t.Errorf("after the end: %s", l.Text())
		}
	}
}

// TestEventsFail: a stream that broke off does not look finished.
func TestEventsFail(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	broken := &apiServer{client: newClient(t), keepAlive: time.Hour, log: slog.New(slog.DiscardHandler)}
	broken.events = func(_ context.Context, _ uint64, _ bool, yield func(parley.Event) error) error {
		return errors.Join(yield(parley.Event{Seq: 1}), errors.New("the disk is gone"))
	}
	broken.registerEvents(humago.New(mux, huma.DefaultConfig("", "")))
	a := &api{t, broken.client, httptest.NewServer(mux)}
	t.Cleanup(a.Close)
	for _, follow := range []string{"false", "true"} {
		l := a.stream("/api/v1/events?follow="+follow, nil)
		if e := l.next(); e.Seq != 1 {
			t.Errorf("before the failure: %+v", e)
		}
		for l.Scan() {
		}
		if l.Err() == nil {
			t.Errorf("follow=%s: the stream ends as if it was complete", follow)
		}
	}
}
