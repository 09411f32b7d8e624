package pairing

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// connections bounds those that are open at once.
	connections = 32
	// maxHeader bounds the header of a request, in bytes.
	maxHeader = 16 << 10
	// headerPatience and bodyPatience bound how long the other device may take
	// to send header and body, goodbye how long to read the last answer.
	headerPatience = 10 * time.Second
	bodyPatience   = time.Minute
	goodbye        = 5 * time.Second
	// portAttempts is how often a port is tried that all addresses must have.
	portAttempts = 16
)

// Server is a device that shows a code and waits for one other. It listens
// from Listen to Close, and pairs once.
type Server struct {
	code      Code
	config    *tls.Config
	listeners []net.Listener
	// patience stands for bodyPatience.
	patience time.Duration
}

// Listen waits at one port of every address, for the owner of the code that
// it makes up. Whose account is to be sent is told by installation id and key
// uid; both are empty where one is to be received.
func Listen(addrs []netip.Addr, installationID, keyUID string) (_ *Server, err error) {
	if len(addrs) == 0 {
		return nil, ErrAddress
	}
	if len(addrs) > MaxAddrs {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrAddress, len(addrs), MaxAddrs)
	}
	s := &Server{patience: bodyPatience}
	for range portAttempts {
		if s.listeners, err = listen(addrs); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("making a key: %w", err)
	}
	s.code = Code{
		Addrs: slices.Clone(addrs), Port: s.Addrs()[0].Port(), Server: &k.PublicKey,
		InstallationID: installationID, KeyUID: keyUID,
	}
	rand.Read(s.code.Key[:])
	cert, err := certificate(k, addrs, time.Now())
	if err != nil {
		s.Close()
		return nil, err
	}
	s.config = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	return s, nil
}

// listen listens at all addresses, at the port that the first one gets.
func listen(addrs []netip.Addr) (all []net.Listener, err error) {
	var port uint16
	for _, addr := range addrs {
		l, err := net.Listen("tcp", netip.AddrPortFrom(addr.Unmap(), port).String())
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, fmt.Errorf("waiting at %s: %w", addr, err)
		}
		all = append(all, l)
		port = l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	return all, nil
}

// Code returns the code to be shown.
func (s *Server) Code() Code { return s.code }

// Addrs returns where the server waits.
func (s *Server) Addrs() (addrs []netip.AddrPort) {
	for _, l := range s.listeners {
		at := l.Addr().(*net.TCPAddr).AddrPort()
		addrs = append(addrs, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	}
	return addrs
}

// Close stops waiting.
func (s *Server) Close() (err error) {
	for _, l := range s.listeners {
		if closeErr := l.Close(); !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
	}
	return err
}

// Send waits for the other device and sends it an account. It returns what that
// device says of itself. Errors are ErrTimeLimit when ctx ends by its deadline,
// ErrIntruder, ErrSize, ErrSealed and ErrPayload.
func (s *Server) Send(ctx context.Context, o Outgoing) (to Device, err error) {
	if err := o.check(time.Now()); err != nil {
		return Device{}, err
	}
	var out outbound
	err = s.pair(ctx, []step{
		// Sealing the keys takes a second, and deployed clients give up on a server
		// that does not take their connection within one.
		{route: routeSendAccount, method: http.MethodGet, challenged: true, do: func([]byte) (_ []byte, err error) {
			out, err = o.prepare(time.Now(), rand.Reader)
			return out.account, err
		}},
		{route: routeSendSync, method: http.MethodGet, challenged: true, do: func([]byte) ([]byte, error) { return out.sync, nil }},
		{route: routeReceiveInstallation, method: http.MethodPost, challenged: true, limit: MaxInstallationBody, do: func(body []byte) (_ []byte, err error) {
			to, err = readInstallation(body)
			return nil, err
		}},
	})
	if err != nil {
		return Device{}, err
	}
	return to, nil
}

// readInstallation reads what a receiver answers with.
func readInstallation(body []byte) (Device, error) {
	s, err := readSync(body)
	if err == nil && s.from.InstallationID == "" {
		err = fmt.Errorf("%w: no installation", ErrPayload)
	}
	return s.from, err
}

// Receive waits for the other device and receives an account from it, which
// in.Keep keeps. Errors are those of Send and of in.Keep.
func (s *Server) Receive(ctx context.Context, in Incoming) (r Received, err error) {
	in, err = in.check(time.Now())
	if err != nil {
		return Received{}, err
	}
	var first accountPart
	// Deployed clients answer a challenge in the last step only. The bodies of
	// the others are from one who knows the code, or do not open.
	err = s.pair(ctx, []step{
		{route: routeReceiveAccount, method: http.MethodPost, limit: MaxAccountBody, do: func(body []byte) (_ []byte, err error) {
			first, err = readAccount(body)
			return nil, err
		}},
		{route: routeReceiveSync, method: http.MethodPost, limit: MaxSyncBody, do: func(body []byte) ([]byte, error) {
			second, err := readSync(body)
			if err != nil {
				return nil, err
			}
			r, err = join(first, second, in.Device.InstallationID, time.Now())
			return nil, err
		}},
		{route: routeSendInstallation, method: http.MethodGet, challenged: true, do: func([]byte) ([]byte, error) {
			answer, err := in.Device.installationBody(time.Now())
			if err != nil {
				return nil, err
			}
			return answer, in.Keep(r)
		}},
	})
	if err != nil {
		return Received{}, err
	}
	return r, nil
}

// pair serves the steps until they are done or one fails.
func (s *Server) pair(ctx context.Context, steps []step) error {
	session := newSession(s.code.Key, steps, rand.Reader)
	web := &http.Server{
		Handler: session, ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: min(headerPatience, s.patience), ReadTimeout: s.patience, IdleTimeout: s.patience,
	}
	failed := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		go func() { failed <- web.Serve(tls.NewListener(netutil.LimitListener(l, connections), s.config)) }()
	}
	var err error
	select {
	case err = <-session.done:
	case err = <-failed:
		err = fmt.Errorf("waiting for the other device: %w", err)
	case <-ctx.Done():
		// What is about to be kept is kept, or not, before this returns.
		session.end(ended(ctx))
		err = <-session.done
	}
	last, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if web.Shutdown(last) != nil {
		web.Close()
	}
	return err
}

// ended is why a context has ended.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrTimeLimit
	}
	return ctx.Err()
}
