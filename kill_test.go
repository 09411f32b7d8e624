package parley_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
)

const (
	// killChild in the environment makes this program one of the talkers.
	killChild = "PARLEY_KILL_TEST_CHILD"
	// killMessages are exchanged in all, half in each direction.
	killMessages = 1000
	// killTimes is how often a talker is killed.
	killTimes = 12
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(killChild); spec != "" {
		if err := talk(spec); err != nil {
			fmt.Fprintln(os.Stderr, "talker:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// talker is what a child process is told.
type talker struct {
	Dir, ID, Peer string
	Service       []string
	Light         bool
}

// talk is a child: it sends its half of the messages, going on from what its
// database says it has sent, and reports how far it is.
func talk(spec string) error {
	var c talker
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	store, err := account.OpenStore(c.Dir, account.StoreConfig{})
	if err != nil {
		return err
	}
	acc, err := store.Open(c.ID, "secret")
	if err != nil {
		return err
	}
	network, err := parley.LoadNetwork("local")
	if err != nil {
		return err
	}
	ctx := context.Background()
	mode := parley.Full
	if c.Light {
		mode = parley.Light
	}
	client, err := parley.Open(ctx, parley.Config{
		Account: acc, DataDir: c.Dir, Network: network, Mode: mode, Peers: c.Service, Stores: c.Service,
	})
	if err != nil {
		return err
	}
	for {
		sent, received, delivered, err := count(ctx, client)
		if err != nil {
			return err
		}
		fmt.Printf("%d %d %d\n", len(sent), len(received), delivered)
		for i := len(sent); i < min(len(sent)+10, killMessages/2); i++ {
			if _, err := client.Send(ctx, c.Peer, fmt.Sprint(i), parley.SendOptions{}); err != nil {
				return err
			}
		}
		select {
		case <-client.Done():
			return client.Close()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// count reads from the database what was sent, received and delivered.
func count(ctx context.Context, client *parley.Client) (sent, received []string, delivered int, err error) {
	all, err := client.Messages(ctx, "", 0, 0)
	for _, m := range all {
		switch {
		case m.From != client.Self():
			received = append(received, m.Text)
		default:
			sent = append(sent, m.Text)
			if m.State == "delivered" {
				delivered++
			}
		}
	}
	return sent, received, delivered, err
}

// child is a running talker.
type child struct {
	cmd      *exec.Cmd
	progress chan [3]int
}

func start(t *testing.T, spec talker) *child {
	t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0]), progress: make(chan [3]int, 1)}
	c.cmd.Env = append(os.Environ(), killChild+"="+string(raw))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.read(out)
	return c
}

// read keeps the newest line of the talker for whoever asks.
func (c *child) read(out io.Reader) {
	defer close(c.progress)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var p [3]int
		if _, err := fmt.Sscan(lines.Text(), &p[0], &p[1], &p[2]); err != nil {
			continue
		}
		select {
		case <-c.progress:
		default:
		}
		c.progress <- p
	}
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// Two processes exchange a thousand messages and are killed (SIGKILL) again and
// again at random moments. Nothing is lost, nothing is there twice.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	service := serve(t)
	names := []string{"Alice", "Bobby"}
	specs := make([]talker, 2)
	for i, name := range names {
		dir := filepath.Join(t.TempDir(), name)
		acc := newAccount(t, dir, name)
		specs[i] = talker{Dir: dir, ID: acc.ID, Service: service.Addrs(), Light: i == 1}
	}
	specs[0].Peer, specs[1].Peer = specs[1].ID, specs[0].ID

	children := []*child{start(t, specs[0]), start(t, specs[1])}
	defer func() {
		for _, c := range children {
			c.kill()
		}
	}()
	deadline := time.After(4 * time.Minute)
	kills := 0
	next := time.NewTimer(300 * time.Millisecond)
	var now [2][3]int
	half := killMessages / 2
	for now[0] != [3]int{half, half, half} || now[1] != [3]int{half, half, half} {
		var ok [2]bool
		select {
		case <-deadline:
			t.Fatalf("after %d kills: sent, received, delivered: %v", kills, now)
		case now[0], ok[0] = <-children[0].progress:
			if !ok[0] {
				t.Fatal("the first talker ended by itself")
			}
		case now[1], ok[1] = <-children[1].progress:
			if !ok[1] {
				t.Fatal("the second talker ended by itself")
			}
		case <-next.C:
			if kills == killTimes {
				continue
			}
			kills++
			i := mathrand.IntN(2)
			children[i].kill()
			children[i] = start(t, specs[i])
			next.Reset(time.Duration(100+mathrand.IntN(900)) * time.Millisecond)
		}
	}
	if kills < 3 {
		t.Errorf("only %d kills before all was done", kills)
	}
	for i, c := range children {
		c.kill()
		check(t, names[i], specs[i])
	}
}

// check reads a dead talker's database and compares it with what both said.
func check(t *testing.T, name string, spec talker) {
	t.Helper()
	store, err := account.OpenStore(spec.Dir, account.StoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	acc, err := store.Open(spec.ID, "secret")
	if err != nil {
		t.Fatal(err)
	}
	client, err := parley.Open(t.Context(), parley.Config{Account: acc, DataDir: spec.Dir, Network: localNetwork(t), Bootstrap: []string{"none"}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sent, received, _, err := count(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range killMessages / 2 {
		want = append(want, fmt.Sprint(i))
	}
	for what, got := range map[string][]string{"sent": sent, "received": received} {
		if !slices.Equal(got, want) {
			t.Errorf("%s %s %s", name, what, strings.Join(got, " "))
		}
	}
}
