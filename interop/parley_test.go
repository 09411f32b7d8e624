package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// parley is a Parley node: the process `parley node`.
type parley struct {
	t *testing.T
	// What it prints when it is ready.
	PeerID     string   `json:"peer_id"`
	Multiaddrs []string `json:"multiaddrs"`
	ENR        string   `json:"enr"`
	REST       string   `json:"rest"`
}

// startParley starts `parley node` for one shard, with a REST API and without
// limits, unless args say otherwise. The network is the one named local, for
// the size of its messages: go-waku's default.
func startParley(t *testing.T, args ...string) *parley {
	t.Helper()
	p := &parley{t: t}
	launch(t, p, append([]string{
		"node", "--network", "local", "--cluster", "16", "--shard", "32",
		"--listen", "/ip4/127.0.0.1/tcp/0", "--rest", "127.0.0.1:0", "--lightpush-rate", "0",
	}, args...)...)
	if p.tcp() == "" || p.REST == "" {
		t.Fatalf("parley has said %+v", p)
	}
	return p
}

// launch starts parley, reads the line of JSON that says that it is ready, and
// ends it with the test, as ctrl-c does. It must end well.
func launch(t *testing.T, ready any, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = environment(t)
	var log lines
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		first <- line
		_, _ = r.WriteTo(&log) // until the process ends
		ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("parley %s: %v", args[0], err)
			}
		case <-timer.C:
			_ = cmd.Process.Kill()
			<-ended
			t.Errorf("parley %s did not end", args[0])
		}
		if t.Failed() {
			t.Logf("parley %s:\n%s", strings.Join(args, " "), log.String())
		}
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line := <-first:
		if err := json.Unmarshal([]byte(line), ready); err != nil {
			t.Fatalf("parley %s is ready with %q: %v", args[0], line, err)
		}
	case <-timer.C:
		t.Fatalf("parley %s is not ready", args[0])
	}
}

// environment is that of this process without settings of Parley, and with
// folders of the test's own.
func environment(t *testing.T) []string {
	home := t.TempDir()
	env := []string{"HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "PARLEY_") && !strings.HasPrefix(name, "XDG_") && name != "HOME" {
			env = append(env, v)
		}
	}
	return env
}

// lines collects what a process prints.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tcp is the node's address for plain TCP.
func (p *parley) tcp() string {
	for _, a := range p.Multiaddrs {
		if strings.Contains(a, "/tcp/") && !strings.Contains(a, "/ws") {
			return a
		}
	}
	return ""
}

func (p *parley) id() peer.ID {
	id, err := peer.Decode(p.PeerID)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}
