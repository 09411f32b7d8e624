package ens

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/parley-im/parley/account/key"
)

// Hashes of ERC-137.
func TestNamehash(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"eth":     "93cdeb708b7545dc668eb9280176169d1c33cfd8ed6f04690a0bcc88a93fc4ae",
		"foo.eth": "de9b09fd7c5f901e23a3f19fecc54828e9c848539801e86591bd9801b019f84f",
	} {
		if got, err := Namehash(name); err != nil || hex.EncodeToString(got[:]) != want {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for _, name := range []string{"", ".", ".eth", "eth.", "a..eth", strings.Repeat("a", MaxName+1)} {
		if got, err := Namehash(name); !errors.Is(err, ErrName) || got != [32]byte{} {
			t.Errorf("%q: %x, %v", name, got, err)
		}
	}
	if _, err := Namehash(strings.Repeat("a", MaxName)); err != nil {
		t.Error(err)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	alice, bob := newKey(t, 1), newKey(t, 2)
	c := newChain(t).
		name("alice.stateofus.eth").set(resolverContract, "pubkey", "alice.stateofus.eth", alice).
		name("address.eth").set(resolverContract, "addr", "address.eth", common.Address(alice.Address())).
		name("nothing.eth").
		name("refuses.eth").set(resolverContract, "pubkey", "refuses.eth", &rpcError{-32000, "execution reverted: no"}).
		name("broken.eth").set(resolverContract, "pubkey", "broken.eth", &rpcError{-32000, "invalid opcode: INVALID"}).
		name("offcurve.eth").set(resolverContract, "pubkey", "offcurve.eth", append(make([]byte, 63), 1)).
		name("short.eth").set(resolverContract, "pubkey", "short.eth", make([]byte, 63)).
		name("long.eth").set(resolverContract, "pubkey", "long.eth", append(alice.Bytes()[1:], make([]byte, 32)...)).
		name("wide.eth").set(resolverContract, "addr", "wide.eth", []byte(strings.Repeat("\x01", 32))).
		set(Registry, "resolver", "empty.eth", common.HexToAddress("0xbb")).
		set(Registry, "owner", "unresolved.eth", common.Address{1}).
		set(Registry, "resolver", "garbage.eth", []byte(strings.Repeat("\xff", 32))).
		name("limit.eth").set(resolverContract, "pubkey", "limit.eth", &rpcError{-32005, "limit of " + secret})
	r := serve(t, c)
	for _, test := range []struct {
		name string
		pub  key.Public
		want bool
		err  error
		// answered: the error is about the name.
		answered bool
	}{
		{"alice.stateofus.eth", alice, true, nil, false},
		{"alice.stateofus.eth", bob, false, nil, false},
		{"address.eth", alice, true, nil, false},
		{"address.eth", bob, false, nil, false},
		{"long.eth", alice, true, nil, false},
		{"unknown.eth", alice, false, ErrNoName, true},
		{"unresolved.eth", alice, false, ErrNoResolver, true},
		{"nothing.eth", alice, false, ErrNoRecord, true},
		{"refuses.eth", alice, false, ErrNoRecord, true},
		{"broken.eth", alice, false, ErrNoRecord, true},
		{"short.eth", alice, false, ErrNoRecord, true},
		{"wide.eth", alice, false, ErrNoRecord, true},
		{"empty.eth", alice, false, ErrNoRecord, true},
		{"offcurve.eth", alice, false, ErrKey, true},
		{"garbage.eth", alice, false, ErrRegistry, false},
		{"limit.eth", alice, false, ErrUnreachable, false},
		{"a..eth", alice, false, ErrName, true},
		{"alice.stateofus.eth", key.Public{}, false, ErrKey, true},
	} {
		got, err := r.Verify(t.Context(), test.name, test.pub)
		if got != test.want || !errors.Is(err, test.err) || Answered(err) != test.answered {
			t.Errorf("%s: %v, %v; want %v, %v", test.name, got, err, test.want, test.err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the secret: %v", test.name, err)
		}
	}
	if pub, err := r.PublicKey(t.Context(), "alice.stateofus.eth"); err != nil || pub != alice {
		t.Errorf("%s, %v", pub, err)
	}
	if a, err := r.Address(t.Context(), "address.eth"); err != nil || a != alice.Address() {
		t.Errorf("%x, %v", a, err)
	}
	if a, err := r.Address(t.Context(), "nothing.eth"); !errors.Is(err, ErrNoRecord) || a != [20]byte{} {
		t.Errorf("%x, %v", a, err)
	}
}

// The chain is asked for its number once, and one that is not the main network
// is not believed.
func TestChain(t *testing.T) {
	t.Parallel()
	alice := newKey(t, 1)
	c := newChain(t).name("alice.eth").set(resolverContract, "pubkey", "alice.eth", alice)
	r := serve(t, c)
	for range 3 {
		if ok, err := r.Verify(t.Context(), "alice.eth", alice); err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
	}
	if n := c.asked.Load(); n != 1+3*2 {
		t.Errorf("%d requests", n)
	}
	c = newChain(t).name("alice.eth").set(resolverContract, "pubkey", "alice.eth", alice)
	c.id = 11155111
	if ok, err := serve(t, c).Verify(t.Context(), "alice.eth", alice); !errors.Is(err, ErrChain) || ok || Answered(err) {
		t.Errorf("%v, %v", ok, err)
	}
	// No contract at the registry's address.
	if ok, err := serve(t, newChain(t)).Verify(t.Context(), "alice.eth", alice); !errors.Is(err, ErrRegistry) || ok || Answered(err) {
		t.Errorf("%v, %v", ok, err)
	}
}

// A node that does not do its work is unreachable, whatever it does instead,
// and no error tells its URL.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	alice := newKey(t, 1)
	reply := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	elsewhere := httptest.NewServer(newChain(t))
	t.Cleanup(elsewhere.Close)
	dial := func(url string) *Resolver {
		r, err := Dial(url)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, r := range map[string]*Resolver{
		"unauthorised":    serve(t, reply(http.StatusUnauthorized, "no key "+secret)),
		"server error":    serve(t, reply(http.StatusInternalServerError, "")),
		"error with JSON": serve(t, reply(http.StatusTooManyRequests, `{"error":{"code":429,"message":"`+secret+`"}}`)),
		"empty":           serve(t, reply(http.StatusOK, "")),
		"no JSON":         serve(t, reply(http.StatusOK, "<html>"+secret)),
		"no result":       serve(t, reply(http.StatusOK, `{"jsonrpc":"2.0","id":1}`)),
		"null":            serve(t, reply(http.StatusOK, `{"result":null}`)),
		"odd result":      serve(t, reply(http.StatusOK, `{"result":{"a":1}}`)),
		"odd error":       serve(t, reply(http.StatusOK, `{"error":"`+secret+`"}`)),
		"too large":       serve(t, reply(http.StatusOK, `{"result":"0x1","x":"`+strings.Repeat("x", maxAnswer)+`"}`)),
		"negative chain":  serve(t, reply(http.StatusOK, `{"result":"-0x1"}`)),
		"refused":         serve(t, reply(http.StatusOK, `{"error":{"code":3,"message":"execution reverted"}}`)),
		"redirect":        serve(t, http.RedirectHandler(elsewhere.URL+"/"+secret, http.StatusTemporaryRedirect)),
		"nobody there":    dial(closed.URL + "/" + secret),
		"no such host":    dial("https://" + secret + ".invalid/"),
		"cut connection": serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "{")
		})),
		"password refused": dial(strings.Replace(closed.URL, "http://", "http://user:"+secret+"@", 1)),
	} {
		ok, err := r.Verify(t.Context(), "alice.eth", alice)
		if !errors.Is(err, ErrUnreachable) || ok || Answered(err) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		for _, s := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			if strings.Contains(s, secret) || strings.Contains(s, "127.0.0.1") {
				t.Errorf("%s tells the URL: %s", name, s)
			}
		}
	}
}

// An answer at the limit of its size is read.
func TestLargestAnswer(t *testing.T) {
	t.Parallel()
	const frame = `{"result":"0x1","x":""}`
	r := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Replace(frame, `""`, `"`+strings.Repeat("x", maxAnswer-len(frame))+`"`, 1))
	}))
	if id, err := r.chain.ChainID(t.Context()); err != nil || id.Int64() != 1 {
		t.Errorf("%v, %v", id, err)
	}
}

// Who gives up is told so, also while the node hangs.
func TestCanceled(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	r := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		io.Copy(io.Discard, request.Body) // only then the end of the connection shows
		close(reached)
		<-request.Context().Done()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	if _, err := r.PublicKey(ctx, "alice.eth"); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := r.PublicKey(ctx, "alice.eth"); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// No way of printing a resolver or its node shows the URL.
func TestSecret(t *testing.T) {
	t.Parallel()
	r, err := Dial("https://user:" + secret + "@example.org/" + secret)
	if err != nil {
		t.Fatal(err)
	}
	node := r.chain.(*Node)
	raw, err := json.Marshal(map[string]any{"node": node, "resolver": r})
	if err != nil {
		t.Fatal(err)
	}
	printed := string(raw)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed += fmt.Sprintf(format, r) + fmt.Sprintf(format, node) + fmt.Sprintf(format, []any{node}) + fmt.Sprintf(format, struct{ N Chain }{node})
	}
	for _, part := range []string{secret, hex.EncodeToString([]byte(secret)), "example.org"} {
		if strings.Contains(printed, part) {
			t.Errorf("%s is in %s", part, printed)
		}
	}
	for _, url := range []string{"", "example.org/" + secret, "ws://" + secret, "https://", "https://" + secret + ":port/", "file:///" + secret, "http://\x00" + secret} {
		if r, err := Dial(url); !errors.Is(err, ErrURL) || r != nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	alice := newKey(t, 1)
	r := serve(t, newChain(t).name("alice.eth").set(resolverContract, "pubkey", "alice.eth", alice))
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if ok, err := r.Verify(t.Context(), "alice.eth", alice); err != nil || !ok {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
	wait.Wait()
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzAnswer: whatever a node answers, a lookup ends with a key or one of the
// errors.
func FuzzAnswer(f *testing.F) {
	word := strings.Repeat("00", 31) + "01"
	f.Add(200, []byte(`{"result":"0x1"}`), []byte(`{"result":"0x`+word+`"}`), []byte(`{"result":"0x`+word+word+`"}`))
	f.Add(200, []byte(`{"result":"0x1"}`), []byte(`{"error":{"code":3,"message":"x"}}`), []byte(`{"result":null}`))
	f.Add(500, []byte(``), []byte(`{`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, status int, first, second, third []byte) {
		if status < 100 || status > 999 {
			return
		}
		node, err := NewNode("https://" + secret)
		if err != nil {
			t.Fatal(err)
		}
		answers := [][]byte{first, second, third}
		node.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			if len(answers) == 0 {
				return nil, errors.New(secret)
			}
			body := answers[0]
			answers = answers[1:]
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
		})
		pub, err := New(node, Mainnet, Registry).PublicKey(t.Context(), "alice.eth")
		switch {
		case err == nil && pub.IsZero(), err != nil && !pub.IsZero():
			t.Fatalf("%s, %v", pub, err)
		case err == nil:
		case !Answered(err) && !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrChain) && !errors.Is(err, ErrRegistry):
			t.Fatalf("%v is none of the errors", err)
		case strings.Contains(err.Error(), secret):
			t.Fatalf("%v tells the secret", err)
		}
	})
}

func BenchmarkNamehash(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Namehash("alice.stateofus.eth"); err != nil {
			b.Fatal(err)
		}
	}
}
