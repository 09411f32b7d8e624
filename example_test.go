package parley_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
)

// Two clients on a network of their own: a service node, and nothing outside
// this process.
func Example() {
	ctx := context.Background()
	network, err := parley.LoadNetwork("local")
	if err != nil {
		log.Fatal(err)
	}
	service, err := parley.Serve(parley.ServiceConfig{Cluster: network.Cluster, Shards: network.AllShards()})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()

	alice := exampleClient(ctx, network, service, "Alice")
	defer alice.Close()
	bobby := exampleClient(ctx, network, service, "Bobby")
	defer bobby.Close()

	if _, err := alice.Send(ctx, bobby.Self().String(), "hello", parley.SendOptions{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("Bobby got:", nextText(ctx, bobby))
	// Output: Bobby got: hello
}

// An account is made once, with words to write down, and opened with its
// password from then on.
func exampleClient(ctx context.Context, network parley.Network, service *parley.ServiceNode, name string) *parley.Client {
	dir, err := os.MkdirTemp("", "parley-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := account.OpenStore(dir, account.StoreConfig{})
	if err != nil {
		log.Fatal(err)
	}
	words, err := account.NewMnemonic(account.DefaultWords, rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	acc, err := store.Create(account.Spec{Name: name, Mnemonic: words, Created: time.Now()}, "correct horse battery staple")
	if err != nil {
		log.Fatal(err)
	}
	// Without a DataDir the client keeps everything in memory.
	client, err := parley.Open(ctx, parley.Config{
		Account: acc,
		Network: network,
		Mode:    parley.Light,
		Peers:   service.Addrs(),
		Stores:  service.Addrs(),
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// nextText follows the event stream until somebody writes.
func nextText(ctx context.Context, c *parley.Client) (text string) {
	done := errors.New("done")
	err := c.Events(ctx, 0, true, func(e parley.Event) error {
		data, err := e.Decode()
		if err != nil {
			return err
		}
		m, ok := data.(*parley.Message)
		if !ok || e.Type != parley.EventMessage || m.From == c.Self() {
			return nil
		}
		text = m.Text
		return done
	})
	if !errors.Is(err, done) {
		log.Fatal(err)
	}
	return text
}

// A bot that answers everybody and loses nothing: it remembers the last event
// it has dealt with and goes on from there after a restart.
func ExampleClient_Events() {
	var client *parley.Client // from parley.Open
	var since uint64          // from where the bot keeps it

	answer := func(e parley.Event) error {
		data, err := e.Decode()
		if err != nil {
			return err
		}
		if m, ok := data.(*parley.Message); ok && e.Type == parley.EventMessage && m.From != client.Self() {
			if _, err := client.Send(context.Background(), m.From.String(), "You said: "+m.Text, parley.SendOptions{ReplyTo: m.ID.String()}); err != nil {
				return err
			}
		}
		since = e.Seq // write it down
		return nil
	}
	if client != nil {
		log.Fatal(client.Events(context.Background(), since, true, answer))
	}
}

// Networks are presets or JSON files.
func ExampleLoadNetwork() {
	n, err := parley.LoadNetwork("status.prod")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n.Cluster, n.Shards.GlobalContent)
	// Output: 16 [32]
}
