// Package tlstest makes certificates for tests.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority signs certificates. It panics where it cannot, as no test can go on
// then.
type Authority struct {
	certificate *x509.Certificate
	above       [][]byte // those that have signed it, but for the one that is trusted
	key         *ecdsa.PrivateKey
	serial      int64
}

// NewAuthority returns an authority that nobody trusts yet.
func NewAuthority() *Authority {
	a := &Authority{key: newKey(), serial: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority for tests, " + rand.Text()}, NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a.certificate = a.sign(template, template, &a.key.PublicKey)
	return a
}

// Below returns an authority that a has signed, and its certificate. What it signs for
// clients comes with that.
func (a *Authority) Below() (*Authority, tls.Certificate) {
	a.serial++
	b := &Authority{key: newKey(), serial: 1}
	b.certificate = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: fmt.Sprintf("number %d", a.serial)},
		NotAfter: time.Now().Add(30 * time.Minute), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.certificate, &b.key.PublicKey)
	b.above = append([][]byte{b.certificate.Raw}, a.above...)
	return b, tls.Certificate{Certificate: [][]byte{b.certificate.Raw}, Leaf: b.certificate}
}

// Renew gives the authority another certificate, for the same name and key.
func (a *Authority) Renew() {
	a.certificate = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: a.certificate.Subject, NotAfter: time.Now().AddDate(2, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: a.certificate.KeyUsage,
	}, a.certificate, &a.key.PublicKey)
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func (a *Authority) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

// Certificate returns a certificate for host names and addresses; without any, for
// localhost and its address.
func (a *Authority) Certificate(names ...string) tls.Certificate {
	return a.CertificateUntil(time.Now().Add(time.Hour), names...)
}

// CertificateUntil is Certificate for one that ends then.
func (a *Authority) CertificateUntil(end time.Time, names ...string) tls.Certificate {
	if len(names) == 0 {
		names = []string{"localhost", "127.0.0.1"}
	}
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: names[0]}, NotBefore: end.Add(-1000 * time.Hour), NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := newKey()
	c := a.sign(template, a.certificate, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{c.Raw, a.certificate.Raw}, PrivateKey: key, Leaf: c}
}

// ClientCertificate returns the certificate of a client, which more may change before
// it is signed.
func (a *Authority) ClientCertificate(name string, more ...func(*x509.Certificate)) tls.Certificate {
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, change := range more {
		change(template)
	}
	key := newKey()
	c := a.sign(template, a.certificate, &key.PublicKey)
	return tls.Certificate{Certificate: append([][]byte{c.Raw}, a.above...), PrivateKey: key, Leaf: c}
}

// Revoked returns the list, in PEM form, of the certificates that the authority has
// revoked, which is to be renewed by next.
func (a *Authority) Revoked(next time.Time, certificates ...tls.Certificate) []byte {
	template := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: next.Add(-1000 * time.Hour), NextUpdate: next}
	for _, c := range certificates {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.Leaf.SerialNumber, RevocationTime: template.ThisUpdate,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.certificate, a.key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// Client returns the configuration of a client that trusts the authority, for a
// server called localhost.
func (a *Authority) Client() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// PEM returns the authority's own certificate, for who trusts it by a file.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// Encode returns a certificate with its chain, and its key, in PEM form.
func Encode(c tls.Certificate) (certificate, key []byte) {
	for _, der := range c.Certificate {
		certificate = append(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		panic(fmt.Errorf("encode a key: %w", err))
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Write writes cert.pem and key.pem into a folder and returns their paths.
func Write(t testing.TB, folder string, c tls.Certificate) (certificate, key string) {
	t.Helper()
	certificate, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	chain, private := Encode(c)
	for path, data := range map[string][]byte{certificate: chain, key: private} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
