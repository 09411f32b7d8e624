package server

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
)

const token = "0123456789abcdef"

// cheap is no cost for people's passwords, but enough for tests.
var cheap = account.KDF{Time: 1, MemoryKiB: 64, Threads: 1}

func newAccount(t testing.TB, name string) *account.Account {
	t.Helper()
	store, err := account.OpenStore(t.TempDir(), account.StoreConfig{KDF: cheap})
	if err != nil {
		t.Fatal(err)
	}
	phrase, err := account.NewMnemonic(12, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, err := store.Create(account.Spec{Name: name, Mnemonic: phrase, Created: time.Now()}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newClient opens a client in memory that knows no network.
func newClient(t testing.TB) *parley.Client {
	t.Helper()
	network, err := parley.LoadNetwork("local")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parley.Open(t.Context(), parley.Config{Account: newAccount(t, "Alice"), Network: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// api is a served client.
type api struct {
	t      testing.TB
	client *parley.Client
	*httptest.Server
}

func newAPI(t testing.TB, config Config) *api {
	t.Helper()
	if config.Client == nil {
		config.Client = newClient(t)
	}
	config.Token = token
	handler, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	a := &api{t, config.Client, httptest.NewServer(handler)}
	t.Cleanup(a.Close)
	return a
}

// request makes a request with the token; change may alter it.
func (a *api) request(method, path, body string, change func(*http.Request)) *http.Response {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.URL+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	response, err := a.Client().Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { response.Body.Close() })
	return response
}

// call makes a call, checks its status and returns its body.
func (a *api) call(method, path, body string, status int) []byte {
	a.t.Helper()
	response := a.request(method, path, body, nil)
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if response.StatusCode != status {
		a.t.Fatalf("%s %s: status %d, want %d: %s", method, path, response.StatusCode, status, raw)
	}
	return raw
}

// decode reads a whole body as T and nothing else.
func decode[T any](t testing.TB, raw []byte) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return v
}

func stranger(t testing.TB) key.Public {
	t.Helper()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}
