package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
)

// TestServerTurns: a peer whose answers are not read has MaxBusy of them made
// and no more, other peers are answered, and the next turn comes when one is
// over.
func TestServerTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const busyMax, streams = 3, 10
		made := make(map[peer.ID]int)
		started := make(chan peer.ID, 100)
		observe, seen := watch()
		s := serve(t, shelf{}, Config{MaxBusy: busyMax, Timeout: 10 * time.Second, Observe: observe},
			func(_ context.Context, p peer.ID, read func(proto.Message) error) (proto.Message, error) {
				started <- p
				return text("answer"), read(text(""))
			})
		count := func(p peer.ID) int {
			synctest.Wait()
			for len(started) > 0 {
				made[<-started]++
			}
			return made[p]
		}
		for range streams {
			near, _ := dial(s, "slow")
			if _, err := near.Write([]byte{0}); err != nil {
				t.Fatal(err)
			}
		}
		if n := count("slow"); n != busyMax {
			t.Errorf("%d answers made for nobody, at most %d", n, busyMax)
		}
		near, _ := dial(s, "other")
		if _, err := near.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 100)
		if n, err := near.Read(answer); n == 0 || err != nil || count("other") != 1 {
			t.Errorf("another peer: %d bytes, %v", n, err)
		}
		if x := observed(t, seen); x.Peer != "other" || x.Err != nil {
			t.Errorf("observed %+v", x)
		}
		// Those under way end after Timeout; of the others as many are in
		// turn, and the rest waited too long.
		<-time.After(10*time.Second + time.Millisecond)
		synctest.Wait()
		var late, unread int
		for len(seen) > 0 {
			switch x := <-seen; {
			case errors.Is(x.Err, ErrBusy):
				late++
			case x.Err != nil:
				unread++
			}
		}
		if unread < busyMax || late+count("slow") != streams {
			t.Errorf("%d unread, %d too late, %d made", unread, late, count("slow"))
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		if len(s.busy.peers) != 0 || s.Load().Streams != 0 {
			t.Errorf("%d peers and %d streams remembered", len(s.busy.peers), s.Load().Streams)
		}
	})
}
