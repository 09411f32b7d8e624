package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/server/service"
)

// settingsOf is what `parley node` makes of its flags.
func settingsOf(t *testing.T, dir string, flags ...string) (c service.Config) {
	t.Helper()
	var out bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &out, args: append([]string{"node", "--data-dir", dir}, flags...)}
	a.onNode = func(cmd *cobra.Command, f nodeFlags) (err error) {
		c, err = f.config(cmd.Flags().Changed, "", slog.New(slog.DiscardHandler))
		return err
	}
	if code := a.run(t.Context(), a.args); code != 0 {
		t.Fatalf("%q: %d %s", flags, code, &out)
	}
	return c
}

// certificate writes a certificate that nobody trusts, and its key.
func certificate(t *testing.T, cert, private string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"waku.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, private: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNodeNamesEverySetting: for each flag of the node that is changed a reload
// says that it needs a restart, unless it takes it over. A flag that is added
// without a thought fails here.
func TestNodeNamesEverySetting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := settingsOf(t, dir, "--shard", "32")
	var err error
	if base.Key, err = nodeKey(""); err != nil {
		t.Fatal(err)
	}
	n, err := service.Start(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	signer, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, private := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, cert, private)
	const other = "/ip4/127.0.0.1/tcp/1/p2p/16Uiu2HAmVFXtAfSj4EiR7mL2KvL4EE2wztuQgUSBoj2Jx2KeXFLN"
	untried := map[string]bool{}
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	new(nodeFlags).register(flags)
	flags.VisitAll(func(f *pflag.Flag) { untried[f.Name] = true })
	for _, c := range []struct {
		flag, value string
		more        []string // flags without which it makes no sense
		names       []string // its own where nil
	}{
		{flag: "relay", value: "false", names: []string{"relay", "filter", "lightpush"}},
		{flag: "store", value: "false"},
		{flag: "filter", value: "false"},
		{flag: "lightpush", value: "false"},
		{flag: "peer-exchange", value: "false"},
		{flag: "store-sync", value: "false"},
		{flag: "network", value: "status.prod", names: []string{"bootstrap", "network"}},
		{flag: "cluster", value: "17", names: []string{"cluster", "network"}},
		{flag: "shard", value: "64"},
		{flag: "num-shards", value: "8"},
		{flag: "time-window", value: "20s"},
		{flag: "protected-shard", value: "32:" + signer.Public().String()},
		{flag: "listen", value: "/ip4/127.0.0.1/tcp/0/ws"},
		{flag: "announce", value: "/ip4/192.0.2.1/tcp/1"},
		{flag: "ws", value: "127.0.0.1:0", names: []string{"listen"}},
		{flag: "wss", value: "127.0.0.1:0", more: []string{"--acme-domain=waku.example"}, names: []string{"listen", "acme-domain"}},
		{flag: "tls-cert", value: cert, more: []string{"--tls-key=" + private}, names: []string{"tls-cert", "tls-key"}},
		{flag: "tls-key", value: private, more: []string{"--tls-cert=" + cert}, names: []string{"tls-cert", "tls-key"}},
		{flag: "acme-domain", value: "waku.example"},
		{flag: "acme-email", value: "operator@waku.example"},
		{flag: "nat", value: "holepunch"},
		{flag: "nat-relay", value: other},
		{flag: "max-connections", value: "99"},
		{flag: "store-rate", value: "7"},
		{flag: "filter-rate", value: "7"},
		{flag: "lightpush-rate", value: "7"},
		{flag: "peer", value: other, names: []string{}},
		{flag: "bootstrap", value: other},
		{flag: "discv5", value: "127.0.0.1:0"},
		{flag: "mdns", value: "false", names: []string{}}, // is off already on loopback
		{flag: "store-url", value: "sqlite:" + filepath.Join(dir, "archive")},
		{flag: "store-retention", value: "7d", names: []string{}},
		{flag: "rest", value: "127.0.0.1:0"},
		{flag: "rest-admin", value: "false"},
		{flag: "rest-allow-origin", value: "https://waku.example"},
		{flag: "rest-host", value: "waku.example"},
		{flag: "metrics", value: "127.0.0.1:0"},
		{flag: "print-config", names: []string{}}, // is no setting
		{flag: "nodekey-file", value: filepath.Join(dir, "another.key")},
	} {
		if !untried[c.flag] {
			t.Errorf("there is no --%s, or it is here twice", c.flag)
		}
		delete(untried, c.flag)
		if c.value == "" {
			continue
		}
		want := c.names
		if want == nil {
			want = []string{c.flag}
		}
		fixed, err := n.Reload(settingsOf(t, dir, append(c.more, "--"+c.flag+"="+c.value, "--shard=32")...))
		fixed = slices.DeleteFunc(fixed, func(name string) bool { return name == "peer" }) // of the one tried before
		if slices.Sort(fixed); err != nil || !slices.Equal(fixed, slices.Sorted(slices.Values(want))) {
			t.Errorf("--%s is changed: %q need a restart, want %q; %v", c.flag, fixed, want, err)
		}
	}
	for name := range untried {
		t.Errorf("what becomes of a change of --%s?", name)
	}
}
