package main

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
)

// A service node takes frames as large as the network it serves: of the known
// networks of its cluster where none is named.
func TestNodeServesTheNetworksFrames(t *testing.T) {
	t.Parallel()
	load := func(name string) parley.Network {
		network, err := parley.LoadNetwork(name)
		if err != nil {
			t.Fatal(err)
		}
		return network
	}
	prod, local := load("status.prod"), load("local")
	both := slices.Concat(prod.AllShards(), local.AllShards())
	slices.Sort(both)
	both = slices.Compact(both)
	for name, c := range map[string]struct {
		flags  nodeFlags
		shards []uint16
		frame  int
	}{
		"nothing said":    {nodeFlags{cluster: prod.Cluster}, both, prod.MaxFrame},
		"shards":          {nodeFlags{cluster: prod.Cluster, shards: []uint{64}}, []uint16{64}, prod.MaxFrame},
		"another cluster": {nodeFlags{cluster: prod.Cluster + 1, shards: []uint{64}}, []uint16{64}, 0},
		"status.prod":     {nodeFlags{network: "status.prod"}, prod.AllShards(), prod.MaxFrame},
		"local":           {nodeFlags{network: "local"}, local.AllShards(), local.MaxFrame},
	} {
		c.flags.relay, c.flags.store, c.flags.filter, c.flags.lightpush = true, true, true, true
		got, err := c.flags.config(&cobra.Command{}, nil)
		if err != nil || !slices.Equal(got.Shards, c.shards) || got.MaxFrame != c.frame {
			t.Errorf("%s: shards %v, frames of %d bytes, %v", name, got.Shards, got.MaxFrame, err)
		}
	}
	if prod.MaxFrame <= local.MaxFrame {
		t.Error("the networks do not differ")
	}
}
