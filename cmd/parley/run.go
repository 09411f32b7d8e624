package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server"
	"github.com/parley-im/parley/server/client"
)

// runFlags are the flags of `parley run`.
type runFlags struct {
	mode, network                   string
	peers, stores, bootstrap, addrs []string
	apiListen                       string
	account, passwordFile           string
	ethereumURLFile                 string
	printConfig                     bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon: your account, its API and its web page",
		Long: `Run the daemon of an account until it is stopped by ctrl-c: it stays on the network,
receives and delivers, and answers the other commands and the web page.

In mode full it relays messages of others as well; light asks other nodes and
suits machines that come and go. Messages that were sent while the daemon was
stopped are fetched at the start.

Other nodes are found through the network's lists, through the nodes already
known, and, when it listens on more than this machine, in the local network.

With --ethereum-url-file ENS names that people claim, or that you address somebody by, are
looked up, at an Ethereum node of yours or of a provider, which learns the names; without it
no name counts as verified. The file has the node's JSON-RPC URL, which is nowhere shown.

Node and API are reachable from this machine alone, unless --listen or
--api-listen say otherwise. Only who can read the file "api-token" of the data
directory can use the API.

With --json one line is printed when the daemon is ready.`,
		Example: `  parley run
  parley run --mode light --network status.prod
  parley run --network local --peer /ip4/192.0.2.1/tcp/30303/p2p/16U…
  parley run --print-config > ~/.local/share/parley/config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.printConfig {
				return writeConfig(a.out, cmd)
			}
			return a.daemon(cmd.Context(), f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.mode, "mode", string(parley.Full), "full or light")
	flags.StringVar(&f.network, "network", "status.prod", "status.prod, status.staging, local, or the JSON file of a network")
	flags.StringSliceVar(&f.peers, "peer", nil, "multiaddr of a node to stay connected to; may be repeated")
	flags.StringSliceVar(&f.stores, "store", nil, "multiaddr of a store node to fetch missed messages from, before any other; may be repeated")
	flags.StringSliceVar(&f.bootstrap, "bootstrap", nil, "first nodes instead of the network's: enrtree://…, enr:…, multiaddr, or none; may be repeated")
	flags.StringSliceVar(&f.addrs, "listen", nil, "multiaddr to listen on; may be repeated (default: a free TCP port of this machine alone)")
	flags.StringVar(&f.apiListen, "api-listen", "127.0.0.1:8645", "address of API and web page; port 0 takes a free one")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the account's password (- is standard input)")
	flags.StringVar(&f.ethereumURLFile, "ethereum-url-file", "", "file with the JSON-RPC URL of an Ethereum node, to verify ENS names")
	flags.BoolVar(&f.printConfig, "print-config", false, "print a config file with all settings, and exit")
	accountFlag(c, &f.account)
	c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]cobra.Completion{"full", "light"}, cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("network", cobra.FixedCompletions([]cobra.Completion{"status.prod", "status.staging", "local"}, cobra.ShellCompDirectiveDefault))
	return c
}

// ready is what `parley run --json` prints once the daemon can be used.
type ready struct {
	Ready      bool        `json:"ready"`
	Account    string      `json:"account"`
	API        string      `json:"api"`
	Web        string      `json:"web"`
	PeerID     string      `json:"peer_id"`
	Multiaddrs []string    `json:"multiaddrs"`
	Mode       parley.Mode `json:"mode"`
}

// daemon runs the daemon until ctx ends. What can be refused without the
// password is refused before it is asked for.
func (a *app) daemon(ctx context.Context, f runFlags) (err error) {
	config, err := a.clientConfig(f)
	if err != nil {
		return err
	}
	store, err := a.accounts()
	if err != nil {
		return err
	}
	info, err := a.pick(store, f.account)
	if err != nil {
		return err
	}
	unlock, err := client.Lock(a.dataDir)
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := a.listenAPI(f.apiListen)
	if err != nil {
		return err
	}
	defer listener.Close()
	password, err := a.password(ctx, "password-file", f.passwordFile, "password of "+shownName(info.Name, info.ID), false)
	if err != nil {
		return err
	}
	if config.Account, err = store.Open(info.ID, password); err != nil {
		return accountFault("opening the account", err)
	}
	c, err := parley.Open(ctx, config)
	if fault.KindOf(err) == fault.Unreachable && fault.HintOf(err) == "" {
		return &fault.Error{Kind: fault.Unreachable, Err: err, Hint: "check the network connection, or name a node with --peer or --bootstrap"}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return a.serve(ctx, c, listener, f, config)
}

// clientConfig is all of the client's configuration but the account.
func (a *app) clientConfig(f runFlags) (c parley.Config, err error) {
	if c.Log, err = a.logger(); err != nil {
		return c, err
	}
	if c.Network, err = parley.LoadNetwork(f.network); err != nil {
		return c, err
	}
	if c.Mode = parley.Mode(f.mode); c.Mode != parley.Full && c.Mode != parley.Light {
		return c, fault.New(fault.Usage, "--mode %q is neither full nor light", f.mode)
	}
	if err := checkListen(f.addrs); err != nil {
		return c, err
	}
	if f.ethereumURLFile != "" {
		if c.EthereumURL, err = a.secretFile("ethereum-url-file", f.ethereumURLFile); err != nil {
			return c, err
		}
	}
	c.DataDir = a.dataDir
	c.Peers, c.Stores, c.Bootstrap, c.Listen = f.peers, f.stores, f.bootstrap, f.addrs
	c.OnProgress = a.progress()
	return c, nil
}

// progress returns a reporter of fetched history: a word when it begins to
// matter, one when it is done, and why it fails.
func (a *app) progress() func(parley.Progress) {
	var last parley.Progress
	return func(p parley.Progress) {
		defer func() { last = p }()
		switch {
		case p.Error != "" && p.Error != last.Error:
			a.say("Missed messages cannot be fetched: %s", plain(p.Error))
		case !p.Active && last.Active && p.New > 0:
			a.say("Fetched what was missed: %s.", count(p.New, "envelope", "envelopes"))
		case p.Active && p.Pages > 0 && p.Pages%20 == 0 && p.Pages != last.Pages:
			a.say("Fetching history since %s: %d of %s, %s so far.", localTime(time.UnixMilli(p.Since), time.Now()), p.Topics, count(p.Of, "topic", "topics"), count(p.Envelopes, "envelope", "envelopes"))
		}
	}
}

// listenAPI takes the address of the API. Another machine can reach it only if
// somebody asked for that, and is told so.
func (a *app) listenAPI(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Usage, Op: "--api-listen", Err: err, Hint: "give an address like 127.0.0.1:8645"}
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Conflict, Op: "listening for the API", Err: err, Hint: "give another address with --api-listen; port 0 takes a free one"}
	}
	if ip, ok := listener.Addr().(*net.TCPAddr); ok && !ip.IP.IsLoopback() {
		a.say("Warning: the API can be reached from other machines, at %s of %q, and the connection is not encrypted.", address, host)
	}
	return listener, nil
}

// shutdownPatience is how long calls that are being answered may take at the
// end.
const shutdownPatience = 5 * time.Second

// serve answers API and web page until ctx ends or the client stops.
func (a *app) serve(ctx context.Context, c *parley.Client, listener net.Listener, f runFlags, config parley.Config) error {
	token, err := client.EnsureToken(a.dataDir)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(f.apiListen)
	handler, err := server.New(server.Config{Client: c, Token: token, Hosts: []string{host}, Log: config.Log})
	if err != nil {
		return err
	}
	streams, stop := context.WithCancel(context.Background())
	defer stop()
	var calls running
	web := &http.Server{
		Handler:           calls.count(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return streams },
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	base := "http://" + reachable(listener.Addr())
	if err := (client.Daemon{API: base, PID: os.Getpid(), Account: c.Account().ID}).Publish(a.dataDir); err != nil {
		web.Close()
		return err
	}
	defer client.Withdraw(a.dataDir)
	if err := a.printReady(ctx, c, base, token); err != nil {
		web.Close()
		return err
	}
	select {
	case <-ctx.Done():
		a.say("Stopping.")
	case <-c.Done():
		err = fault.New(fault.Internal, "the client has stopped")
	case failure := <-failed:
		err = fault.Wrap(fault.Internal, "answering the API", failure)
	}
	stop() // event streams end here; other calls get their time
	last, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	if web.Shutdown(last) != nil {
		web.Close()
	}
	calls.Wait() // the database is closed behind this
	return err
}

// running counts the calls that are being answered.
type running struct{ sync.WaitGroup }

func (r *running) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.Add(1)
		defer r.Done()
		next.ServeHTTP(w, request)
	})
}

// reachable is an address by which this machine reaches a listener.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(tcp.Port))
}

// printReady tells that the daemon can be used: as a line of JSON on standard
// output, else in words.
func (a *app) printReady(ctx context.Context, c *parley.Client, base, token string) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	r := ready{
		Ready: true, Account: s.Account, API: base, Web: server.PageURL(base, token),
		PeerID: s.Node.PeerID, Multiaddrs: s.Node.Addrs, Mode: s.Mode,
	}
	if a.json {
		return a.printJSON(r)
	}
	rows := [][]string{
		{"Account", shownName(s.Name, s.Account)},
		{"Key", s.Account},
		{"Network", fmt.Sprintf("%s, %s client", s.Network, s.Mode)},
	}
	for i, m := range r.Multiaddrs {
		rows = append(rows, []string{[]string{"Node", ""}[min(i, 1)], m})
	}
	rows = append(rows, []string{"API", base}, []string{"Web page", r.Web})
	if err := table(a.err, rows...); err != nil {
		return err
	}
	a.say("Ready. Press ctrl-c to stop.")
	return nil
}

// shownName is a name, or what stands for it.
func shownName(name, otherwise string) string {
	if name != "" {
		return name
	}
	return otherwise
}
