package storesync

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"

	"github.com/parley-im/parley/internal/simnet"
)

// TestCluster: of three stores one is cut off for an hour while messages
// arrive at the others and, a few, at it alone; each of the two others misses
// some too. With the periodic synchronization alone all three are equal within
// half an hour of its return, and what that costs stays near the messages that
// had to move.
func TestCluster(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		net, err := mocknet.FullMeshLinked(3)
		if err != nil {
			t.Fatal(err)
		}
		hosts := net.Hosts()
		archives := make([]*memory, 3)
		reports := make(chan Report, 1000)
		var services []*Service
		for i, h := range hosts {
			archives[i] = archiveOf(t)
			services = append(services, serve(t, h, archives[i], func(c *Config) {
				c.Interval, c.Window = 0, 2*time.Hour
				c.Peers = h.Network().Peers
				c.Done = func(_ peer.ID, r Report, err error) { reports <- r }
			}))
		}
		join := func(i, j int) {
			if _, err := net.ConnectPeers(hosts[i].ID(), hosts[j].ID()); err != nil {
				t.Fatal(err)
			}
		}
		join(0, 1)
		const messages = 1800
		missing := 0
		for i := range messages {
			e := entry(topicA, time.Now(), i)
			for j, a := range archives {
				switch {
				case i%100 == 0 && j != 2, // heard by the third one alone
					i%100 != 0 && j == 2,     // cut off
					i%50 == 1 && j == i/50%2: // lost on the way to one
					missing++
					continue
				}
				if err := a.Insert(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(2 * time.Second)
		}
		if n := len(archives[2].all()); n != messages/100 {
			t.Fatalf("the third one holds %d messages", n)
		}
		join(0, 2)
		join(1, 2)
		healed := time.Now()
		equal := func() bool {
			for _, a := range archives {
				if len(a.all()) != messages {
					return false
				}
			}
			return true
		}
		for !equal() && time.Since(healed) < 30*time.Minute {
			<-time.After(10 * time.Second)
		}
		sameArchives(t, messages, archives...)
		for _, s := range services {
			_ = s.Close()
		}
		close(reports)
		var total Report
		for r := range reports {
			total.add(r)
		}
		// Every session is reported by both ends: bytes in and out are the
		// payloads once, in either direction.
		if total.Sent < missing || total.Sent > 2*missing {
			t.Errorf("%d messages sent, %d were missing", total.Sent, missing)
		}
		perMessage := float64(total.BytesOut) / float64(missing)
		if perMessage > 1000 {
			t.Errorf("%.0f bytes of payloads for each message that was missing", perMessage)
		}
		t.Logf("%d missing; %s until equal; %d sessions, %d rounds, %d bytes of payloads (%.0f a message), %d messages of %d bytes sent (%.2f times)",
			missing, time.Since(healed), total.Sessions, total.Rounds, total.BytesOut, perMessage,
			total.Sent, total.BytesSent, float64(total.Sent)/float64(missing))
		_ = net.Close()
	})
}
