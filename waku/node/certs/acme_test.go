package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestObtainConfig(t *testing.T) {
	t.Parallel()
	good := ACME{Domains: []string{"node.example.org"}, Dir: "somewhere"}
	for name, change := range map[string]func(*ACME){
		"no domain":   func(a *ACME) { a.Domains = nil },
		"empty":       func(a *ACME) { a.Domains = []string{""} },
		"local name":  func(a *ACME) { a.Domains = []string{"localhost"} },
		"address":     func(a *ACME) { a.Domains = []string{"203.0.113.7"} },
		"wildcard":    func(a *ACME) { a.Domains = []string{"*.example.org"} },
		"no folder":   func(a *ACME) { a.Dir = "" },
		"plain http":  func(a *ACME) { a.CA = "http://ca.example.org/directory" },
		"no URL":      func(a *ACME) { a.CA = "staging" },
		"port":        func(a *ACME) { a.HTTPPort = 65536 },
		"other port":  func(a *ACME) { a.TLSPort = -1 },
		"second name": func(a *ACME) { a.Domains = []string{"node.example.org", "local"} },
	} {
		a := good
		change(&a)
		if c, closer, err := Obtain(a); !errors.Is(err, ErrCertificate) || c != nil || closer != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// authority is a certificate authority that speaks ACME with one client and
// believes who answers its HTTP challenge. It checks no signatures.
type authority struct {
	*httptest.Server
	t         testing.TB
	challenge string // host:port where the challenge is answered
	key       *ecdsa.PrivateKey
	root      *x509.Certificate

	nonces  atomic.Int64
	orders  atomic.Int64
	valid   atomic.Bool
	chain   atomic.Pointer[[]byte]
	domain  string
	refuses bool
}

func newAuthority(t testing.TB, domain, challenge string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, challenge: challenge, key: key, root: root, domain: domain}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	return a
}

// ServeHTTP answers one request of RFC 8555, section 7.
func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Replay-Nonce", fmt.Sprint("nonce", a.nonces.Add(1)))
	reply := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	var envelope struct{ Payload string }
	_ = json.NewDecoder(r.Body).Decode(&envelope)
	payload, _ := base64.RawURLEncoding.DecodeString(envelope.Payload)
	switch r.URL.Path {
	case "/directory":
		reply(200, map[string]string{
			"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/order",
			"revokeCert": a.URL + "/revoke", "keyChange": a.URL + "/key",
		})
	case "/nonce":
		w.WriteHeader(200)
	case "/account":
		w.Header().Set("Location", a.URL+"/account/1")
		reply(201, map[string]any{"status": "valid"})
	case "/order":
		a.orders.Add(1)
		if a.refuses {
			reply(403, map[string]any{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "not you"})
			return
		}
		w.Header().Set("Location", a.URL+"/order/1")
		reply(201, a.order())
	case "/order/1":
		reply(200, a.order())
	case "/authorization":
		status := "pending"
		if a.valid.Load() {
			status = "valid"
		}
		reply(200, map[string]any{
			"status": status, "identifier": map[string]string{"type": "dns", "value": a.domain},
			"challenges": []any{a.httpChallenge(status)},
		})
	case "/challenge":
		a.visit()
		reply(200, a.httpChallenge("processing"))
	case "/finalize":
		if err := a.sign(payload); err != nil {
			a.t.Error(err)
		}
		reply(200, a.order())
	case "/certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(*a.chain.Load())
	default:
		http.NotFound(w, r)
	}
}

func (a *authority) httpChallenge(status string) map[string]string {
	return map[string]string{"type": "http-01", "url": a.URL + "/challenge", "status": status, "token": "a-token"}
}

func (a *authority) order() map[string]any {
	status := "pending"
	switch {
	case a.chain.Load() != nil:
		status = "valid"
	case a.valid.Load():
		status = "ready"
	}
	return map[string]any{
		"status": status, "identifiers": []any{map[string]string{"type": "dns", "value": a.domain}},
		"authorizations": []string{a.URL + "/authorization"}, "finalize": a.URL + "/finalize", "certificate": a.URL + "/certificate",
	}
}

// visit asks whoever has the domain to prove it.
func (a *authority) visit() {
	req, err := http.NewRequest(http.MethodGet, "http://"+a.challenge+"/.well-known/acme-challenge/a-token", nil)
	if err != nil {
		a.t.Error(err)
		return
	}
	req.Host = a.domain
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && strings.HasPrefix(string(body), "a-token.") {
		a.valid.Store(true)
	}
}

// sign signs what is asked for.
func (a *authority) sign(payload []byte) error {
	var in struct{ CSR string }
	if err := json.Unmarshal(payload, &in); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(in.CSR)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(77), DNSNames: csr.DNSNames, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
	}, a.root, csr.PublicKey, a.key)
	if err != nil {
		return err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})
	a.chain.Store(&chain)
	return nil
}

// freePort is a port that nobody had a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// TestObtain: a certificate is obtained by proving that the domain is ours,
// used in a handshake, and found in the folder the next time.
func TestObtain(t *testing.T) {
	t.Parallel()
	const domain = "node.example.org"
	port := freePort(t)
	ca := newAuthority(t, domain, fmt.Sprint("127.0.0.1:", port))
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate())
	a := ACME{
		Domains: []string{domain}, Email: "operator@example.org", Dir: t.TempDir(),
		CA: ca.URL + "/directory", HTTPPort: port, Roots: roots,
	}
	for _, orders := range []int64{1, 1} {
		config, closer, err := Obtain(a)
		if err != nil {
			t.Fatal(err)
		}
		trusted := x509.NewCertPool()
		trusted.AddCert(ca.root)
		deadline := time.After(60 * time.Second)
		for err = errors.New("never tried"); err != nil; {
			if err = handshake(config, &tls.Config{RootCAs: trusted, ServerName: domain}); err != nil {
				select {
				case <-time.After(50 * time.Millisecond):
				case <-deadline:
					t.Fatalf("no certificate: %v", err)
				}
			}
		}
		if n := ca.orders.Load(); n != orders {
			t.Errorf("%d orders, want %d", n, orders)
		}
		for range 2 {
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestObtainRefused: an authority that refuses is no reason not to start, and
// closing does not wait for it to change its mind.
func TestObtainRefused(t *testing.T) {
	t.Parallel()
	const domain = "refused.example.org"
	ca := newAuthority(t, domain, "127.0.0.1:1")
	ca.refuses = true
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate())
	config, closer, err := Obtain(ACME{Domains: []string{domain}, Dir: t.TempDir(), CA: ca.URL + "/directory", Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(60 * time.Second)
	for ca.orders.Load() == 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("never asked")
		}
	}
	if err := handshake(config, &tls.Config{InsecureSkipVerify: true, ServerName: domain}); err == nil {
		t.Error("a handshake without a certificate")
	}
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
}

// handshake shakes hands over a pipe.
func handshake(server, client *tls.Config) error {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	go func() { _ = tls.Server(a, server).Handshake() }()
	c := tls.Client(b, client)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.Handshake()
}
