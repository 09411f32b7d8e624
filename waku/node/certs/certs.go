// Package certs makes the TLS configuration of secure WebSocket, which
// browsers need: of certificate files that the operator has, or of a
// certificate that is obtained and renewed by ACME (RFC 8555).
package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// ErrCertificate is a certificate or the wish for one that cannot be used.
var ErrCertificate = errors.New("certs: certificate")

// LoadCertificate reads a certificate chain and its key, PEM files, and gives
// a configuration that has them. The files are looked at again at every
// handshake: when they changed, what is new in them is used from then on, if
// it can be read. Errors: ErrCertificate.
func LoadCertificate(certFile, keyFile string) (*tls.Config, error) {
	f := &files{cert: certFile, key: keyFile}
	if err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.get}, nil
}

// files are a certificate and its key as they were read last.
type files struct {
	cert, key string

	mu    sync.Mutex
	state [2]state
	now   *tls.Certificate
}

// state is what tells that a file changed.
type state struct {
	changed time.Time
	size    int64
	file    fs.FileInfo // for a file put in another's place
}

func (s state) same(o state) bool {
	return s.changed.Equal(o.changed) && s.size == o.size && os.SameFile(s.file, o.file)
}

// look returns the states of both files.
func (f *files) look() (out [2]state, err error) {
	for i, name := range []string{f.cert, f.key} {
		in, err := os.Stat(name)
		if err != nil {
			return out, fmt.Errorf("%w: %w", ErrCertificate, err)
		}
		out[i] = state{in.ModTime(), in.Size(), in}
	}
	return out, nil
}

// load reads the files.
func (f *files) load() error {
	state, err := f.look()
	if err != nil {
		return err
	}
	c, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	f.now, f.state = &c, state
	return nil
}

// get returns the certificate for a handshake. One half of a change does not
// load, as certificate and key do not match: it is tried again at the next.
func (f *files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state, err := f.look(); err == nil && !(state[0].same(f.state[0]) && state[1].same(f.state[1])) {
		_ = f.load() // the former one goes on
	}
	return f.now, nil
}
