package pairing

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// certificateSlack is how far the clocks of the two devices may differ.
const certificateSlack = 24 * time.Hour

// certificate makes the certificate of a server out of its key: signed with
// itself, an authority of its own, for the addresses. The other device knows
// the key from the code; deployed clients check signature, addresses and time,
// too.
func certificate(k *ecdsa.PrivateKey, addrs []netip.Addr, now time.Time) (tls.Certificate, error) {
	digest := sha256.Sum256(compress(&k.PublicKey))
	digest[0] &= 0x7f
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(digest[:20]), // of the most octets that RFC 5280 allows
		Subject:               pkix.Name{CommonName: "Parley pairing"},
		NotBefore:             now.Add(-certificateSlack),
		NotAfter:              now.Add(certificateSlack),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, addr := range addrs {
		template.IPAddresses = append(template.IPAddresses, net.IP(addr.Unmap().AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k, Leaf: leaf}, nil
}

// pinned configures a client that talks to the holder of one key alone. The
// handshake proves that the other side has the private key; names, times and
// authorities add nothing to that.
func pinned(k *ecdsa.PublicKey) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) != 1 {
				return fmt.Errorf("%w: %d certificates", ErrCertificate, len(state.PeerCertificates))
			}
			theirs, ok := state.PeerCertificates[0].PublicKey.(*ecdsa.PublicKey)
			if !ok || !k.Equal(theirs) {
				return ErrCertificate
			}
			return nil
		},
	}
}
