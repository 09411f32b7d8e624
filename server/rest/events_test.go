package rest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
)

// reader reads an event stream.
type reader struct {
	t testing.TB
	*bufio.Reader
	body io.Closer
}

// events opens an event stream and reads the comment that begins it.
func (a *api) events(path string) *reader {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), "GET", a.URL+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := a.Client().Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		a.t.Fatalf("%s: %d %v", path, resp.StatusCode, resp.Header)
	}
	r := &reader{a.t, bufio.NewReader(resp.Body), resp.Body}
	if got := r.next(); got != ": alive" {
		a.t.Fatalf("the stream begins with %q", got)
	}
	return r
}

// next reads up to a blank line; nothing is the end.
func (r *reader) next() string {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		if err != nil || line == "" {
			return strings.Join(lines, "\n")
		}
		lines = append(lines, line)
	}
}

// event reads the next one that is no comment.
func (r *reader) event() string {
	for {
		if got := r.next(); !strings.HasPrefix(got, ":") {
			return got
		}
	}
}

func TestRelayEvents(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	all := a.events("/relay/v1/events?pubsubTopic=" + shard32)
	some := a.events("/relay/v1/events?pubsubTopic=" + shard32 + "&contentTopics=/x/1/y/proto," + content)
	first, second := fresh("/other/1/x/proto"), fresh(content)
	b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(first), 200, "OK")
	want := func(m *wakuMessage) string {
		return fmt.Sprintf("id: %s\ndata: %s", message.HashOf(shard32, m), asJSON(m, true))
	}
	if got := all.event(); got != want(first) {
		t.Errorf("%s, want %s", got, want(first))
	}
	a.expect("POST", "/relay/v1/messages/"+seg(shard32), post(second), 200, "OK") // its own
	for _, r := range []*reader{all, some} {
		if got := r.event(); got != want(second) {
			t.Errorf("%s, want %s", got, want(second))
		}
	}
	a.expect("GET", "/relay/v1/events", "", 400, "Missing pubsubTopic")
	a.expect("GET", "/relay/v1/events?pubsubTopic=x", "", 400, "Node not subscribed to topic: x")

	// A stream goes on when the subscription of the other calls ends.
	a.expect("DELETE", subscriptions, list(shard32), 200, "OK")
	third := fresh(content)
	b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(third), 200, "OK")
	if got := some.event(); got != want(third) {
		t.Errorf("%s, want %s", got, want(third))
	}
	// Readers that leave are forgotten, and their reception with the last.
	_ = all.body.Close()
	_ = some.body.Close()
	eventually.True(t, "no stream and no tap", func() bool {
		return a.rest.streams.open.Load() == 0 && a.node.Status().Tap.Open == 0
	})
}

func TestFilterEvents(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	awaitService(t, a)
	r := a.events("/filter/v2/events")
	a.expect("POST", filterSubs, filterBody("1", shard32, content), 200, answered("1", "OK"))
	m := fresh(content)
	b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(m), 200, "OK")
	if got, want := r.event(), fmt.Sprintf("id: %s\ndata: %s", message.HashOf(shard32, m), asJSON(m, false)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n, KeepAlive: time.Millisecond})
	r := a.events("/filter/v2/events")
	for range 3 {
		if got := r.next(); got != ": alive" {
			t.Fatalf("%q", got)
		}
	}
}

// The end of the server ends the streams, so that the listening server can
// shut down.
func TestEventsClose(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	s, err := New(Config{Node: n})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s}
	go server.Serve(l) //nolint:errcheck // ErrServerClosed
	resp, err := http.Get("http://" + l.Addr().String() + "/relay/v1/events?pubsubTopic=" + shard32)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatalf("the stream does not end well: %v", err)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := n.Status().Tap.Open; got != 0 {
		t.Errorf("%d taps are left", got)
	}
}

func TestStreamLimit(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n})
	var last *reader
	for range MaxStreams {
		last = a.events("/filter/v2/events")
	}
	a.expect("GET", "/relay/v1/events?pubsubTopic="+shard32, "", 503, "more than 64 event streams")
	_ = last.body.Close()
	eventually.True(t, "room for one more", func() bool { return a.rest.streams.open.Load() < MaxStreams })
	a.events("/relay/v1/events?pubsubTopic=" + shard32)
}

// A reader that stops reading is sent away, is told how much it missed, and
// nobody else notices.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n})
	a.rest.writeTimeout = 10 * patience
	path := "/relay/v1/events?pubsubTopic=" + shard32
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	eventually.True(t, "the slow stream", func() bool {
		a.rest.relay.feed.mu.Lock()
		defer a.rest.relay.feed.mu.Unlock()
		return len(a.rest.relay.feed.streams) == 1
	})
	f := a.rest.relay.feed
	f.mu.Lock()
	var behind *stream
	for behind = range f.streams {
	}
	f.mu.Unlock()
	fallen := func() bool {
		behind.mu.Lock()
		defer behind.mu.Unlock()
		return behind.missed > 0
	}
	quick := a.events(path)

	// As many as all buffers on the way hold and then some, in steps that the
	// quick reader takes one by one.
	payload := make([]byte, 200_000)
	sent := 0
	for more := 10; more > 0; sent++ {
		m := message.New(append([]byte(fmt.Sprint(sent)), payload...), content, fixed, false)
		hash := message.HashOf(shard32, m)
		f.deliver(shard32, m, hash)
		if got := quick.event(); !strings.HasPrefix(got, "id: "+hash.String()+"\n") {
			t.Fatalf("message %d: the quick reader got %.100q", sent, got)
		}
		if fallen() {
			more--
		}
	}
	// The slow one reads on: some messages, and the number of the others.
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	slow := &reader{t, bufio.NewReader(resp.Body), resp.Body}
	got, missed := 0, uint64(0)
	for {
		e := slow.event()
		if e == "" {
			break
		}
		if missed > 0 {
			t.Fatalf("an event behind the last: %.100q", e)
		}
		if _, err := fmt.Sscanf(e, "event: missed\ndata: {\"missed\":%d}", &missed); err != nil {
			got++
		}
	}
	if missed == 0 || got+int(missed) != sent {
		t.Errorf("%d messages came and %d were missed, of %d", got, missed, sent)
	}
	eventually.True(t, "the end of the slow stream", func() bool { return a.rest.streams.open.Load() == 1 })
}

// A reader that takes nothing at all is given up.
func TestStuckReader(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	a := serve(t, Config{Node: n})
	a.rest.writeTimeout = 20 * time.Millisecond
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /relay/v1/events?pubsubTopic=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", shard32)
	eventually.True(t, "the stream", func() bool { return a.rest.streams.open.Load() == 1 })
	payload := make([]byte, 100_000)
	eventually.True(t, "the end of the stream", func() bool {
		for range 10 {
			m := message.New(payload, content, time.Now().Add(time.Duration(serial.Add(1))), false)
			a.rest.relay.feed.deliver(shard32, m, message.HashOf(shard32, m))
		}
		return a.rest.streams.open.Load() == 0
	})
}

func TestStreamQueue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ size, fit int }{
		"messages": {1, MaxStreamQueue},
		"bytes":    {MaxStreamBytes / 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream("", nil)
			for range c.fit {
				s.offer(item{msg: fresh(content), size: c.size})
			}
			if _, ok, missed := s.next(); !ok || missed != 0 {
				t.Fatal("not everything fits")
			}
			for range 5 { // one fits again
				s.offer(item{msg: fresh(content), size: c.size})
			}
			if _, ok, missed := s.next(); ok || missed != uint64(c.fit)+4 {
				t.Errorf("%v, %d are missed", ok, missed)
			}
		})
	}
}
