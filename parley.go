// Package parley is the Status protocol stack as a library: a [Client] is one
// account on a Waku network, with contacts, one-to-one chats and a stream of
// events that loses nothing.
//
//	client, err := parley.Open(ctx, parley.Config{Account: acc, Network: network})
//	...
//	defer client.Close()
//	message, err := client.Send(ctx, "zQ3sh…", "hello")
//
// Everything a method reports as done is on disk. Sent messages go on by
// themselves, over restarts, until they are delivered; [Client.Events] tells
// of every step, from any point of the past on.
//
// Compatibility: within a major version fields and event types are added, never
// changed or removed.
package parley

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/finder"
	"github.com/parley-im/parley/waku/node"
)

// Mode chooses what a client does in the network (Status Protocol Stack,
// Resource usage).
type Mode string

const (
	// Full relays for others and serves filter and lightpush.
	Full Mode = "full"
	// Light asks others: filter, lightpush and store.
	Light Mode = "light"
)

// Network is where an account lives; see [LoadNetwork].
type Network = stack.Network

// LoadNetwork returns the network of a preset (status.prod, status.staging,
// local) or of a JSON file.
func LoadNetwork(name string) (Network, error) { return stack.LoadNetwork(name) }

// Config is what Open needs; Account and Network are required.
type Config struct {
	// Account is an opened account; see package account.
	Account *account.Account
	// DataDir keeps the account's database; empty keeps it in memory, and the
	// account forgets everything at Close.
	DataDir string
	Network Network
	// Mode is Full when empty.
	Mode Mode
	// Peers are dialled and kept, multiaddrs with /p2p/….
	Peers []string
	// Stores are asked for history, multiaddrs with /p2p/….
	Stores []string
	// Bootstrap replaces the network's: enrtree://, ENR or multiaddr, looked
	// up in the background. Others are found from there, and as many of all
	// are dialled as the mode needs. A single "none" is nothing.
	Bootstrap []string
	// Listen are multiaddrs; empty is a free TCP port on loopback. Who listens
	// beyond it is found by, and finds, others of the local network.
	Listen []string
	// Bio is shown to contacts beside the account's name.
	Bio string
	// EthereumURL is the JSON-RPC URL of an Ethereum node of the main network,
	// by which ENS names that people claim are looked up. It is a secret, since
	// providers put the key of an account into it: nothing shows it. Empty
	// leaves every name unverified.
	EthereumURL string
	// Log takes the log; nil drops it.
	Log *slog.Logger
	// OnProgress sees the progress of fetching missed messages.
	OnProgress func(Progress)
	// OnTraffic sees every envelope that is published or received.
	OnTraffic func(Traffic)
}

// Traffic is an envelope on the wire.
type Traffic = stack.Traffic

// Progress tells how fetching missed messages goes.
type Progress = stack.Progress

// Reconciliation is how what store nodes have compares with what is here.
type Reconciliation = stack.Reconciliation

// StoreHealth is what is known of one store node by that.
type StoreHealth = stack.StoreHealth

// Client is an account on a network. Its methods are safe for concurrent use.
type Client struct {
	account *account.Account
	mode    Mode
	db      *storage.DB
	node    *node.Node
	finder  *finder.Finder
	company *company
	stack   *stack.Stack
	lock    *flock.Flock
	// unfurler fetches what links lead to, when asked.
	unfurler *unfurler
	// names looks up ENS names; nil without an Ethereum node.
	names ensResolver

	stop func()
	done chan struct{}
	err  error // of the stack, once done is closed
}

// Open starts a client: its node listens and dials, its stack works until
// Close or until ctx ends. It does not wait for a connection; [Client.Status]
// tells of it, and what is sent before waits in the outbox.
//
// A database in use by another process is a fault of kind conflict.
func Open(ctx context.Context, c Config) (_ *Client, err error) {
	if c.Account == nil {
		return nil, fault.New(fault.Usage, "no account given")
	}
	if c.Mode == "" {
		c.Mode = Full
	}
	public := ownBootstrap(c)
	if len(c.Bootstrap) == 0 {
		c.Bootstrap = c.Network.Bootstrap
	}
	if len(c.Bootstrap) == 1 && c.Bootstrap[0] == "none" {
		c.Bootstrap = nil
	}
	if err := discovery.Check(c.Bootstrap); err != nil {
		return nil, fault.Wrap(fault.Usage, "bootstrap nodes", err)
	}
	if c.Mode != Full && c.Mode != Light {
		return nil, fault.New(fault.Usage, "mode %q is neither %q nor %q", c.Mode, Full, Light)
	}
	names, err := dialENS(c.EthereumURL)
	if err != nil {
		return nil, err
	}
	client := &Client{
		account: c.Account, mode: c.Mode, company: newCompany(c.Mode, c.Network), unfurler: newUnfurler(nil), names: names,
		done: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			client.release()
		}
	}()
	if err := client.openDatabase(c); err != nil {
		return nil, err
	}
	nodeConfig, err := client.nodeConfig(c)
	if err != nil {
		return nil, err
	}
	if client.stack, err = stack.New(stack.Config{
		Identity:       c.Account.Chat,
		InstallationID: c.Account.InstallationID,
		Network:        c.Network,
		DB:             client.db,
		Profile:        contact.Profile{DisplayName: c.Account.Name, Bio: c.Bio},
		Log:            c.Log,
		OnProgress:     c.OnProgress,
		OnTraffic:      c.OnTraffic,
	}); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "starting the stack", err)
	}
	choice := new(finder.Choice)
	nodeConfig.Choice = choice.Node()
	if client.node, err = node.New(nodeConfig); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "starting the node", err)
	}
	if err := client.startFinder(c, nodeConfig, choice, public); err != nil {
		return nil, err
	}
	ctx, client.stop = context.WithCancel(ctx)
	go func() {
		defer close(client.done)
		client.err = client.run(ctx, newTransport(ctx, client.node, c.Network.GlobalPublishTopics(), client.subscribed), names)
	}()
	return client, nil
}

// run does what goes on by itself until ctx ends or the database fails.
func (c *Client) run(ctx context.Context, t stack.Transport, names ensResolver) error {
	if names == nil {
		return c.stack.Run(ctx, t)
	}
	ctx, cancel := context.WithCancel(ctx)
	looked := make(chan error, 1)
	go func() {
		defer cancel()
		looked <- lookUpNames(ctx, c.stack, names)
	}()
	err := c.stack.Run(ctx, t)
	cancel()
	return errors.Join(err, <-looked)
}

// DatabaseFile is the path of an account's database below a data directory.
func DatabaseFile(dataDir, accountID string) string {
	return filepath.Join(dataDir, "data", accountID, "parley.db")
}

func (c *Client) openDatabase(cfg Config) (err error) {
	if cfg.DataDir == "" {
		c.db = storage.NewMemory()
		return nil
	}
	path := DatabaseFile(cfg.DataDir, cfg.Account.ID)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(fault.Internal, "making the data directory", err)
	}
	if c.lock, err = lockFile(path + ".lock"); err != nil {
		return err
	}
	c.db, err = storage.Open(path, cfg.Account.DatabaseKey())
	return err
}

// nodeConfig turns the client's configuration into its node's.
func (c *Client) nodeConfig(cfg Config) (n node.Config, err error) {
	if n.Key, err = c.nodeKey(); err != nil {
		return n, err
	}
	if n.Peers, err = parsePeers("--peer", cfg.Peers); err != nil {
		return n, err
	}
	stores := cfg.Stores
	if len(stores) == 0 {
		stores = cfg.Network.Stores
	}
	if n.StorePeers, err = parsePeers("--store", stores); err != nil {
		return n, err
	}
	n.Mode = node.Mode(c.mode)
	n.Cluster, n.Shards = cfg.Network.Cluster, cfg.Network.GlobalShards()
	n.MaxFrame = cfg.Network.MaxFrame
	n.Listen = cfg.Listen
	n.Logger = cfg.Log
	return n, nil
}

// nodeKey returns the node's own key, which is not the account's; it is kept
// so that others know the node again after a restart.
func (c *Client) nodeKey() (k crypto.PrivKey, err error) {
	const name = "libp2p"
	err = c.db.Update(func(tx *storage.Tx) error {
		raw, ok, err := tx.Core("node").Get(name)
		if err != nil {
			return err
		}
		if ok {
			k, err = crypto.UnmarshalPrivateKey(raw)
			return err
		}
		if k, _, err = crypto.GenerateEd25519Key(rand.Reader); err != nil {
			return err
		}
		if raw, err = crypto.MarshalPrivateKey(k); err != nil {
			return err
		}
		return tx.Core("node").Put(name, raw)
	})
	return k, err
}

// Close stops the client; everything reported as done is kept.
func (c *Client) Close() error {
	if c.stop != nil {
		c.stop()
		<-c.done
	}
	return errors.Join(c.err, c.release())
}

func (c *Client) release() (err error) {
	if c.finder != nil {
		err = c.finder.Close()
	}
	if c.node != nil {
		err = errors.Join(err, c.node.Close())
	}
	if c.db != nil {
		err = errors.Join(err, c.db.Close())
	}
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
	}
	return err
}

// Done is closed when the client has stopped by itself, because its context
// ended or its database failed; Close then returns the cause.
func (c *Client) Done() <-chan struct{} { return c.done }

// Account returns the account the client was opened with.
func (c *Client) Account() *account.Account { return c.account }

// Self returns the account's public key.
func (c *Client) Self() key.Public { return c.account.Chat.Public() }

// Status is what a client knows of its own state.
type Status struct {
	Key     key.Public `json:"key"`
	Account string     `json:"account"`
	Name    string     `json:"name"`
	Mode    Mode       `json:"mode"`
	Network string     `json:"network"`
	// Pending envelopes wait in the outbox.
	Pending int `json:"pending"`
	// LastEvent is the newest sequence number of the event stream.
	LastEvent uint64 `json:"last_event"`
	// History is the running or the last fetch of missed messages.
	History Progress `json:"history"`
	// Reconciliation is how what store nodes have compares with what is here.
	Reconciliation Reconciliation `json:"reconciliation"`
	// Dropped counts what was dropped or skipped since the start, by cause.
	Dropped map[string]uint64 `json:"dropped"`
	// Sessions are those with devices of others that are broken, or were within
	// the last 30 days and are healed.
	Sessions []BrokenSession `json:"sessions,omitempty"`
	// Synced is what data synchronisation took since the start.
	Synced Synced      `json:"synced"`
	Node   node.Status `json:"node"`
	Time   time.Time   `json:"time"`
}

// BrokenSession is a session that is broken, or was and is healed.
type BrokenSession = view.Session

// Synced is what data synchronisation took, by direction, kind and peer, and in
// the channels of communities.
type Synced = stack.Synced

// CommunitySynced is what the channel of one community took.
type CommunitySynced = stack.CommunitySynced

// Status returns the client's state.
func (c *Client) Status(context.Context) (Status, error) {
	pending, err := c.stack.Pending()
	if err != nil {
		return Status{}, err
	}
	last, err := c.stack.LastEvent()
	if err != nil {
		return Status{}, err
	}
	sessions, err := c.stack.Sessions()
	if err != nil {
		return Status{}, err
	}
	return Status{
		Key:       c.Self(),
		Account:   c.account.ID,
		Name:      c.stack.Profile().DisplayName,
		Mode:      c.mode,
		Network:   c.stack.Network().Name,
		Pending:   pending,
		LastEvent: last,
		History:   c.stack.Progress(),

		Reconciliation: c.stack.Reconciliation(),

		Dropped:  c.stack.Counters(),
		Sessions: sessions,
		Synced:   c.stack.Synced(),
		Node:     c.node.Status(),
		Time:     time.Now().UTC(),
	}, nil
}

// String tells which account it is.
func (c *Client) String() string { return fmt.Sprintf("client of %s", c.account) }
