package sim

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
	"github.com/parley-im/parley/storage"
)

// process is a program that says in one line of JSON that it is ready.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startTimeout is how long a program may take to be ready.
const startTimeout = time.Minute

// launch starts a program and reads its first line into ready.
func launch(ctx context.Context, log, binary string, ready any, args ...string) (*process, error) {
	cmd := exec.Command(binary, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, make(chan struct{})}
	line := make(chan string, 1)
	go func() {
		scanner := bufio.NewScanner(out)
		scanner.Scan()
		line <- scanner.Text()
		for scanner.Scan() {
		}
		cmd.Wait()
		close(p.exited)
	}()
	select {
	case text := <-line:
		err = json.Unmarshal([]byte(text), ready)
	case <-time.After(startTimeout):
		err = fmt.Errorf("not ready after %v", startTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		p.end(false)
		words, _ := os.ReadFile(log)
		return nil, fmt.Errorf("starting %s: %w: %s", strings.Join(args, " "), err, words)
	}
	return p, nil
}

// end stops a program, or kills it, and waits until it is gone.
func (p *process) end(orderly bool) {
	if orderly {
		p.cmd.Process.Signal(os.Interrupt)
		select {
		case <-p.exited:
			return
		case <-time.After(startTimeout):
		}
	}
	p.cmd.Process.Kill()
	<-p.exited
}

// daemon is a participant as a process.
type daemon struct {
	ctx     context.Context
	name    string
	mode    string
	dir     string
	account *account.Account
	peers   []string
	run     *process
	client  *client.Client
}

// password protects the accounts of a run.
const password = "the laboratory"

func newDaemon(ctx context.Context, name, mode, dir string) (*daemon, error) {
	d := &daemon{ctx: ctx, name: name, mode: mode, dir: filepath.Join(dir, name)}
	kdf := account.KDF{Time: 1, MemoryKiB: account.MinKDFMemoryPerThread, Threads: 1}
	store, err := account.OpenStore(d.dir, account.StoreConfig{KDF: kdf})
	if err != nil {
		return nil, err
	}
	phrase, err := account.NewMnemonic(account.DefaultWords, rand.Reader)
	if err != nil {
		return nil, err
	}
	if d.account, err = store.Create(account.Spec{Name: name, Mnemonic: phrase, Created: time.Now()}, password); err != nil {
		return nil, err
	}
	d.client = client.New(client.Config{DataDir: d.dir})
	return d, os.WriteFile(filepath.Join(d.dir, "password"), []byte(password+"\n"), 0o600)
}

// start starts the daemon; it is the same one after every start.
func (d *daemon) start(binary string) (err error) {
	args := []string{
		"run", "--json", "--data-dir", d.dir, "--password-file", filepath.Join(d.dir, "password"), "--network", "local",
		"--mode", d.mode, "--bootstrap", "none", "--api-listen", "127.0.0.1:0",
	}
	for _, p := range d.peers {
		args = append(args, "--peer", p, "--store", p)
	}
	var ready struct {
		Ready bool `json:"ready"`
	}
	d.run, err = launch(d.ctx, filepath.Join(d.dir, "log"), binary, &ready, args...)
	return err
}

func (d *daemon) end(orderly bool) {
	if d.run != nil {
		d.run.end(orderly)
		d.run = nil
	}
}

// remote is a daemon as an actor.
type remote struct{ *daemon }

func (r remote) AddContact(who key.Public, text string) error {
	_, err := r.client.AddContact(r.ctx, who.String(), text)
	return died(err)
}

func (r remote) AcceptContact(who key.Public) error {
	_, err := r.client.AcceptContact(r.ctx, who.String())
	return died(err)
}

func (r remote) DeclineContact(who key.Public) error {
	_, err := r.client.RejectContact(r.ctx, who.String())
	return died(err)
}

func (r remote) Relation(who key.Public) (contact.State, error) {
	c, err := r.client.Contact(r.ctx, who.String())
	if fault.KindOf(err) == fault.NotFound {
		return contact.None, nil
	}
	return c.State, err
}

func (r remote) CreateGroup(name string, members []key.Public) (string, error) {
	var keys []string
	for _, m := range members {
		keys = append(keys, m.String())
	}
	g, err := r.client.CreateGroup(r.ctx, name, "", keys)
	return g.ID, err
}

// Communities are played in the laboratory alone; see troupe.open.
func (r remote) CreateCommunity(string, int) (k key.Public, ids []string, err error) {
	return k, nil, errLaboratory
}
func (r remote) JoinCommunity(key.Public) error   { return errLaboratory }
func (r remote) Citizens(key.Public) (int, error) { return 0, errLaboratory }

func (r remote) Members(group string) (keys []key.Public, err error) {
	g, err := r.client.Group(r.ctx, group)
	for _, m := range g.Members {
		keys = append(keys, m.Key)
	}
	return keys, err
}

func (r remote) Lines(chat string) (lines []Line, err error) {
	all, err := r.client.Messages(r.ctx, chat, 0, 0)
	for _, m := range all {
		if m.GroupChange == nil { // else nobody said it
			lines = append(lines, Line{m.From, m.Text})
		}
	}
	return lines, err
}

func (r remote) Say(chat, text string) error {
	_, err := r.client.Send(r.ctx, chat, text, parley.SendOptions{})
	return died(err)
}

func (r remote) Events(since uint64) (events []storage.Event, err error) {
	err = r.client.Events(r.ctx, since, false, func(e parley.Event) error {
		events = append(events, storage.Event{Seq: e.Seq, Time: time.UnixMilli(e.Time), Type: e.Type, Data: e.Data})
		return nil
	})
	return events, err
}

// died is what became of a call that nobody answered.
func died(err error) error {
	if fault.KindOf(err) == fault.Unreachable {
		return errDied
	}
	return err
}
