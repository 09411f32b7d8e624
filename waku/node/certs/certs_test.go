package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// put writes a certificate with a serial number and its key, or one of the
// two alone, into a folder.
func put(t testing.TB, dir string, serial int64, cert, key bool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"node.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: raw},
	} {
		if name == "cert.pem" && !cert || name == "key.pem" && !key {
			continue
		}
		// As careful programs do: a new file in the place of the old one.
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// serial is the serial number of the certificate that a handshake gets.
func serial(t testing.TB, c *tls.Config) int64 {
	t.Helper()
	got, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: "node.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(got.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return parsed.SerialNumber.Int64()
}

// TestLoadCertificate: the files are read again when they change; what cannot
// be read does not take the place of what could.
func TestLoadCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := LoadCertificate(cert, key); !errors.Is(err, ErrCertificate) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no files: %v", err)
	}
	put(t, dir, 1, true, true)
	c, err := LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, want int64) {
		t.Helper()
		for range 2 {
			if got := serial(t, c); got != want {
				t.Errorf("%s: certificate %d, want %d", what, got, want)
			}
		}
	}
	expect("first", 1)
	put(t, dir, 2, true, true)
	expect("renewed", 2)
	put(t, dir, 3, true, false)
	expect("half of a change", 2)
	if _, err := LoadCertificate(cert, key); !errors.Is(err, ErrCertificate) {
		t.Errorf("a key of another certificate: %v", err)
	}
	put(t, dir, 4, true, true)
	expect("the change made whole", 4)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	expect("gone", 4)
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("nonsense", 4)
	put(t, dir, 5, true, true)
	expect("repaired", 5)
}
