package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// Directories of Let's Encrypt.
const (
	Production = certmagic.LetsEncryptProductionCA
	// Staging gives certificates that nobody trusts, to try things out.
	Staging = certmagic.LetsEncryptStagingCA
)

// ACME says what certificate is wanted from whom. To ask for one is to agree
// to the terms of service of the authority.
type ACME struct {
	// Domains are the names of the certificate; they must lead to this machine.
	// The first is for clients that name none.
	Domains []string
	// Email is told to the authority; may be empty.
	Email string
	// Dir is the folder where account, keys and certificates are kept.
	Dir string
	// CA is the URL of the authority's directory; "" for Production.
	CA string
	// HTTPPort and TLSPort are where the authority's challenges are answered,
	// while there are any; 0 for 80 and 443. The authority always comes to 80
	// or 443: other ports are for who forwards them. A node that listens for
	// secure WebSocket on the TLS port answers there itself.
	HTTPPort, TLSPort int
	// Roots are trusted in place of the system's when talking to the authority;
	// nil for the system's.
	Roots *x509.CertPool
	// Logger is told of what is obtained and what fails; may be nil.
	Logger *slog.Logger
}

// Obtain gives a configuration with the certificate, which is obtained in the
// background, as long as it takes, unless the folder has it, and is renewed in
// time. Handshakes fail until it is there. Closing ends the background work.
// Errors: ErrCertificate, for what makes no sense.
func Obtain(a ACME) (*tls.Config, io.Closer, error) {
	if a.CA == "" {
		a.CA = Production
	}
	if err := a.check(); err != nil {
		return nil, nil, err
	}
	if a.Logger == nil {
		a.Logger = slog.New(slog.DiscardHandler)
	}
	var config *certmagic.Config
	quiet := zap.NewNop() // what matters comes as events
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           quiet,
	})
	config = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.Dir}, DefaultServerName: a.Domains[0],
		Logger: quiet, OnEvent: a.event,
	})
	config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA: a.CA, TestCA: a.CA, Email: a.Email, Agreed: true, TrustedRoots: a.Roots,
		AltHTTPPort: a.HTTPPort, AltTLSALPNPort: a.TLSPort, Logger: quiet,
	})}
	ctx, cancel := context.WithCancel(context.Background())
	c := closer(sync.OnceFunc(func() {
		cancel()
		cache.Stop()
	}))
	if err := config.ManageAsync(ctx, a.Domains); err != nil {
		c()
		return nil, nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	t := config.TLSConfig()
	t.MinVersion = tls.VersionTLS12
	t.NextProtos = append([]string{"http/1.1"}, t.NextProtos...)
	return t, c, nil
}

// check says what makes no sense.
func (a ACME) check() error {
	if len(a.Domains) == 0 {
		return fmt.Errorf("%w: no domain", ErrCertificate)
	}
	for _, d := range a.Domains {
		if !certmagic.SubjectQualifiesForPublicCert(d) || strings.Contains(d, "*") || !strings.Contains(d, ".") || certmagic.SubjectIsIP(d) {
			return fmt.Errorf("%w: no authority certifies %q", ErrCertificate, d)
		}
	}
	if a.Dir == "" {
		return fmt.Errorf("%w: no folder to keep it in", ErrCertificate)
	}
	if u, err := url.Parse(a.CA); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%w: %q is not the https URL of an authority", ErrCertificate, a.CA)
	}
	for _, port := range []int{a.HTTPPort, a.TLSPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("%w: port %d", ErrCertificate, port)
		}
	}
	return nil
}

// event logs what became of a certificate.
func (a ACME) event(_ context.Context, what string, data map[string]any) error {
	switch what {
	case "cert_obtained":
		a.Logger.Info("certificate obtained", "domain", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		a.Logger.Warn("no certificate yet", "domain", data["identifier"], "renewal", data["renewal"], "cause", data["error"])
	}
	return nil
}

type closer func()

// Close ends the background work.
func (c closer) Close() error {
	c()
	return nil
}
