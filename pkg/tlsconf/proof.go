package tlsconf

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"strings"
	"time"
)

// A Proof is why a client's certificate is believed: certificates, from its own to the
// last before an authority, and that authority.
type Proof struct {
	// ID has the names of all of them. See Clients.Holds.
	ID   string
	Ends time.Time // when the first of them ends
}

// proofs is what each Proof.ID begins with.
const proofs = "certificate:"

// Believe returns why the certificates are believed that a client has shown, its own
// first, or why they are not.
func (c *Clients) Believe(shown []*x509.Certificate, now time.Time) (Proof, error) {
	if len(shown) == 0 {
		return Proof{}, errNoCertificate
	}
	chain, err := c.chain(shown, now)
	if err != nil {
		return Proof{}, err
	}
	last := chain[len(chain)-1]
	p := Proof{Ends: last.NotAfter}
	var names []string
	for _, one := range chain[:len(chain)-1] {
		names = append(names, certificateName(one.RawIssuer, one.SerialNumber))
		if one.NotAfter.Before(p.Ends) {
			p.Ends = one.NotAfter
		}
	}
	p.ID = proofs + strings.Join(append(names, authorityName(last)), ",")
	return p, nil
}

// Holds reports whether the proof of that ID, which these or earlier Clients have given,
// still is one: its authority is believed, and none of its certificates was revoked.
// That time has passed it does not look at.
func (c *Clients) Holds(id string) bool {
	names := strings.Split(strings.TrimPrefix(id, proofs), ",")
	last := len(names) - 1
	for _, name := range names[:last] {
		if c.revoked[name] {
			return false
		}
	}
	return c.names[names[last]]
}

// IsProof reports whether an ID is one of a Proof.
func IsProof(id string) bool { return strings.HasPrefix(id, proofs) }

// certificateName names a certificate among all of all authorities: its issuer and the
// number that this gave it.
func certificateName(issuer []byte, serial *big.Int) string {
	sum := sha256.Sum256(issuer)
	return hex.EncodeToString(sum[:16]) + ":" + serial.Text(16)
}

// authorityName names an authority by what it signs with. So it is the same one after
// its own certificate was renewed.
func authorityName(a *x509.Certificate) string {
	sum := sha256.Sum256(append(append([]byte{}, a.RawSubject...), a.RawSubjectPublicKeyInfo...))
	return hex.EncodeToString(sum[:16])
}
