package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server"
)

// daemon serves a client in memory that knows no network, and announces it in
// a data directory.
func daemon(t testing.TB) (served *parley.Client, dataDir string) {
	t.Helper()
	store, err := account.OpenStore(t.TempDir(), account.StoreConfig{KDF: account.KDF{Time: 1, MemoryKiB: 64, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	phrase, err := account.NewMnemonic(12, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := store.Create(account.Spec{Name: "Alice", Mnemonic: phrase, Created: time.Now()}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	network, err := parley.LoadNetwork("local")
	if err != nil {
		t.Fatal(err)
	}
	served, err = parley.Open(t.Context(), parley.Config{Account: acc, Network: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { served.Close() })
	dataDir = t.TempDir()
	announce(t, dataDir, acc.ID, serve(t, dataDir, served).URL)
	return served, dataDir
}

func serve(t testing.TB, dataDir string, c *parley.Client) *httptest.Server {
	t.Helper()
	token, err := EnsureToken(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := server.New(server.Config{Client: c, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func stranger(t testing.TB) key.Public {
	t.Helper()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// TestCalls makes every call and compares with what the client itself says.
func TestCalls(t *testing.T) {
	t.Parallel()
	served, dir := daemon(t)
	c, ctx := New(Config{DataDir: dir}), t.Context()
	bob := stranger(t)
	link := (&share.URL{Kind: share.User, Key: bob}).String()

	if s, err := c.Status(ctx); err != nil || s.Key != served.Self() || s.Mode != parley.Full {
		t.Fatalf("status %+v, %v", s, err)
	}
	for _, step := range []struct {
		name string
		do   func() (parley.Contact, error)
		ok   func(parley.Contact) bool
	}{
		{"unknown", func() (parley.Contact, error) { return c.Contact(ctx, link) }, func(c parley.Contact) bool { return c.State == "none" }},
		{"add", func() (parley.Contact, error) { return c.AddContact(ctx, bob.CompressedHex(), "hello") }, func(c parley.Contact) bool { return c.State == "sent" }},
		{"rename", func() (parley.Contact, error) { return c.RenameContact(ctx, bob.Hex(), "50% /?#&") }, func(c parley.Contact) bool { return c.Name == "50% /?#&" }},
		{"by name", func() (parley.Contact, error) { return c.Contact(ctx, "50% /?#&") }, func(c parley.Contact) bool { return c.State == "sent" }},
		{"remove", func() (parley.Contact, error) { return c.RemoveContact(ctx, "50% /?#&") }, func(c parley.Contact) bool { return c.State == "none" }},
		{"block", func() (parley.Contact, error) { return c.BlockContact(ctx, link) }, func(c parley.Contact) bool { return c.Blocked }},
		{"unblock", func() (parley.Contact, error) { return c.UnblockContact(ctx, bob.String()) }, func(c parley.Contact) bool { return !c.Blocked }},
	} {
		got, err := step.do()
		if err != nil || got.Key != bob || !step.ok(got) {
			t.Fatalf("%s: %+v, %v", step.name, got, err)
		}
		if own, err := served.Contact(ctx, bob.String()); err != nil || own != got {
			t.Errorf("%s: the client says %+v, %v", step.name, own, err)
		}
	}
	for name, do := range map[string]func(context.Context, string) (parley.Contact, error){"accept": c.AcceptContact, "reject": c.RejectContact} {
		if _, err := do(ctx, bob.String()); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
			t.Errorf("%s without a request: %v", name, err)
		}
	}
	if all, err := c.Contacts(ctx); err != nil || len(all) != 1 || all[0].Key != bob {
		t.Errorf("contacts %+v, %v", all, err)
	}

	eve := stranger(t).String()
	first, err := c.Send(ctx, eve, "first", parley.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Send(ctx, eve, "second", parley.SendOptions{ReplyTo: first.ID.String()})
	if err != nil || second.ReplyTo != first.ID.String() {
		t.Fatalf("%+v, %v", second, err)
	}
	texts := func(all []parley.Message, err error) string {
		var texts []string
		for _, m := range all {
			texts = append(texts, m.Text)
		}
		return fmt.Sprint(texts, err)
	}
	if got := texts(c.Messages(ctx, eve, 0, 0)); got != "[first second] <nil>" {
		t.Errorf("messages %s", got)
	}
	if got := texts(c.Messages(ctx, eve, first.Clock, 0)); got != "[second] <nil>" {
		t.Errorf("messages since the first: %s", got)
	}
	if got := texts(c.Messages(ctx, eve, 0, 1)); got != "[second] <nil>" {
		t.Errorf("one message: %s", got)
	}
	if m, err := c.Message(ctx, first.ID.String()); err != nil || m.Text != "first" {
		t.Errorf("message %+v, %v", m, err)
	}
	if _, err := c.Message(ctx, "0x"+strings.Repeat("00", 32)); fault.ExitCode(err) != 5 {
		t.Errorf("no message: %v", err)
	}

	var seqs, want []uint64
	if err := c.Events(ctx, 2, false, func(e parley.Event) error { seqs = append(seqs, e.Seq); return nil }); err != nil {
		t.Fatal(err)
	}
	served.Events(ctx, 2, false, func(e parley.Event) error { want = append(want, e.Seq); return nil })
	if !slices.Equal(seqs, want) || len(want) == 0 {
		t.Errorf("events %v, want %v", seqs, want)
	}
}

func TestNoDaemon(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := "http://" + listener.Addr().String()
	listener.Close()
	token := strings.Repeat("0", 2*tokenSize)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/contacts") {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	t.Cleanup(other.Close)
	_, dir := daemon(t)
	running, err := FindDaemon(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config Config
		kind   fault.Kind
	}{
		"nothing runs":      {Config{DataDir: t.TempDir()}, fault.Unreachable},
		"refused":           {Config{URL: free, Token: token}, fault.Unreachable},
		"something else":    {Config{URL: other.URL, Token: token}, fault.Unreachable},
		"no token":          {Config{URL: free, DataDir: t.TempDir()}, fault.Unreachable},
		"another's token":   {Config{URL: running.API, Token: token}, fault.Denied},
		"no URL":            {Config{URL: "127.0.0.1:8645", Token: token}, fault.Usage},
		"URL of other kind": {Config{URL: "ftp://127.0.0.1", Token: token}, fault.Usage},
	} {
		calls := New(c.config)
		_, statusErr := calls.Status(t.Context())
		_, contactsErr := calls.Contacts(t.Context())
		for _, err := range []error{statusErr, contactsErr} {
			if fault.KindOf(err) != c.kind || fault.HintOf(err) == "" {
				t.Errorf("%s: %v, hint %q; want %s", name, err, fault.HintOf(err), c.kind)
			}
		}
		if name == "something else" {
			continue
		}
		if err := calls.Events(t.Context(), 0, true, nil); fault.KindOf(err) != c.kind {
			t.Errorf("%s: events %v, want %s", name, err, c.kind)
		}
	}
}

// TestSlowDaemon: a daemon that does not answer in the caller's time is a
// timeout.
func TestSlowDaemon(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(release) })
	c := New(Config{URL: slow.URL, Token: "x"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); fault.ExitCode(err) != 6 {
		t.Errorf("%v", err)
	}
}

// part is what a scripted daemon does with one request for events.
type part struct {
	send  string
	abort bool
}

// scripted answers requests for events one after the other, and keeps what
// they asked for. After the script it is not reachable.
type scripted struct {
	mu    sync.Mutex
	parts []part
	asked []string
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.Query().Get("since"))
	if len(s.parts) == 0 || s.parts[0].send == "refused" {
		s.parts = s.parts[min(1, len(s.parts)):]
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("connection refused")}
	}
	p := s.parts[0]
	s.parts = s.parts[1:]
	recorder := httptest.NewRecorder()
	recorder.WriteString(p.send)
	response := recorder.Result()
	if p.abort {
		response.Body = broken{response.Body}
	}
	return response, nil
}

// broken ends with an error instead of an end.
type broken struct {
	body interface{ Read([]byte) (int, error) }
}

func (b broken) Close() error { return nil }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil {
		err = fmt.Errorf("connection reset")
	}
	return n, err
}

func lines(seqs ...int) (text string) {
	for _, n := range seqs {
		text += fmt.Sprintf("\n{\"seq\":%d,\"type\":\"message\",\"data\":{}}\n", n)
	}
	return text
}

// testEvent is the length of the longest event in tests.
const testEvent = 5000

// long is a line with an event of so many bytes.
func long(seq, size int) string {
	head := fmt.Sprintf(`{"seq":%d,"type":"message","data":{"text":"`, seq)
	return head + strings.Repeat("x", size-len(head)-3) + "\"}}\n"
}

// TestLongestEvent: whatever message can come, its event can be read.
func TestLongestEvent(t *testing.T) {
	t.Parallel()
	const n = 1 << 20
	for _, worst := range []string{"\x01", "<", "\u2028", "\""} {
		shown := parley.Message{Bridge: &chat.Bridge{Content: strings.Repeat(worst, n/len(worst))}}
		data, err := json.Marshal(shown)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(parley.Event{Seq: 1, Type: parley.EventMessage, Data: data})
		if most := maxEvent - 6*(message.MaxSize-n); err != nil || len(raw) > most {
			t.Errorf("%q takes %d bytes, at most %d; %v", worst, len(raw), most, err)
		}
	}
}

// TestEventsResume: a followed stream goes on behind every break, without gap
// or repetition.
func TestEventsResume(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		parts  []part
		follow bool
		seqs   []uint64
		asked  []string
		kind   fault.Kind
		within time.Duration
	}{
		"restart": {
			parts:  []part{{lines(3, 4), true}, {"refused", false}, {"refused", false}, {lines(4, 5), false}, {lines(6), true}},
			follow: true, seqs: []uint64{3, 4, 5, 6}, asked: []string{"2", "4", "4", "4", "5"},
			kind: fault.Unreachable, within: patience + 10*time.Second,
		},
		"cut within a line": {
			parts:  []part{{lines(3) + `{"seq":4,"ty`, true}, {lines(4), true}},
			follow: true, seqs: []uint64{3, 4}, asked: []string{"2", "3"},
			kind: fault.Unreachable, within: patience + 10*time.Second,
		},
		"never there":     {parts: nil, follow: true, asked: []string{"2"}, kind: fault.Unreachable},
		"no events":       {parts: []part{{"", false}}, asked: []string{"2"}},
		"all there is":    {parts: []part{{lines(3, 4), false}}, seqs: []uint64{3, 4}, asked: []string{"2"}},
		"broke off":       {parts: []part{{lines(3), true}}, seqs: []uint64{3}, asked: []string{"2"}, kind: fault.Unreachable},
		"no event":        {parts: []part{{"hello\n", false}}, follow: true, asked: []string{"2"}, kind: fault.Internal},
		"longer than any": {parts: []part{{long(3, testEvent+1), false}}, follow: true, asked: []string{"2"}, kind: fault.Internal},
		"the longest":     {parts: []part{{long(3, testEvent) + long(4, testEvent), false}}, seqs: []uint64{3, 4}, asked: []string{"2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{parts: c.parts}
				retries := 0
				calls := New(Config{URL: "http://127.0.0.1", Token: "x", OnRetry: func(error) { retries++ }})
				calls.http.Transport, calls.maxEvent = s, testEvent
				var seqs []uint64
				start := time.Now()
				err := calls.Events(t.Context(), 2, c.follow, func(e parley.Event) error {
					seqs = append(seqs, e.Seq)
					return nil
				})
				if c.kind == "" && err != nil || c.kind != "" && (err == nil || fault.KindOf(err) != c.kind) {
					t.Errorf("ends with %v, want %q", err, c.kind)
				}
				if !slices.Equal(seqs, c.seqs) || !slices.Equal(s.asked[:len(c.asked)], c.asked) {
					t.Errorf("events %v, want %v; asked since %v, want %v", seqs, c.seqs, s.asked, c.asked)
				}
				if took := time.Since(start); took > c.within || c.within > 0 && (took < patience || retries == 0) {
					t.Errorf("gave up after %v, told of %d breaks", took, retries)
				}
			})
		})
	}
}

// TestEventsYield: who reads the stream can end it.
func TestEventsYield(t *testing.T) {
	t.Parallel()
	stop := fmt.Errorf("enough")
	calls := New(Config{URL: "http://127.0.0.1", Token: "x"})
	calls.http.Transport = &scripted{parts: []part{{lines(1, 2, 3), false}}}
	n := 0
	err := calls.Events(t.Context(), 0, true, func(parley.Event) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	})
	if err != stop || n != 2 {
		t.Errorf("%v after %d events", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := calls.Events(ctx, 0, true, nil); err != context.Canceled {
		t.Errorf("ended by its context: %v", err)
	}
}

// TestEventsOtherDaemon: a stream does not go on with another account's events,
// and does go on with a daemon that has moved.
func TestEventsOtherDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := EnsureToken(dir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		announce(t, dir, "zAda", "http://127.0.0.1:1")
		calls := New(Config{DataDir: dir})
		s := &scripted{parts: []part{{lines(1), true}, {lines(2), true}}}
		calls.http.Transport = s
		var seqs []uint64
		err := calls.Events(t.Context(), 0, true, func(e parley.Event) error {
			seqs = append(seqs, e.Seq)
			if e.Seq == 1 {
				announce(t, dir, "zAda", "http://127.0.0.1:2")
			} else {
				announce(t, dir, "zBob", "http://127.0.0.1:2")
			}
			return nil
		})
		if fault.KindOf(err) != fault.Conflict || !slices.Equal(seqs, []uint64{1, 2}) {
			t.Errorf("%v after %v", err, seqs)
		}
	})
}

func TestToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := ReadToken(dir); fault.KindOf(err) != fault.Unreachable {
		t.Errorf("no token: %v", err)
	}
	token, err := EnsureToken(dir)
	if raw, hexErr := hex.DecodeString(token); err != nil || hexErr != nil || len(raw) != tokenSize {
		t.Fatalf("%v, %v", err, hexErr)
	}
	for _, again := range []func(string) (string, error){EnsureToken, ReadToken} {
		if got, err := again(dir); err != nil || got != token {
			t.Errorf("again: %v", err)
		}
	}
	other, err := EnsureToken(t.TempDir())
	if err != nil || other == token {
		t.Errorf("two daemons have one token, %v", err)
	}
}
