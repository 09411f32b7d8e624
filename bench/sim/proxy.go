package sim

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// proxy stands between two processes: a TCP port that leads to another, with a
// latency and a bandwidth, and that can be cut and held. What TCP repairs itself
// (loss, duplicates, reordering) it leaves alone.
type proxy struct {
	listener net.Listener
	to       string
	// latest properties; read and changed under mu.
	mu     sync.Mutex
	links  Links
	cut    bool
	held   time.Time
	rng    *rand.Rand
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
	closed bool
}

// newProxy opens a port of this machine that leads to an address.
func newProxy(to string, rng *rand.Rand) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, to: to, rng: rng, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.connect(in) })
	}
}

// connect carries one connection until either side ends it, or it is cut.
func (p *proxy) connect(in net.Conn) {
	defer in.Close()
	if !p.keep(in) {
		return
	}
	defer p.drop(in)
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	if !p.keep(out) {
		return
	}
	defer p.drop(out)
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			p.carry(pair[0], pair[1])
			pair[0].Close()
			pair[1].Close()
		})
	}
	both.Wait()
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// chunk is bytes on their way, and when they arrive.
type chunk struct {
	data []byte
	at   time.Time
}

// carry moves bytes in one direction, each after its latency and in order.
func (p *proxy) carry(from, to net.Conn) {
	line := make(chan chunk, 256)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(line)
		var busy time.Time
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				var at time.Time
				busy, at = p.arrival(busy, n)
				line <- chunk{buffer[:n], at}
			}
			if err != nil {
				return
			}
		}
	})
	var err error
	for c := range line {
		if err != nil {
			continue // until the reader has noticed
		}
		time.Sleep(time.Until(c.at))
		if _, err = to.Write(c.data); err != nil {
			from.Close()
		}
	}
	reader.Wait()
}

// arrival is when bytes read now arrive, on a line that is busy.
func (p *proxy) arrival(busy time.Time, n int) (until, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until = latest(busy, time.Now()).Add(p.links.Bandwidth.takes(n))
	return until, latest(until.Add(between(p.rng, p.links.Latency.D(), p.links.Jitter.D())), p.held)
}

// set changes what the line is like.
func (p *proxy) set(links Links) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = links
}

func (p *proxy) hold(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = until
}

// sever cuts the line, or mends it.
func (p *proxy) sever(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut = cut; cut {
		for c := range p.conns {
			c.Close()
		}
	}
}

func (p *proxy) close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
