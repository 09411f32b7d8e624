package mplex

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	mplex "github.com/libp2p/go-mplex"
)

// pair returns two ends of one session.
func pair(t *testing.T) (client, server network.MuxedConn) {
	t.Helper()
	a, b := net.Pipe()
	client, err := Transport{}.NewConn(a, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err = Transport{}.NewConn(b, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

func streams(t *testing.T, client, server network.MuxedConn) (a, b network.MuxedStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := client.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b, err = server.AcceptStream()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []network.MuxedStream{a, b} {
		if err := s.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func TestRequestAndResponse(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	a, b := streams(t, client, server)
	request, response := bytes.Repeat([]byte("q"), 100_000), bytes.Repeat([]byte("r"), 300_000)
	served := make(chan error, 1)
	go func() {
		got, err := io.ReadAll(b)
		if err == nil && !bytes.Equal(got, request) {
			err = errors.New("another request arrived")
		}
		if err == nil {
			_, err = b.Write(response)
		}
		served <- errors.Join(err, b.Close())
	}()
	if _, err := a.Write(request); err != nil {
		t.Fatal(err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(a)
	if err != nil || !bytes.Equal(got, response) {
		t.Fatalf("read %d bytes, error %v", len(got), err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func TestResetIsLibp2ps(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	a, b := streams(t, client, server)
	if err := a.ResetWithError(network.StreamRateLimited); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, network.ErrReset) {
		t.Fatalf("read on a reset stream: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, network.ErrReset) {
		t.Fatalf("write on a reset stream: %v", err)
	}
}

func TestConn(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	var session *mplex.Multiplex
	if !client.As(&session) || session == nil {
		t.Error("the session below is not found")
	}
	var other *int
	if client.As(&other) {
		t.Error("the session passes for an int")
	}
	if client.IsClosed() {
		t.Error("closed before it was")
	}
	if err := client.CloseWithError(0); err != nil {
		t.Fatal(err)
	}
	if !client.IsClosed() {
		t.Error("open after it was closed")
	}
	if _, err := server.AcceptStream(); err == nil {
		t.Error("a closed session gave a stream")
	}
	if _, err := client.OpenStream(t.Context()); err == nil {
		t.Error("a closed session opened a stream")
	}
}
