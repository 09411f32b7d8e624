package pairing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDeployedClientAccepts makes the checks of a deployed client: it fetches
// the certificate without trusting it, compares its key with the code's,
// verifies its signature, then trusts it as an authority for the addresses.
func TestDeployedClientAccepts(t *testing.T) {
	t.Parallel()
	a := newAccount(t, phrase)
	s := startServer(t, a)
	ctx, cancel := context.WithCancel(bounded(t))
	ended := make(chan error, 1)
	go func() { _, err := s.Send(ctx, outgoing(a)); ended <- err }()
	at := s.Addrs()[0].String()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	certs := conn.(*tls.Conn).ConnectionState().PeerCertificates
	conn.Close()
	if len(certs) != 1 || !s.Code().Server.Equal(certs[0].PublicKey) {
		t.Fatalf("%d certificates", len(certs))
	}
	if err := certs[0].CheckSignatureFrom(certs[0]); err != nil {
		t.Error(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certs[0])
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}}}
	defer web.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at+"/pairing/challenge", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || len(body) != 64 || response.ProtoMajor != 1 {
		t.Errorf("%d bytes by %s, %v", len(body), response.Proto, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1700000000, 0)
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	a, err := certificate(k, addrs, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := certificate(k, addrs, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := a.Leaf
	if leaf.SerialNumber.Cmp(b.Leaf.SerialNumber) != 0 || leaf.SerialNumber.Sign() <= 0 || leaf.SerialNumber.BitLen() > 160 {
		t.Errorf("serial number %v", leaf.SerialNumber)
	}
	if !leaf.IsCA || !k.PublicKey.Equal(leaf.PublicKey) || len(leaf.IPAddresses) != 2 || !leaf.NotBefore.Before(now.Add(-time.Minute)) || !leaf.NotAfter.After(now.Add(time.Hour)) {
		t.Errorf("%+v", leaf)
	}
	for _, addr := range addrs {
		if err := leaf.VerifyHostname(addr.String()); err != nil {
			t.Error(err)
		}
	}
}

// TestWrongCertificate calls somebody else at the right address.
func TestWrongCertificate(t *testing.T) {
	t.Parallel()
	a := newAccount(t, phrase)
	other := startServer(t, a)
	ctx, cancel := context.WithCancel(bounded(t))
	ended := make(chan error, 1)
	go func() { _, err := other.Send(ctx, outgoing(a)); ended <- err }()
	code := newCode(t, "127.0.0.1")
	code.Port = other.Addrs()[0].Port()
	k := newKeeper(t)
	if _, err := Receive(ctx, code, k.incoming()); !errors.Is(err, ErrCertificate) {
		t.Errorf("%v, want ErrCertificate", err)
	}
	// One with the right key beside others that do not answer is found.
	found := other.Code()
	found.Addrs = append([]netip.Addr{netip.MustParseAddr("::1")}, found.Addrs...)
	if _, err := Receive(ctx, found, k.incoming()); err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
}

// TestUnreachable calls nobody, and nobody outside the local network.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	code := newCode(t, "127.0.0.1")
	code.Port = l.Addr().(*net.TCPAddr).AddrPort().Port()
	l.Close()
	k := newKeeper(t)
	if _, err := Receive(t.Context(), code, k.incoming()); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	for _, addr := range []string{"8.8.8.8", "2001:4860::8888", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255"} {
		if _, err := Receive(t.Context(), newCode(t, addr), k.incoming()); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v, want ErrAddress", addr, err)
		}
	}
	for _, addr := range []string{"10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.0.1", "127.0.0.1", "fd00::1", "::1", "::ffff:10.0.0.1"} {
		if !nearby(netip.MustParseAddr(addr)) {
			t.Errorf("%s is not near", addr)
		}
	}
}

// TestWrongCode calls with a code whose secret is another: the one that shows
// it ends and gives nothing away.
func TestWrongCode(t *testing.T) {
	t.Parallel()
	a, k := newAccount(t, phrase), newKeeper(t)
	ctx := bounded(t)
	sender := startServer(t, a)
	ended := make(chan error, 1)
	go func() { _, err := sender.Send(ctx, outgoing(a)); ended <- err }()
	code := sender.Code()
	code.Key[0] ^= 1
	if _, err := Receive(ctx, code, k.incoming()); !errors.Is(err, ErrRefused) {
		t.Errorf("received with %v", err)
	}
	if err := <-ended; !errors.Is(err, ErrIntruder) {
		t.Errorf("sent with %v", err)
	}

	receiver := startServer(t, nil)
	go func() { _, err := receiver.Receive(ctx, k.incoming()); ended <- err }()
	code = receiver.Code()
	code.Key[0] ^= 1
	if _, err := Send(ctx, code, outgoing(a)); !errors.Is(err, ErrRefused) {
		t.Errorf("sent with %v", err)
	}
	if err := <-ended; !errors.Is(err, ErrIntruder) {
		t.Errorf("received with %v", err)
	}
	k.nothing(t)
}

// TestTimeLimit waits for nobody.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	a, k := newAccount(t, phrase), newKeeper(t)
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := startServer(t, a).Send(short, outgoing(a)); !errors.Is(err, ErrTimeLimit) {
		t.Error(err)
	}
	if _, err := startServer(t, nil).Receive(short, k.incoming()); !errors.Is(err, ErrTimeLimit) {
		t.Error(err)
	}
}

// TestSlowBody takes the connection from who sends too little in its time; the
// pairing goes on, see TestSessionCut.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	ctx, cancel := context.WithCancel(bounded(t))
	s := startServer(t, nil)
	s.patience = 300 * time.Millisecond
	ended := make(chan error, 1)
	go func() { _, err := s.Receive(ctx, k.incoming()); ended <- err }()
	conn, err := (&tls.Dialer{Config: pinned(s.Code().Server)}).DialContext(ctx, "tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /pairing/receiveAccount HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nslow")
	if answer, _ := io.ReadAll(conn); len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
		t.Errorf("%q", answer)
	}
	select {
	case err := <-ended:
		t.Errorf("ended with %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	k.nothing(t)
}

// peer is a device that shows a code and answers as a test wants.
func peer(t testing.TB, answers map[string]http.HandlerFunc) Code {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := certificate(k, loopback, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := answers[r.URL.Path]; f != nil {
			f(w, r)
		} else {
			http.NotFound(w, r)
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	code := newCode(t, "127.0.0.1")
	code.Server = &k.PublicKey
	code.Port = s.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
	return code
}

func says(status int, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		w.Write(body)
	}
}

// TestHostileServers receives from devices that break every rule.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	challenge := says(http.StatusOK, make([]byte, 64))
	for name, c := range map[string]struct {
		answers map[string]http.HandlerFunc
		want    error
	}{
		"nothing":        {nil, ErrDirection},
		"long challenge": {map[string]http.HandlerFunc{routeChallenge: says(http.StatusOK, make([]byte, maxChallenge+1))}, ErrSize},
		"no account":     {map[string]http.HandlerFunc{routeChallenge: challenge}, ErrDirection},
		"not sealed":     {map[string]http.HandlerFunc{routeChallenge: challenge, routeSendAccount: says(http.StatusOK, bytes.Repeat([]byte{1}, 99))}, ErrSealed},
		"empty":          {map[string]http.HandlerFunc{routeChallenge: challenge, routeSendAccount: says(http.StatusOK, nil)}, ErrSealed},
		"endless":        {map[string]http.HandlerFunc{routeChallenge: challenge, routeSendAccount: says(http.StatusOK, make([]byte, MaxAccountBody+1))}, ErrSize},
		"somewhere else": {map[string]http.HandlerFunc{routeChallenge: http.RedirectHandler("https://127.0.0.1:1/", http.StatusFound).ServeHTTP}, ErrPeer},
		"refuses":        {map[string]http.HandlerFunc{routeChallenge: says(http.StatusForbidden, nil)}, ErrRefused},
		"fails":          {map[string]http.HandlerFunc{routeChallenge: says(http.StatusInternalServerError, nil)}, ErrPeer},
		"breaks off":     {map[string]http.HandlerFunc{routeChallenge: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKeeper(t)
			if _, err := Receive(bounded(t), peer(t, c.answers), k.incoming()); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			k.nothing(t)
		})
	}
}

// sealedBy answers with a body sealed under the code's key, which is set later.
func sealedBy(k *[keySize]byte, plain []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		sealed, _ := seal(*k, plain, rand.Reader)
		w.Write(sealed)
	}
}

// TestBreaksOff loses the sender in the middle: nothing is kept.
func TestBreaksOff(t *testing.T) {
	t.Parallel()
	out, err := outgoing(newAccount(t, phrase)).prepare(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		account, sync []byte
		last          int
		want          error
	}{
		"garbage account":  {[]byte("garbage"), nil, 0, ErrPayload},
		"empty account":    {nil, nil, 0, ErrPayload},
		"garbage messages": {out.account, []byte("garbage"), 0, ErrPayload},
		"last refused":     {out.account, out.sync, http.StatusForbidden, ErrRefused},
		"last fails":       {out.account, out.sync, http.StatusInternalServerError, ErrPeer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var secret [keySize]byte
			code := peer(t, map[string]http.HandlerFunc{
				routeChallenge: says(http.StatusOK, make([]byte, 64)), routeSendAccount: sealedBy(&secret, c.account),
				routeSendSync: sealedBy(&secret, c.sync), routeReceiveInstallation: says(c.last, nil),
			})
			secret = code.Key
			k := newKeeper(t)
			if _, err := Receive(bounded(t), code, k.incoming()); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			k.nothing(t)
		})
	}
}

// TestHostileClients sends garbage to a device that waits for an account.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	for name, c := range map[string]struct {
		body      []byte
		want, end error
	}{
		"garbage":   {[]byte("garbage"), ErrPeer, ErrPayload},
		"too large": {make([]byte, MaxAccountBody), ErrSize, ErrSize},
	} {
		k := newKeeper(t)
		s := startServer(t, nil)
		ended := make(chan error, 1)
		go func() { _, err := s.Receive(ctx, k.incoming()); ended <- err }()
		hostile, err := dial(ctx, s.Code())
		if err != nil {
			t.Fatal(err)
		}
		if err := hostile.post(ctx, routeReceiveAccount, c.body, false); !errors.Is(err, c.want) && !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: told %v, want %v", name, err, c.want)
		}
		hostile.web.CloseIdleConnections()
		if err := <-ended; !errors.Is(err, c.end) {
			t.Errorf("%s: ended with %v, want %v", name, err, c.end)
		}
		k.nothing(t)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	s, err := Listen([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:127.0.0.1")}, "", "")
	if err == nil {
		s.Close()
		t.Fatal("listens twice at one address")
	}
	if _, err := Listen(make([]netip.Addr, MaxAddrs+1), "", ""); !errors.Is(err, ErrAddress) {
		t.Error(err)
	}
	if s, err = Listen(loopback, "", ""); err != nil {
		t.Fatal(err)
	}
	at := s.Addrs()
	if len(at) != 1 || !at[0].Addr().IsLoopback() || at[0].Port() != s.Code().Port || !slices.Equal(s.Code().Addrs, loopback) {
		t.Errorf("waits at %v", at)
	}
	again, err := Listen(loopback, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if again.Code().Key == s.Code().Key || again.Code().Server.Equal(s.Code().Server) {
		t.Error("the same secrets twice")
	}
	if err := errors.Join(s.Close(), s.Close(), again.Close()); err != nil {
		t.Error(err)
	}
	if _, err := s.Send(bounded(t), outgoing(newAccount(t, phrase))); err == nil || strings.Contains(err.Error(), phrase) {
		t.Errorf("closed, and still sends: %v", err)
	}
}

func TestPreferred(t *testing.T) {
	t.Parallel()
	net4 := func(s string) net.Addr { return &net.IPNet{IP: net.ParseIP(s), Mask: net.CIDRMask(8, 32)} }
	for _, c := range []struct{ from, want []string }{
		{[]string{"192.168.1.2", "fd00::2"}, []string{"192.168.1.2"}},
		{[]string{"fd00::2", "fe80::1", "2001:db8::1"}, []string{"fd00::2"}},
		{[]string{"127.0.0.1", "8.8.8.8", "169.254.1.1"}, nil},
		{[]string{"10.0.0.1", "172.16.0.1"}, []string{"10.0.0.1", "172.16.0.1"}},
	} {
		in := []net.Addr{&net.UnixAddr{}}
		for _, a := range c.from {
			in = append(in, net4(a))
		}
		var got []string
		for _, a := range preferred(in) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("of %v %v, want %v", c.from, got, c.want)
		}
	}
	if addrs, err := LocalAddrs(); err != nil && !errors.Is(err, ErrAddress) || err == nil && len(addrs) == 0 {
		t.Errorf("%v, %v", addrs, err)
	}
}
