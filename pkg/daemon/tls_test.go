package daemon_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

const certificate = "\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n"

// secured is server with https beside http.
var secured = strings.Replace(server, "[server]\n", "[server]\nhttps = \"127.0.0.1:0\"\n", 1)

// newSecureSite returns a site with https, and who its clients trust.
func newSecureSite(t *testing.T) (*site, *tlstest.Authority) {
	t.Helper()
	a := tlstest.NewAuthority()
	s := &site{t: t, folder: t.TempDir()}
	tlstest.Write(t, s.folder, a.Certificate())
	s.write("orbitd.toml", secured+certificate+small+open)
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	return s, a
}

// TestSecure publishes over HTTP/2 and over WebSocket, and receives both.
func TestSecure(t *testing.T) {
	s, a := newSecureSite(t)
	received := make(chan string, 2)
	c, err := client.New(client.Options{URL: "https://" + s.address("https"), TLS: a.Client()})
	must(t, err)
	must(t, c.Subscribe(client.Subscription{
		Channel: "/open/a", From: &message.Position{},
		OnMessage: func(m *message.Message, _ message.Epoch, _ bool) { received <- string(m.Data) },
	}))
	running, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	_, err = c.Publish(t.Context(), client.Publication{Channel: "/open/a", Data: []byte(`"by wss"`)})
	must(t, err)

	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: a.Client(), Protocols: protocols}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+s.address("https")+"/v1/publish/open/a", strings.NewReader(`"by h2"`))
	must(t, err)
	answer, err := transport.RoundTrip(request)
	must(t, err)
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	if answer.Body.Close(); answer.StatusCode != 200 || answer.ProtoMajor != 2 {
		t.Fatalf("%s %s: %s", answer.Proto, answer.Status, text)
	}
	for _, want := range []string{`"by wss"`, `"by h2"`} {
		select {
		case got := <-received:
			if got != want {
				t.Errorf("received %s, want %s", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("not received: ", want)
		}
	}
	end()
	<-ended
}

// TestRenewal: a reload has the new certificate, and one that is not right, or not valid,
// leaves the old one.
func TestRenewal(t *testing.T) {
	s, a := newSecureSite(t)
	ended := a.CertificateUntil(time.Now().Add(-time.Minute), "old.example")
	var last config.Problems
	for _, step := range []struct {
		change func()
		good   bool
		want   string
	}{
		{func() {}, true, "localhost"},
		{func() { tlstest.Write(t, s.folder, a.Certificate("localhost", "two.example")) }, true, "two.example"},
		{func() { s.write("key.pem", "half-written") }, false, "two.example"},
		{func() { must(t, os.Remove(filepath.Join(s.folder, "cert.pem"))) }, false, "two.example"},
		{func() { tlstest.Write(t, s.folder, ended) }, true, "two.example"},
	} {
		step.change()
		v := s.Apply(t.Context())
		if v.OK() != step.good {
			t.Errorf("%s: %+v", step.want, v)
		}
		last = v.Warnings
		if got := s.served(a); got != step.want {
			t.Errorf("the certificate is for %s, want %s", got, step.want)
		}
	}
	if len(last) != 1 || !strings.Contains(last[0].Text, "tls.certificate: clients refuse it, as it has ended at ") {
		t.Errorf("warned of %v", last)
	}
	must(t, s.Stop(t.Context()))
	must(t, s.start(nil)) // there is no other now
	if got := s.served(a); got != "old.example" {
		t.Errorf("after a restart the certificate is for %s", got)
	}
	must(t, s.Stop(t.Context()))
	for _, told := range []string{"the one before stays in use", "clients will refuse this server's certificate: renew it, and reload"} {
		if !strings.Contains(s.log.String(), told) {
			t.Errorf("nobody is told: %s", told)
		}
	}
}

// served returns the last name of the certificate that a client is shown.
func (s *site) served(a *tlstest.Authority) string {
	s.t.Helper()
	config := a.Client()
	config.InsecureSkipVerify = true // it may have ended
	nc, err := tls.Dial("tcp", s.address("https"), config)
	must(s.t, err)
	defer nc.Close()
	names := nc.ConnectionState().PeerCertificates[0].DNSNames
	return names[len(names)-1]
}

func TestSocketWithoutCertificate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &site{t: t, folder: t.TempDir()}
	s.write("orbitd.toml", server+small)
	err = s.start(map[string][]net.Listener{"https": {l}})
	if err == nil || !strings.Contains(err.Error(), "there is no certificate\nhint: write certificate and key in [tls]") {
		t.Errorf("got %v", err)
	}
}
