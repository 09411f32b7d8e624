package parley

import (
	"slices"
	"testing"

	"github.com/parley-im/parley/waku/peers"
)

// What a client wants follows its mode and what it subscribes to.
func TestCompany(t *testing.T) {
	t.Parallel()
	network, err := LoadNetwork("local")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{Full, Light} {
		c := newCompany(mode, network)
		w := c.want()
		if w.Cluster != 16 || !slices.Equal(w.Shards, []uint16{768, 896}) {
			t.Errorf("%s: cluster %d, shards %v", mode, w.Cluster, w.Shards)
		}
		if relays := w.RelayPeers > 0; relays != (mode == Full) || w.Services[peers.Filter] > 0 == relays {
			t.Errorf("%s: %+v", mode, w)
		}
		if w.Services[peers.Lightpush] == 0 || w.Services[peers.Store] == 0 {
			t.Errorf("%s: nobody for messages to itself, or for history: %+v", mode, w)
		}
		c.subscribed(map[string][]string{
			"/waku/2/rs/16/256": {"/a/1/b/c"}, "/waku/2/rs/16/896": {"/a/1/b/c"}, "/waku/2/rs/1/3": {"/a/1/b/c"}, "/other": {"/a/1/b/c"},
		})
		if w := c.want(); !slices.Equal(w.Shards, []uint16{256, 768, 896}) {
			t.Errorf("%s: shards %v", mode, w.Shards)
		}
		c.subscribed(nil)
		if w := c.want(); !slices.Equal(w.Shards, []uint16{768, 896}) {
			t.Errorf("%s: shards %v", mode, w.Shards)
		}
	}
}

// Addresses of private networks count where somebody chose the first nodes,
// or the network is their own.
func TestOwnBootstrap(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"status.prod": true, "status.staging": true, "local": false} {
		network, err := LoadNetwork(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := ownBootstrap(Config{Network: network}); got != want {
			t.Errorf("%s: %v", name, got)
		}
		if ownBootstrap(Config{Network: network, Bootstrap: []string{"none"}}) {
			t.Errorf("%s with other first nodes", name)
		}
	}
}
