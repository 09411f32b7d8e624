package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/ops"
	"github.com/parley-im/parley/server/rest"
	"github.com/parley-im/parley/waku/store"
)

const (
	// headerTimeout bounds how long a caller takes to say what it wants,
	// shutdownTimeout how long calls under way have at the end.
	headerTimeout   = 10 * time.Second
	shutdownTimeout = 5 * time.Second
)

// faces are the HTTP servers of a node.
type faces struct {
	rest, metrics string // their URLs
	servers       []*http.Server
	api           *rest.Server
	patience      time.Duration // with calls under way at the end
	wg            sync.WaitGroup
}

// REST and Metrics are the URLs of the API and of the operators' pages; empty
// where there are none.
func (s *Service) REST() string { return s.faces.rest }

// Metrics is documented at REST.
func (s *Service) Metrics() string { return s.faces.metrics }

// startFaces starts the API and the operators' pages.
func (s *Service) startFaces() error {
	s.faces.patience = shutdownTimeout
	config := ops.Config{
		Version: s.cfg.Version, Status: s.Status, Stats: s.Stats, Recorder: s.recorder, Log: s.log,
		Known: func() int { return s.Manager().Status().Known },
	}
	if s.archive != nil {
		config.Probe, config.Trouble = s.archive.probe, s.archive.trouble
		config.Archive, config.Retention = s.archive.Stats, func() store.Retention { return *s.archive.retain.Load() }
		if dir, ok := s.archiveDir(); ok {
			config.Disk = func() (free, total uint64, err error) { return diskSpace(dir) }
		}
	}
	pages, err := ops.New(config)
	if err != nil {
		return fault.Wrap(fault.Internal, "the operators' pages", err)
	}
	if s.cfg.REST != "" {
		if s.faces.api, err = s.newAPI(); err != nil {
			return err
		}
		if s.faces.rest, err = s.serve("--rest", s.cfg.REST, s.faces.api); err != nil {
			return err
		}
	}
	if s.cfg.Metrics != "" {
		if s.faces.metrics, err = s.serve("--metrics", s.cfg.Metrics, pages.Handler()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) newAPI() (*rest.Server, error) {
	c := rest.Config{
		Node: s.Node, Cluster: s.cfg.Cluster, NumShards: s.cfg.NumShards, MaxFrame: s.cfg.MaxFrame,
		Version: s.cfg.Version, ENR: s.ENR, Admin: s.cfg.Admin, LogLevel: s.cfg.LogLevel,
		AllowOrigin: s.cfg.AllowOrigin, Hosts: s.cfg.Hosts, FilterSubscriptions: s.filterSubscriptions, Logger: s.log,
	}
	if s.archive != nil {
		c.Archive = s.archive
	}
	api, err := rest.New(c)
	return api, fault.Wrap(fault.Internal, "the REST API", err)
}

func (s *Service) filterSubscriptions() []rest.FilterSubscription {
	all := []rest.FilterSubscription{}
	for _, sub := range s.Subscriptions() {
		one := rest.FilterSubscription{PeerID: sub.Peer.String()}
		for _, pubsubTopic := range slices.Sorted(maps.Keys(sub.Criteria)) {
			for _, contentTopic := range sub.Criteria[pubsubTopic] {
				one.Criteria = append(one.Criteria, rest.FilterTopic{PubsubTopic: pubsubTopic, ContentTopic: contentTopic})
			}
		}
		all = append(all, one)
	}
	return all
}

// serve serves HTTP at an address; without a host that is loopback's.
func (s *Service) serve(flag, address string, h http.Handler) (url string, err error) {
	if address, err = bindAddress(flag, address); err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", &fault.Error{Kind: fault.Conflict, Op: flag + " " + address, Err: err, Hint: "give another address, or port 0 for a free one"}
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
	s.faces.servers = append(s.faces.servers, server)
	s.faces.wg.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the HTTP server ended", "at", address, "cause", err)
		}
	})
	return "http://" + l.Addr().String(), nil
}

// bindAddress completes an address to serve HTTP at: host:port, :port or port.
func bindAddress(flag, address string) (string, error) {
	whole := address
	if !strings.Contains(address, ":") {
		whole = ":" + address
	}
	host, port, err := net.SplitHostPort(whole)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return "", fault.New(fault.Usage, "%s %q is not an address", flag, address).WithHint("give an address like 127.0.0.1:8645, or the port alone")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// close lets calls under way finish, and ends event streams. Who takes longer
// than patience, or has not even said what it wants, is cut off.
func (f *faces) close() error {
	var errs []error
	if f.api != nil {
		errs = append(errs, f.api.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	for _, server := range f.servers {
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("ending the HTTP server: %w", err))
		}
	}
	f.wg.Wait()
	return errors.Join(errs...)
}

// archiveDir is the folder of an archive on this machine's disk.
func (s *Service) archiveDir() (string, bool) {
	path, ok := strings.CutPrefix(s.cfg.Archive, "sqlite:")
	return filepath.Dir(strings.TrimPrefix(path, "//")), ok
}
