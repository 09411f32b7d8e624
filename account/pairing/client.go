package pairing

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"time"
)

// dialPatience bounds how long an address of a code may take to answer.
const dialPatience = 10 * time.Second

// client calls the device that shows a code.
type client struct {
	web  *http.Client
	base url.URL
	key  [keySize]byte
}

// Send sends an account to the device that shows a code. It returns what that
// device says of itself. Errors are ErrAddress, ErrUnreachable,
// ErrCertificate, ErrDirection, ErrRefused, ErrPeer, ErrSealed, ErrPayload, and
// ErrTimeLimit when ctx ends by its deadline.
func Send(ctx context.Context, code Code, o Outgoing) (Device, error) {
	out, err := o.prepare(time.Now(), rand.Reader)
	if err != nil {
		return Device{}, err
	}
	c, err := dial(ctx, code)
	if err != nil {
		return Device{}, err
	}
	defer c.web.CloseIdleConnections()
	// Deployed servers ask for no challenge before the last call.
	if err := c.post(ctx, routeReceiveAccount, out.account, false); err != nil {
		return Device{}, err
	}
	if err := c.post(ctx, routeReceiveSync, out.sync, false); err != nil {
		return Device{}, err
	}
	body, err := c.get(ctx, routeSendInstallation, MaxInstallationBody)
	if err != nil {
		return Device{}, err
	}
	return readInstallation(body)
}

// Receive receives an account from the device that shows a code, which in.Keep
// keeps once the other device has been told of this one. Errors are those of
// Send and of in.Keep.
func Receive(ctx context.Context, code Code, in Incoming) (r Received, err error) {
	if in, err = in.check(time.Now()); err != nil {
		return Received{}, err
	}
	c, err := dial(ctx, code)
	if err != nil {
		return Received{}, err
	}
	defer c.web.CloseIdleConnections()
	body, err := c.get(ctx, routeSendAccount, MaxAccountBody)
	if err != nil {
		return Received{}, err
	}
	first, err := readAccount(body)
	if err != nil {
		return Received{}, err
	}
	if body, err = c.get(ctx, routeSendSync, MaxSyncBody); err != nil {
		return Received{}, err
	}
	second, err := readSync(body)
	if err != nil {
		return Received{}, err
	}
	if r, err = join(first, second, in.Device.InstallationID, time.Now()); err != nil {
		return Received{}, err
	}
	if body, err = in.Device.installationBody(time.Now()); err != nil {
		return Received{}, err
	}
	if err := c.post(ctx, routeReceiveInstallation, body, true); err != nil {
		return Received{}, err
	}
	if err := in.Keep(r); err != nil {
		return Received{}, err
	}
	return r, nil
}

// dial finds the address of a code at which the holder of its key answers.
func dial(ctx context.Context, code Code) (*client, error) {
	config := pinned(code.Server)
	at, err := reach(ctx, code, config)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &client{
		web: &http.Client{
			Jar:           jar,
			Transport:     &http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: dialPatience},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base: url.URL{Scheme: "https", Host: at.String()},
		key:  code.Key,
	}, nil
}

// reach tries all addresses at once, and takes the first that answers rightly.
func reach(ctx context.Context, code Code, config *tls.Config) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	type result struct {
		at  netip.AddrPort
		err error
	}
	results := make(chan result, len(code.Addrs))
	tried := 0
	for _, addr := range code.Addrs {
		if !nearby(addr) {
			continue
		}
		tried++
		at := netip.AddrPortFrom(addr.Unmap(), code.Port)
		go func() {
			conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", at.String())
			if err == nil {
				conn.Close()
			}
			results <- result{at, err}
		}()
	}
	if tried == 0 {
		return netip.AddrPort{}, ErrAddress
	}
	failed := ErrUnreachable
	for range tried {
		r := <-results
		if r.err == nil {
			return r.at, nil
		}
		if errors.Is(r.err, ErrCertificate) {
			failed = ErrCertificate
		}
	}
	return netip.AddrPort{}, failed
}

// nearby says whether an address is one of a local network: a code from
// elsewhere cannot make us call the internet.
func nearby(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()
}

// get asks for a body, after answering a challenge.
func (c *client) get(ctx context.Context, route string, limit int64) ([]byte, error) {
	sealed, err := c.call(ctx, http.MethodGet, route, nil, true, limit)
	if err != nil {
		return nil, err
	}
	return open(c.key, sealed)
}

// post hands over a body.
func (c *client) post(ctx context.Context, route string, plain []byte, challenged bool) error {
	sealed, err := seal(c.key, plain, rand.Reader)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, http.MethodPost, route, sealed, challenged, maxChallenge)
	return err
}

// call makes a request and returns the body of its answer.
func (c *client) call(ctx context.Context, method, route string, body []byte, challenged bool, limit int64) ([]byte, error) {
	at := c.base
	at.Path = route
	r, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	if challenged {
		challenge, err := c.call(ctx, http.MethodGet, routeChallenge, nil, false, maxChallenge)
		if err != nil {
			return nil, err
		}
		text, err := answer(c.key, challenge, rand.Reader)
		if err != nil {
			return nil, err
		}
		r.Header.Set(challengeHeader, text)
	}
	response, err := c.web.Do(r)
	if err != nil {
		return nil, failure(ctx, err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden, http.StatusConflict:
		return nil, ErrRefused
	case http.StatusNotFound:
		return nil, ErrDirection
	case http.StatusRequestEntityTooLarge:
		return nil, fmt.Errorf("%w: for the other device", ErrSize)
	default:
		return nil, fmt.Errorf("%w: %s", ErrPeer, http.StatusText(response.StatusCode))
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, failure(ctx, err)
	}
	if int64(len(answer)) > limit {
		return nil, fmt.Errorf("%w: %d bytes", ErrSize, limit)
	}
	return answer, nil
}

// failure gives an error of the network its kind.
func failure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case errors.Is(err, ErrCertificate):
		return ErrCertificate
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// LocalAddrs returns the addresses of this machine in local networks: private
// ones, of IPv6 only where an interface has none of IPv4, as deployed clients
// put them into their codes.
func LocalAddrs() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("looking for networks: %w", err)
	}
	var all []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		all = append(all, preferred(addrs)...)
	}
	if len(all) == 0 {
		return nil, ErrAddress
	}
	return all[:min(len(all), MaxAddrs)], nil
}

// preferred picks the addresses of one interface that go into a code.
func preferred(addrs []net.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		ipNet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(ipNet.IP)
		if addr = addr.Unmap(); !ok || !addr.IsPrivate() {
			continue
		}
		if addr.Is4() {
			v4 = append(v4, addr)
		} else {
			v6 = append(v6, addr)
		}
	}
	if len(v4) > 0 {
		return v4
	}
	return v6
}
