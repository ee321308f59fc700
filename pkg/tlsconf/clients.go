package tlsconf

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// Clients are whose certificates are believed: those of some authorities that these
// have not revoked since. It is never changed once loaded, and shared by all
// connections.
type Clients struct {
	roots    *x509.CertPool
	names    map[string]bool // of the roots, by authorityName
	required bool
	revoked  map[string]bool      // by certificateName
	until    map[string]time.Time // up to when it is known what an authority has revoked, by its name
	files    []file
}

// LoadClients reads authorities, and the lists of what they have revoked (RFC 5280), in
// PEM form; without a file of lists nothing is. required says that a client without a
// certificate is refused.
func LoadClients(authorities, lists string, required bool) (*Clients, error) {
	c := &Clients{roots: x509.NewCertPool(), names: map[string]bool{}, required: required, revoked: map[string]bool{}, until: map[string]time.Time{}}
	c.files = append(c.files, look(authorities))
	signers, err := readAuthorities(authorities)
	if err != nil {
		return nil, fmt.Errorf("load the authorities of clients: %w", err)
	}
	for _, a := range signers {
		c.roots.AddCert(a)
		c.names[authorityName(a)] = true
	}
	if lists == "" {
		return c, nil
	}
	c.files = append(c.files, look(lists))
	if err := c.readLists(lists, signers); err != nil {
		return nil, fmt.Errorf("load what the authorities of clients have revoked: %w", err)
	}
	return c, nil
}

func readAuthorities(path string) (all []*x509.Certificate, err error) {
	err = blocks(path, "CERTIFICATE", func(der []byte) error {
		a, err := x509.ParseCertificate(der)
		if err == nil && !a.IsCA {
			err = fmt.Errorf("%s is no authority", a.Subject)
		}
		all = append(all, a)
		return err
	})
	return all, err
}

// readLists takes lists in that one of the authorities has signed. Of several of one
// authority the newest counts.
func (c *Clients) readLists(path string, signers []*x509.Certificate) error {
	newest := map[string]*x509.RevocationList{}
	err := blocks(path, "X509 CRL", func(der []byte) error {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return err
		}
		if !signedByOne(l, signers) {
			return fmt.Errorf("none of the authorities has signed the list of %s", l.Issuer)
		}
		if old := newest[string(l.RawIssuer)]; old == nil || l.ThisUpdate.After(old.ThisUpdate) {
			newest[string(l.RawIssuer)] = l
		}
		return nil
	})
	for issuer, l := range newest {
		c.until[issuer] = l.NextUpdate
		for _, entry := range l.RevokedCertificateEntries {
			c.revoked[certificateName(l.RawIssuer, entry.SerialNumber)] = true
		}
	}
	return err
}

func signedByOne(l *x509.RevocationList, signers []*x509.Certificate) bool {
	for _, a := range signers {
		if l.CheckSignatureFrom(a) == nil {
			return true
		}
	}
	return false
}

// blocks calls each with the blocks of a file in PEM form, of which there must be one.
func blocks(path, kind string, each func(der []byte) error) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	found := false
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != kind {
			return fmt.Errorf("%s: a PEM block %q; it must be %q", path, block.Type, kind)
		}
		found = true
		if err := each(block.Bytes); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if !found {
		return fmt.Errorf("%s has no PEM block %q", path, kind)
	}
	return nil
}

// Outdated returns an error if it is not known any more what an authority has revoked:
// its clients are refused until there is a new list.
func (c *Clients) Outdated(now time.Time) error {
	for _, until := range c.until {
		if !until.IsZero() && now.After(until) {
			return fmt.Errorf("the list of revoked certificates was to be renewed by %s", until.Format(time.RFC3339))
		}
	}
	return nil
}

var errNoCertificate = errors.New("the client has shown no certificate, and has to")

// verify returns why a client is refused that has shown these certificates, its own
// first. It is asked at each handshake, resumed ones included: what was believed when a
// ticket was given may be revoked since.
func (c *Clients) verify(shown []*x509.Certificate, now time.Time) error {
	switch {
	case len(shown) == 0 && c.required:
		return errNoCertificate
	case len(shown) == 0:
		return nil
	}
	_, err := c.chain(shown, now)
	return err
}

// chain returns the way from a client's own certificate to an authority that is believed.
func (c *Clients) chain(shown []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, one := range shown[1:] {
		between.AddCert(one)
	}
	chains, err := shown[0].Verify(x509.VerifyOptions{
		Roots: c.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("the client's certificate: %w", err)
	}
	for _, chain := range chains {
		if err = c.standing(chain, now); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// standing returns an error if one of a chain was revoked, or nobody knows.
func (c *Clients) standing(chain []*x509.Certificate, now time.Time) error {
	for _, one := range chain[:len(chain)-1] { // the last is the authority itself
		until, listed := c.until[string(one.RawIssuer)]
		switch {
		case c.revoked[certificateName(one.RawIssuer, one.SerialNumber)]:
			return fmt.Errorf("the certificate of %s was revoked", one.Subject)
		case listed && !until.IsZero() && now.After(until):
			return fmt.Errorf("what %s has revoked since %s is not known", one.Issuer, until.Format(time.RFC3339))
		}
	}
	return nil
}
