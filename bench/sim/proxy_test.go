package sim

import (
	"io"
	"net"
	"testing"
	"time"
)

// A proxy carries bytes in order both ways, is cut and mended, and holds.
func TestProxy(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	p, err := newProxy(server.Addr().String(), stream(1, "test"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.set(Links{Latency: Duration(20 * time.Millisecond), Jitter: Duration(20 * time.Millisecond), Bandwidth: 10e6})
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		return c
	}
	sent := make([]byte, 100<<10)
	for i := range sent {
		sent[i] = byte(i * i >> 8)
	}
	c := dial()
	began := time.Now()
	go c.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != string(sent) {
		t.Fatalf("what came back is another: %v", err)
	}
	// A hundred kilobytes at ten megabits a second.
	if took := time.Since(began); took < 80*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	p.sever(true)
	if _, err := c.Read(got); err == nil {
		t.Error("a cut line carries")
	}
	c = dial()
	if _, err := c.Read(got); err == nil {
		t.Error("a cut line takes connections")
	}
	p.sever(false)
	p.hold(time.Now().Add(200 * time.Millisecond))
	c = dial()
	defer c.Close()
	began = time.Now()
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, got[:1]); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("held, and there after %v", took)
	}
}
