// Package tls has testssl.sh look at the https port of a real daemon.
package tls

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

const configuration = `
[server]
http    = ""
https   = "127.0.0.1:0"
ops     = ""
control = ""

[tls]
certificate = "cert.pem"
key         = "key.pem"
hsts        = "365d"

[engine]
path         = "engine"
segment_size = "1MiB"
min_free     = "1MiB"
`

// TestTestssl looks at what a mistake in the code could change: protocols, ciphers, the
// chain, and headers.
func TestTestssl(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	judge(t, []string{"--protocols", "--std", "--server-defaults", "--headers"},
		"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "cipherlist_NULL", "cipherlist_3DES_IDEA", "cipherlist_STRONG", "cert_chain_of_trust", "HSTS_time")
}

// TestLongTestssl looks at everything, known attacks included.
func TestLongTestssl(t *testing.T) {
	if os.Getenv("ORBITD_LONG") == "" {
		t.Skip("make long")
	}
	judge(t, nil, "TLS1_3", "PFS", "heartbleed", "CCS", "ROBOT", "secure_renego", "CRIME_TLS", "BREACH", "POODLE_SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4")
}

// A finding is one that testssl.sh writes.
type finding struct{ ID, Severity, Finding string }

// judge fails where a finding is above LOW, or one of wanted was not looked for.
func judge(t *testing.T, checks []string, wanted ...string) {
	tool, err := exec.LookPath("testssl")
	if err != nil {
		t.Fatal("testssl is missing: apt-get install testssl.sh bind9-dnsutils; tests/run installs it")
	}
	folder, address := serve(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(folder, "report.json")
	args := append([]string{"--quiet", "--warnings", "off", "--color", "0", "--ip", "127.0.0.1", "--add-ca", filepath.Join(folder, "ca.pem"), "--jsonfile", report}, checks...)
	said, err := exec.CommandContext(t.Context(), tool, append(args, "localhost:"+port)...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() > 200) { // below, it counts findings
		t.Fatalf("%v\n%s", err, said)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var findings []finding
	if err := json.Unmarshal(text, &findings); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	looked := map[string]bool{}
	for _, f := range findings {
		looked[f.ID] = true
		switch f.Severity {
		case "OK", "INFO":
		case "LOW":
			t.Logf("LOW %s: %s", f.ID, f.Finding)
		default:
			if f.ID != "engine_problem" { // of the openssl beside it
				t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
			}
		}
	}
	for _, id := range wanted {
		if !looked[id] {
			t.Errorf("%s was not looked for", id)
		}
	}
	if t.Failed() {
		t.Logf("%s", said)
	}
	t.Logf("%d findings", len(findings))
}

// serve starts a daemon with a certificate as an authority on the Internet would sign it.
func serve(t *testing.T) (folder, address string) {
	t.Helper()
	folder = t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := tlstest.NewAuthority()
	tlstest.Write(t, folder, a.ClientCertificate("localhost", func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
		c.ExtKeyUsage, c.KeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, x509.KeyUsageDigitalSignature
		c.NotAfter = time.Now().Add(90 * 24 * time.Hour)
		c.CRLDistributionPoints = []string{"http://127.0.0.1:9/ca.crl"} // nobody asks there
	}))
	write("ca.pem", string(a.PEM()))
	write("orbitd.toml", configuration)
	log := logrus.New()
	log.SetOutput(io.Discard)
	d, err := daemon.Start(daemon.Options{
		Load:   func() (*config.Config, error) { return config.Load(filepath.Join(folder, "orbitd.toml")) },
		Logger: log, Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return folder, d.Addrs("https")[0].String()
}
