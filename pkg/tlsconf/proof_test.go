package tlsconf_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

// TestProof: whom a client's certificate was believed for counts as long as the
// certificate would, and so for each that has signed it.
func TestProof(t *testing.T) {
	ours, other := tlstest.NewAuthority(), tlstest.NewAuthority()
	between, signed := ours.Below()
	robot := between.ClientCertificate("robot")
	var shown []*x509.Certificate
	for _, der := range robot.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, c)
	}
	both := slices.Concat(other.PEM(), ours.PEM())
	proof, err := believingAll(t, both, nil, false).Believe(shown, time.Now())
	if err != nil || !proof.Ends.Equal(signed.Leaf.NotAfter) {
		t.Fatalf("%v, %v; it ends with the first of them, %s", proof, err, signed.Leaf.NotAfter)
	}
	hour := time.Now().Add(time.Hour)
	before := ours.PEM()
	ours.Renew()
	for name, c := range map[string]struct {
		authorities, list []byte
		holds             bool
	}{
		"all as before":             {both, nil, true},
		"nobody revoked":            {both, ours.Revoked(hour), true},
		"another revoked":           {both, ours.Revoked(hour, ours.ClientCertificate("robot")), true},
		"the authority alone":       {before, nil, true},
		"the authority was renewed": {ours.PEM(), nil, true},
		"the one between believed":  {between.PEM(), nil, false}, // by that, and not any more by who signed it
		"the authority removed":     {other.PEM(), nil, false},
		"the one between revoked":   {both, ours.Revoked(hour, signed), false},
	} {
		clients := believingAll(t, c.authorities, c.list, false)
		if clients.Holds(proof.ID) != c.holds {
			t.Errorf("%s: it holds: %t", name, !c.holds)
		}
		_, err := clients.Believe(shown, time.Now())
		if again := err == nil; again != c.holds && name != "the one between believed" {
			t.Errorf("%s: at another handshake: %v", name, err)
		}
	}
	for _, id := range []string{"", "certificate:", "certificate:,", proof.ID + ",", proof.ID + "0"} {
		if believingAll(t, both, nil, false).Holds(id) {
			t.Errorf("%q holds", id)
		}
	}
}
