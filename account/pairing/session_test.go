package pairing

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/base58"
)

// caller calls a session as a client at an address does, with its cookies.
type caller struct {
	*session
	from    string
	cookies []*http.Cookie
}

func (c *caller) call(method, route, answer string, body []byte) *http.Response {
	r := httptest.NewRequest(method, "https://127.0.0.1"+route, bytes.NewReader(body))
	r.RemoteAddr = c.from
	if answer != "" {
		r.Header.Set("challenge", answer)
	}
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	response := w.Result()
	c.cookies = append(c.cookies, response.Cookies()...)
	return response
}

func (c *caller) challenge(t testing.TB) []byte {
	t.Helper()
	response := c.call("GET", "/pairing/challenge", "", nil)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("no challenge: %s", response.Status)
	}
	var body bytes.Buffer
	body.ReadFrom(response.Body)
	return body.Bytes()
}

// answer asks for a challenge and answers it.
func (c *caller) answer(t testing.TB) string {
	t.Helper()
	text, err := answer(c.key, c.challenge(t), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newCaller makes a session of one call that gives and one that takes.
func newCaller(t testing.TB) (c *caller, taken *[]byte) {
	t.Helper()
	taken = new([]byte)
	var k [keySize]byte
	rand.Read(k[:])
	return &caller{from: "192.168.1.7:1000", session: newSession(k, []step{
		{route: "/give", method: "GET", challenged: true, do: func([]byte) ([]byte, error) { return []byte("given"), nil }},
		{route: "/take", method: "POST", limit: 100, do: func(body []byte) ([]byte, error) { *taken = body; return nil, nil }},
	}, rand.Reader)}, taken
}

func (c *caller) sealed(t testing.TB, plain []byte) []byte {
	t.Helper()
	sealed, err := seal(c.key, plain, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func (c *caller) want(t testing.TB, what string, response *http.Response, status int) {
	t.Helper()
	if response.StatusCode != status {
		t.Errorf("%s: %s, want %d", what, response.Status, status)
	}
}

// open says whether the session waits for more.
func (c *caller) waits() bool { return len(c.done) == 0 }

func (c *caller) ended(t testing.TB, want error) {
	t.Helper()
	select {
	case err := <-c.done:
		if !errors.Is(err, want) {
			t.Errorf("ended with %v, want %v", err, want)
		}
	default:
		t.Errorf("goes on, want %v", want)
	}
	c.want(t, "after the end", c.call("GET", "/pairing/challenge", "", nil), http.StatusForbidden)
	c.want(t, "after the end", c.call("POST", "/take", "", c.sealed(t, nil)), http.StatusForbidden)
}

func TestSession(t *testing.T) {
	t.Parallel()
	c, taken := newCaller(t)
	first := c.challenge(t)
	if len(first) != 64 || !bytes.Equal(first, c.challenge(t)) || len(c.cookies) != 1 || c.cookies[0].Name != "challenge" {
		t.Errorf("challenge of %d bytes, cookies %d", len(first), len(c.cookies))
	}
	c.want(t, "no answer", c.call("GET", "/give", "", nil), http.StatusForbidden)
	c.want(t, "unknown", c.call("GET", "/pairing/sendAccount", "", nil), http.StatusNotFound)
	c.want(t, "another method", c.call("POST", "/give", c.answer(t), nil), http.StatusMethodNotAllowed)
	c.want(t, "another method", c.call("POST", "/pairing/challenge", "", nil), http.StatusMethodNotAllowed)
	c.want(t, "out of turn", c.call("POST", "/take", "", c.sealed(t, []byte("x"))), http.StatusConflict)
	text := c.answer(t)
	response := c.call("GET", "/give", text, nil)
	c.want(t, "give", response, http.StatusOK)
	var body bytes.Buffer
	body.ReadFrom(response.Body)
	if plain, err := open(c.key, body.Bytes()); err != nil || string(plain) != "given" {
		t.Errorf("%q, %v", plain, err)
	}
	if bytes.Equal(first, c.challenge(t)) {
		t.Error("the challenge stays the same")
	}
	c.want(t, "twice", c.call("GET", "/give", c.answer(t), nil), http.StatusConflict)
	if *taken != nil || !c.waits() {
		t.Error("ended or taken early")
	}
	c.want(t, "take", c.call("POST", "/take", "", c.sealed(t, []byte("taken"))), http.StatusOK)
	if string(*taken) != "taken" {
		t.Errorf("%q", *taken)
	}
	c.ended(t, nil)
}

// TestSessionIntruders ends the session for who does not know the code.
func TestSessionIntruders(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(*caller) string{
		"no base58":         func(*caller) string { return "0OIl" },
		"not sealed":        func(c *caller) string { return base58.Encode(c.session.challenge) },
		"another challenge": func(c *caller) string { s, _ := answer(c.key, make([]byte, 64), rand.Reader); return s },
		"part of it":        func(c *caller) string { s, _ := answer(c.key, c.session.challenge[:63], rand.Reader); return s },
		"another key":       func(c *caller) string { s, _ := answer([keySize]byte{1}, c.session.challenge, rand.Reader); return s },
		"too long":          func(*caller) string { return strings.Repeat("1", maxAnswer+1) },
	} {
		c, _ := newCaller(t)
		c.challenge(t)
		c.want(t, name, c.call("GET", "/give", wrong(c), nil), http.StatusForbidden)
		c.ended(t, ErrIntruder)
	}
	// An answer counts once.
	c, _ := newCaller(t)
	text := c.answer(t)
	c.want(t, "give", c.call("GET", "/give", text, nil), http.StatusOK)
	c.want(t, "again", c.call("GET", "/give", text, nil), http.StatusForbidden)
	c.ended(t, ErrIntruder)
	// Neither does what is not sealed under the code's key come from a friend.
	for name, body := range map[string][]byte{"empty": {}, "short": make([]byte, 11), "garbage": bytes.Repeat([]byte{7}, 60)} {
		c, taken := newCaller(t)
		c.want(t, "give", c.call("GET", "/give", c.answer(t), nil), http.StatusOK)
		c.want(t, name, c.call("POST", "/take", "", body), http.StatusForbidden)
		c.ended(t, ErrIntruder)
		if *taken != nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestSessionOthers answers nobody but the one client.
func TestSessionOthers(t *testing.T) {
	t.Parallel()
	c, _ := newCaller(t)
	text := c.answer(t)
	// Another address, even with everything the client has.
	other := &caller{session: c.session, from: "192.168.1.8:1000", cookies: c.cookies}
	other.want(t, "challenge for another address", other.call("GET", "/pairing/challenge", "", nil), http.StatusForbidden)
	other.want(t, "another address", other.call("GET", "/give", text, nil), http.StatusForbidden)
	for _, from := range []string{"", "nowhere", "[::1]:5"} {
		other.from = from
		other.want(t, "address "+from, other.call("GET", "/give", text, nil), http.StatusForbidden)
	}
	// A second client at the same address.
	second := &caller{session: c.session, from: "192.168.1.7:2000"}
	second.want(t, "second client", second.call("GET", "/pairing/challenge", "", nil), http.StatusForbidden)
	second.want(t, "second client", second.call("GET", "/give", text, nil), http.StatusForbidden)
	second.cookies = []*http.Cookie{{Name: "challenge", Value: strings.Repeat("a", 43)}}
	second.want(t, "second client", second.call("GET", "/pairing/challenge", "", nil), http.StatusForbidden)
	// The first goes on, from another port and as IPv4 in IPv6, too.
	c.from = "[::ffff:192.168.1.7]:3000"
	c.want(t, "give", c.call("GET", "/give", text, nil), http.StatusOK)
	if !c.waits() {
		t.Error("ended")
	}
}

// TestSessionSize takes bodies up to the limit.
func TestSessionSize(t *testing.T) {
	t.Parallel()
	const overhead = 12 + 16
	for size, want := range map[int]int{100 - overhead: http.StatusOK, 101 - overhead: http.StatusRequestEntityTooLarge} {
		c, taken := newCaller(t)
		c.want(t, "give", c.call("GET", "/give", c.answer(t), nil), http.StatusOK)
		c.want(t, "take", c.call("POST", "/take", "", c.sealed(t, make([]byte, size))), want)
		if want == http.StatusOK {
			c.ended(t, nil)
		} else {
			c.ended(t, ErrSize)
		}
		if (*taken != nil) != (want == http.StatusOK) {
			t.Errorf("%d bytes: taken %t", size, *taken != nil)
		}
	}
}

// cut is a body that ends early.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, errors.New("connection lost") }

// TestSessionCut goes on when a body does not come whole.
func TestSessionCut(t *testing.T) {
	t.Parallel()
	c, taken := newCaller(t)
	c.want(t, "give", c.call("GET", "/give", c.answer(t), nil), http.StatusOK)
	r := httptest.NewRequest("POST", "https://127.0.0.1/take", cut{})
	r.RemoteAddr = c.from
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	c.want(t, "cut", w.Result(), http.StatusBadRequest)
	if *taken != nil || !c.waits() {
		t.Error("taken or ended")
	}
	c.want(t, "take", c.call("POST", "/take", "", c.sealed(t, nil)), http.StatusOK)
	c.ended(t, nil)
}

// TestSessionEnds ends a session from outside, at rest and at work.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	c, _ := newCaller(t)
	c.end(ErrTimeLimit)
	c.end(nil)
	c.ended(t, ErrTimeLimit)

	for name, last := range map[string]bool{"the last step": true, "another step": false} {
		c, _ := newCaller(t)
		entered, leave := make(chan struct{}), make(chan struct{})
		c.steps[0].do = func([]byte) ([]byte, error) { close(entered); <-leave; return nil, nil }
		if last {
			c.steps = c.steps[:1]
		}
		text := c.answer(t)
		answered := make(chan int)
		go func() { answered <- c.call("GET", "/give", text, nil).StatusCode }()
		<-entered
		c.end(ErrTimeLimit)
		if !c.waits() {
			t.Errorf("%s: ended at work", name)
		}
		close(leave)
		if status := <-answered; status != http.StatusOK {
			t.Errorf("%s: %d", name, status)
		}
		// What was kept was kept.
		want := ErrTimeLimit
		if last {
			want = nil
		}
		c.ended(t, want)
	}
}

// TestSessionBusy does one step at a time.
func TestSessionBusy(t *testing.T) {
	t.Parallel()
	c, _ := newCaller(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	c.steps[0].challenged = false
	c.steps[0].do = func([]byte) ([]byte, error) { close(entered); <-leave; return nil, nil }
	answered := make(chan int)
	go func() { answered <- c.call("GET", "/give", "", nil).StatusCode }()
	<-entered
	c.want(t, "at once", (&caller{session: c.session, from: c.from}).call("GET", "/give", "", nil), http.StatusConflict)
	close(leave)
	if status := <-answered; status != http.StatusOK {
		t.Error(status)
	}
}

// broken has no randomness.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

func TestSessionWithoutRandomness(t *testing.T) {
	t.Parallel()
	c, _ := newCaller(t)
	text := c.answer(t)
	c.rand = broken{}
	c.want(t, "give", c.call("GET", "/give", text, nil), http.StatusInternalServerError)
	fresh, _ := newCaller(t)
	fresh.rand = broken{}
	fresh.want(t, "challenge", fresh.call("GET", "/pairing/challenge", "", nil), http.StatusInternalServerError)
	if len(fresh.cookies) != 0 || fresh.cookie != "" {
		t.Error("a session without a challenge")
	}
}

// TestSessionFails tells the client that a step failed, and not why.
func TestSessionFails(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		errors.New("secret"): http.StatusInternalServerError, ErrPayload: http.StatusUnprocessableEntity,
	} {
		c, _ := newCaller(t)
		c.steps[0].do = func([]byte) ([]byte, error) { return []byte("secret"), err }
		response := c.call("GET", "/give", c.answer(t), nil)
		c.want(t, "give", response, want)
		var body bytes.Buffer
		body.ReadFrom(response.Body)
		if strings.Contains(body.String(), "secret") {
			t.Errorf("%s", body.String())
		}
		c.ended(t, err)
	}
}
