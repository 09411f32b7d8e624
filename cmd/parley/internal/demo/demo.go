// Package demo is the newcomer's first minute: a Waku network of one service
// node and two people on it, one with a full and one with a light client, who
// become contacts and talk. Everything is real and on loopback; only the people
// are made up.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/server"
	"github.com/parley-im/parley/stack"
)

// Step is something that happened.
type Step struct {
	// At is the time since the start.
	At time.Duration `json:"-"`
	// Seconds is At for JSON.
	Seconds float64 `json:"seconds"`
	// Kind is network, person, contact, said, wire, restart or result.
	Kind string `json:"kind"`
	Who  string `json:"who,omitempty"`
	Text string `json:"text"`
	// Key and Page belong to kind person.
	Key  string `json:"key,omitempty"`
	Page string `json:"page,omitempty"`
	// The envelope of kind wire.
	Envelope     string `json:"envelope,omitempty"`
	PubsubTopic  string `json:"pubsub_topic,omitempty"`
	ContentTopic string `json:"content_topic,omitempty"`
	Bytes        int    `json:"bytes,omitempty"`
	Peers        int    `json:"peers,omitempty"`
}

// patience bounds every wait of the script.
const patience = 45 * time.Second

// ErrLost means that a message did not arrive, arrived twice or was not
// acknowledged.
var ErrLost = errors.New("messages were lost")

// Demo is a running demonstration.
type Demo struct {
	start  time.Time
	mu     sync.Mutex
	report func(Step)

	dir     string
	network parley.Network
	service *parley.ServiceNode
	people  []*person
}

// Start brings up the network and both people; report sees every step.
func Start(ctx context.Context, report func(Step)) (_ *Demo, err error) {
	d := &Demo{start: time.Now(), report: report}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if d.dir, err = os.MkdirTemp("", "parley-demo-"); err != nil {
		return nil, err
	}
	if d.network, err = parley.LoadNetwork(stack.NetworkLocal); err != nil {
		return nil, err
	}
	if d.service, err = parley.Serve(parley.ServiceConfig{Cluster: d.network.Cluster, Shards: d.network.AllShards()}); err != nil {
		return nil, err
	}
	d.step(Step{Kind: "network", Who: "service", Text: "a Waku node with relay, store, filter and lightpush at " + d.service.Addrs()[0]})
	for _, p := range []struct {
		name string
		mode parley.Mode
	}{{"Alice", parley.Full}, {"Bobby", parley.Light}} {
		if err := d.join(ctx, p.name, p.mode); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Demo) step(s Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.At = time.Since(d.start)
	s.Seconds = s.At.Seconds()
	d.report(s)
}

// Close stops everybody and removes what they wrote.
func (d *Demo) Close() error {
	var errs []error
	for _, p := range d.people {
		errs = append(errs, p.leave())
	}
	if d.service != nil {
		errs = append(errs, d.service.Close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// person is one of the two, over restarts.
type person struct {
	demo    *Demo
	account *account.Account
	mode    parley.Mode
	token   string
	listen  string // of the web page, kept over restarts

	*parley.Client
	server *http.Server
}

func (d *Demo) join(ctx context.Context, name string, mode parley.Mode) error {
	store, err := account.OpenStore(filepath.Join(d.dir, name), account.StoreConfig{})
	if err != nil {
		return err
	}
	phrase, err := account.NewMnemonic(account.DefaultWords, rand.Reader)
	if err != nil {
		return err
	}
	p := &person{demo: d, mode: mode, token: secret(), listen: "127.0.0.1:0"}
	if p.account, err = store.Create(account.Spec{Name: name, Mnemonic: phrase, Created: time.Now()}, secret()); err != nil {
		return err
	}
	d.people = append(d.people, p)
	if err := p.arrive(ctx); err != nil {
		return err
	}
	d.step(Step{
		Kind: "person", Who: name, Key: p.Self().String(), Page: server.PageURL("http://"+p.listen, p.token),
		Text: fmt.Sprintf("joins with a %s client, known to others as %s", mode, account.Alias(p.Self())),
	})
	return nil
}

// secret is a random password or token.
func secret() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// arrive opens the person's client and web page.
func (p *person) arrive(ctx context.Context) (err error) {
	p.Client, err = parley.Open(ctx, parley.Config{
		Account:   p.account,
		DataDir:   filepath.Join(p.demo.dir, p.account.Name),
		Network:   p.demo.network,
		Mode:      p.mode,
		Peers:     p.demo.service.Addrs(),
		Stores:    p.demo.service.Addrs(),
		OnTraffic: p.traffic,
	})
	if err != nil {
		return err
	}
	handler, err := server.New(server.Config{Client: p.Client, Token: p.token})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", p.listen)
	if err != nil {
		return err
	}
	p.listen = listener.Addr().String()
	p.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go p.server.Serve(listener)
	return nil
}

// leave ends the person's process, as far as this process can.
func (p *person) leave() (err error) {
	if p.server != nil {
		err = p.server.Close()
		p.server = nil
	}
	if p.Client != nil {
		err = errors.Join(err, p.Client.Close())
		p.Client = nil
	}
	return err
}

func (p *person) traffic(t parley.Traffic) {
	if !t.Out {
		return
	}
	road := "by relay"
	if p.mode == parley.Light {
		road = "by lightpush"
	}
	p.demo.step(Step{
		Kind: "wire", Who: p.account.Name, Text: road,
		Envelope: t.Hash.String(), PubsubTopic: t.PubsubTopic, ContentTopic: t.Message.GetContentTopic(), Bytes: t.Bytes, Peers: t.Peers,
	})
}
