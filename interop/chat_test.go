package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// person is an account with its light client: the process `parley run`.
type person struct {
	t        *testing.T
	name     string
	dir      string
	password string
	ID       string `json:"id"`
}

// newPerson makes an account and starts its client in a network, connected with
// one node.
func newPerson(t *testing.T, name, network, node string) *person {
	t.Helper()
	p := &person{t: t, name: name, dir: t.TempDir()}
	p.password = filepath.Join(p.dir, "password")
	if err := os.WriteFile(p.password, []byte("a password of the test"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(p.must("account", "create", "--name", name, "--password-file", p.password, "--json")), p); err != nil {
		t.Fatal(err)
	}
	launch(t, new(map[string]any), "run", "--data-dir", p.dir, "--password-file", p.password, "--json",
		"--mode", "light", "--network", network, "--peer", node, "--api-listen", "127.0.0.1:0")
	return p
}

// do runs a command of the person's and returns what it prints.
func (p *person) do(args ...string) (string, error) {
	cmd := exec.CommandContext(within(p.t), program, append(args, "--data-dir", p.dir)...)
	cmd.Env = environment(p.t)
	out, err := cmd.Output()
	if failed, ok := err.(*exec.ExitError); ok {
		p.t.Logf("%s: parley %s: %v: %s", p.name, strings.Join(args, " "), err, failed.Stderr)
	}
	return string(out), err
}

func (p *person) must(args ...string) string {
	p.t.Helper()
	out, err := p.do(args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// sees waits until a command of the person's prints a text.
func (p *person) sees(text string, args ...string) {
	p.t.Helper()
	waitEach(p.t, 250*time.Millisecond, p.name+" sees "+text, func() bool {
		out, err := p.do(args...)
		return err == nil && strings.Contains(out, text)
	})
}

// oneShard writes the description of a network in which everything is on one
// shard, as deployed clients have it.
func oneShard(t *testing.T) string {
	t.Helper()
	one := []int{shard}
	raw, err := json.Marshal(map[string]any{"name": "interop", "cluster": cluster, "shards": map[string]any{
		"global_control": one, "global_content": one, "community_control": one,
		"community_request": one, "community_content": one, "local": one, "listen": one,
	}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "network.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Two of our light clients talk to each other with nobody between them but
// go-waku, whose filter and lightpush have the limits of deployed nodes: one
// request a second. There is no store that they could ask.
func TestLightClientsOfWaku(t *testing.T) {
	t.Parallel()
	service := startWaku(t, []uint16{shard}, gowaku.Relay(frame), gowaku.Services())
	neighbour := startWaku(t, []uint16{shard}, gowaku.Relay(frame))
	if err := neighbour.DialPeer(within(t), service.TCP()); err != nil {
		t.Fatal(err)
	}
	wait(t, "relay peers", func() bool { return len(service.Relay().PubSub().ListPeers(topic)) == 1 })
	network := oneShard(t)
	ada, bob := newPerson(t, "Ada Lovelace", network, service.TCP()), newPerson(t, "Bob Babbage", network, service.TCP())
	ada.must("contact", "add", bob.ID, "--message", "It is Ada")
	bob.sees("It is Ada", "messages")
	bob.must("contact", "accept", ada.ID)
	ada.sees(`"state":"mutual"`, "contact", "list", "--json")
	ada.must("send", bob.ID, "Hello Bob", "--wait", "delivered", "--timeout", patience.String())
	bob.must("send", ada.ID, "Hello Ada", "--wait", "delivered", "--timeout", patience.String())
	ada.sees("Hello Ada", "messages", bob.ID)
	bob.sees("Hello Bob", "messages", ada.ID)
}
