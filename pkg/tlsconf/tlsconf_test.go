package tlsconf_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/tlsconf"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

func identity(t *testing.T, c tls.Certificate) *tlsconf.Identity {
	t.Helper()
	certificate, key := tlstest.Write(t, t.TempDir(), c)
	i, err := tlsconf.Load(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func set(identities ...*tlsconf.Identity) tlsconf.Set { return tlsconf.Set{Identities: identities} }

// shake does one handshake and returns what the client saw.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	s, c := tls.Server(a, server), tls.Client(b, client)
	go func() {
		err := s.Handshake()
		if err != nil {
			a.Close()
		}
		done <- err
	}()
	err := c.Handshake()
	b.Close()
	<-done
	return c.ConnectionState(), err
}

func TestVersionsAndSuites(t *testing.T) {
	a := tlstest.NewAuthority()
	server := tlsconf.NewServer(set(identity(t, a.Certificate())), nil).Config("h2", "http/1.1")
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := a.Client()
		c.MinVersion, c.MaxVersion = version, version
		if _, err := shake(t, server, c); (err == nil) != good {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	good := 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		c := a.Client()
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
		state, err := shake(t, server, c)
		if err != nil {
			continue
		}
		good++
		if !strings.HasPrefix(suite.Name, "TLS_ECDHE_") || strings.Contains(suite.Name, "CBC") || state.CipherSuite != suite.ID {
			t.Errorf("%s is taken", suite.Name)
		}
	}
	if good != 3 { // those for a key of this kind
		t.Errorf("%d suites of TLS 1.2 are taken", good)
	}
}

func TestProtocolIsAgreedOn(t *testing.T) {
	a := tlstest.NewAuthority()
	server := tlsconf.NewServer(set(identity(t, a.Certificate())), nil).Config("h2", "http/1.1")
	for offer, want := range map[string]string{"http/1.1 h2": "h2", "http/1.1": "http/1.1", "": ""} {
		c := a.Client()
		c.NextProtos = strings.Fields(offer)
		if s, err := shake(t, server, c); err != nil || s.NegotiatedProtocol != want {
			t.Errorf("%q: %q and %v", offer, s.NegotiatedProtocol, err)
		}
	}
}

// TestAnotherIdentity: what is put in force is used by the next handshake.
func TestAnotherIdentity(t *testing.T) {
	a, b := tlstest.NewAuthority(), tlstest.NewAuthority()
	s := tlsconf.NewServer(set(identity(t, a.Certificate())), nil)
	config := s.Config("http/1.1")
	if _, err := shake(t, config, b.Client()); err == nil {
		t.Fatal("a stranger's certificate was trusted")
	}
	s.Use(set(identity(t, b.Certificate("localhost", "other.example"))))
	state, err := shake(t, config, b.Client())
	if err != nil {
		t.Fatal(err)
	}
	if names := state.PeerCertificates[0].DNSNames; !slices.Equal(names, []string{"localhost", "other.example"}) {
		t.Errorf("the certificate is for %v", names)
	}
}

func TestLoad(t *testing.T) {
	a := tlstest.NewAuthority()
	certificate, key := tlstest.Write(t, t.TempDir(), a.Certificate())
	_, other := tlstest.Write(t, t.TempDir(), a.Certificate())
	both := filepath.Join(t.TempDir(), "both.pem")
	var text []byte
	for _, path := range []string{certificate, key} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	if err := os.WriteFile(both, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ certificate, key, want string }{
		{certificate, key, ""},
		{both, both, ""},
		{certificate, other, "does not match"},
		{key, key, "certificate"},
		{certificate, certificate, "key"},
		{"none", key, "no such file"},
	} {
		_, err := tlsconf.Load(test.certificate, test.key)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, %s: %v", test.certificate, test.key, err)
		}
	}
}

func TestUntil(t *testing.T) {
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	i := identity(t, tlstest.NewAuthority().CertificateUntil(end))
	for after, want := range map[time.Duration]string{0: "", time.Minute: "ended at", -2000 * time.Hour: "not valid before"} {
		got, err := i.Until(end.Add(after))
		if !got.Equal(end) || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s after its end: %s and %v", after, got, err)
		}
	}
}
