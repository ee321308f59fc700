package tlsconf_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/tlsconf"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

// believing returns whom a server believes that trusts an authority and its list.
func believing(t *testing.T, a *tlstest.Authority, list []byte, required bool) *tlsconf.Clients {
	t.Helper()
	return believingAll(t, a.PEM(), list, required)
}

func believingAll(t *testing.T, authorities, list []byte, required bool) *tlsconf.Clients {
	t.Helper()
	ca, crl := filepath.Join(t.TempDir(), "ca.pem"), ""
	write := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(ca, authorities)
	if list != nil {
		crl = filepath.Join(t.TempDir(), "ca.crl")
		write(crl, list)
	}
	c, err := tlsconf.LoadClients(ca, crl, required)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// meet does a handshake and one byte each way: in TLS 1.3 a client is done before the
// server has looked at its certificate. It returns what the server saw.
func meet(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := pair(t)
	defer a.Close()
	defer b.Close()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Write([]byte{1})
		_, _ = c.Read(make([]byte, 1))
		b.Close()
	}()
	_, err := s.Read(make([]byte, 1))
	if err == nil {
		_, err = s.Write([]byte{1})
	}
	a.Close()
	<-done
	return s.ConnectionState(), err
}

// pair returns both ends of a connection, which hold what is written.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if b, err = net.Dial("tcp", l.Addr().String()); err == nil {
		a, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// TestClientsCertificates is the table of what somebody may show who wants in.
func TestClientsCertificates(t *testing.T) {
	ours, foreign := tlstest.NewAuthority(), tlstest.NewAuthority()
	good, revoked := ours.ClientCertificate("robot"), ours.ClientCertificate("robot")
	list := ours.Revoked(time.Now().Add(time.Hour), revoked)
	self := foreign.ClientCertificate("robot", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
	for name, c := range map[string]struct {
		shown    *tls.Certificate
		required bool
		list     []byte
		good     bool
	}{
		"good":                          {shown: &good, list: list, good: true},
		"good, and required":            {shown: &good, list: list, required: true, good: true},
		"none":                          {list: list, good: true},
		"none, and required":            {list: list, required: true},
		"of a foreign authority":        {shown: shown(foreign.ClientCertificate("robot")), list: list},
		"an authority by itself":        {shown: &self, list: list},
		"ended":                         {shown: shown(ours.ClientCertificate("robot", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))},
		"not yet valid":                 {shown: shown(ours.ClientCertificate("robot", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }))},
		"of a server":                   {shown: shown(ours.Certificate("robot"))},
		"for signing code":              {shown: shown(ours.ClientCertificate("robot", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }))},
		"for client and server":         {shown: shown(ours.ClientCertificate("robot", func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) })), good: true},
		"revoked":                       {shown: &revoked, list: list},
		"revoked, and there is no list": {shown: &revoked, good: true},
		"the list is out of date":       {shown: &good, list: ours.Revoked(time.Now().Add(-time.Minute))},
	} {
		set := tlsconf.Set{Identities: []*tlsconf.Identity{identity(t, ours.Certificate())}, Clients: believing(t, ours, c.list, c.required)}
		server := tlsconf.NewServer(set, nil).Config()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := ours.Client()
			client.MinVersion, client.MaxVersion = version, version
			if c.shown != nil { // whatever the server asks for
				client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.shown, nil }
			}
			state, err := meet(t, server, client)
			if (err == nil) != c.good {
				t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
			}
			if err == nil && (len(state.PeerCertificates) > 0) != (c.shown != nil) {
				t.Errorf("%s: %d certificates", name, len(state.PeerCertificates))
			}
		}
	}
}

func shown(c tls.Certificate) *tls.Certificate { return &c }

// TestResumedAfterRevocation: a ticket of before is worth nothing once its certificate
// was revoked, or its authority is believed no more.
func TestResumedAfterRevocation(t *testing.T) {
	ours, other := tlstest.NewAuthority(), tlstest.NewAuthority()
	robot := ours.ClientCertificate("robot")
	identities := []*tlsconf.Identity{identity(t, ours.Certificate())}
	believed := tlsconf.Set{Identities: identities, Clients: believing(t, ours, nil, true)}
	for name, after := range map[string]tlsconf.Set{
		"revoked":           {Identities: identities, Clients: believing(t, ours, ours.Revoked(time.Now().Add(time.Hour), robot), true)},
		"another authority": {Identities: identities, Clients: believing(t, other, nil, true)},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s := tlsconf.NewServer(believed, nil)
			server, client := s.Config(), ours.Client()
			client.MinVersion, client.MaxVersion = version, version
			client.Certificates, client.ClientSessionCache = []tls.Certificate{robot}, tls.NewLRUClientSessionCache(1)
			for _, resumed := range []bool{false, true} {
				if state, err := meet(t, server, client); err != nil || state.DidResume != resumed {
					t.Fatalf("resumed: %t, %v", state.DidResume, err)
				}
			}
			s.Use(after)
			if _, err := meet(t, server, client); err == nil {
				t.Errorf("%s, %s: a ticket of before is good", name, tls.VersionName(version))
			}
		}
	}
}

func TestLoadClientsRefuses(t *testing.T) {
	ours, foreign := tlstest.NewAuthority(), tlstest.NewAuthority()
	folder := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chain, key := tlstest.Encode(ours.ClientCertificate("robot"))
	ca, empty, list := write("ca", ours.PEM()), write("empty", nil), write("list", ours.Revoked(time.Now().Add(time.Hour)))
	for name, files := range map[string][2]string{
		"no authorities":         {empty, ""},
		"not there":              {filepath.Join(folder, "none"), ""},
		"a client's certificate": {write("client", chain), ""},
		"a key":                  {write("key", key), ""},
		"no list":                {ca, empty},
		"a foreign list":         {ca, write("foreign", foreign.Revoked(time.Now().Add(time.Hour)))},
		"lists for authorities":  {list, ""},
	} {
		if _, err := tlsconf.LoadClients(files[0], files[1], false); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := tlsconf.LoadClients(ca, list, false); err != nil {
		t.Error(err)
	}
}

// TestByName: each name is answered with its own certificate, of the kind that the
// client can use.
func TestByName(t *testing.T) {
	a := tlstest.NewAuthority()
	s := tlsconf.NewServer(set(
		identity(t, a.Certificate("first.example", "localhost")), identity(t, a.Certificate("second.example")), identity(t, a.Certificate("*.wild.example")),
	), nil)
	for asked, want := range map[string]string{
		"first.example": "first.example", "second.example": "second.example", "SECOND.example": "second.example", "a.wild.example": "*.wild.example",
		"a.b.wild.example": "first.example", "nobody.example": "first.example", "": "first.example",
	} {
		client := a.Client()
		client.ServerName, client.InsecureSkipVerify = asked, true
		state, err := shake(t, s.Config("h2"), client)
		if err != nil || state.PeerCertificates[0].DNSNames[0] != want {
			t.Errorf("%q is answered by %v, %v", asked, state.PeerCertificates, err)
		}
	}
}
