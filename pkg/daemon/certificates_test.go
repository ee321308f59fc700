package daemon_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

// A back end is the user in its certificate, by every front door with TLS, for as long as
// the certificate is good; a browser that has one is asked to vouch for the page.
func TestClientsCertificates(t *testing.T) {
	ours, foreign := tlstest.NewAuthority(), tlstest.NewAuthority()
	s := &site{t: t, folder: t.TempDir()}
	tlstest.Write(t, s.folder, ours.Certificate())
	s.write("ca.pem", string(ours.PEM()))
	s.write("ca.crl", string(ours.Revoked(time.Now().Add(time.Hour))))
	s.write("orbitd.toml", strings.Replace(server, "http ", "https = \"127.0.0.1:0\"\nstomps = \"127.0.0.1:0\"\nhttp ", 1)+small+`
[tls]
certificate = "cert.pem"
key         = "key.pem"
client_ca   = "ca.pem"
client_crl  = "ca.crl"
hsts        = "1d"

[[auth]]
type = "certificate"

[[channel]]
match = "/desk/*"
subscribe = ["user:robot"]
publish = ["user:robot"]
`)
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	robot := ours.ClientCertificate("robot")
	by := func(certificates ...tls.Certificate) *tls.Config {
		c := ours.Client()
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &append(certificates, tls.Certificate{})[0], nil
		}
		return c
	}
	publish := func(config *tls.Config, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+s.address("https")+"/v1/publish/desk/1", strings.NewReader("1"))
		must(t, err)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := (&http.Transport{TLSClientConfig: config, DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			return 0, ""
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, answer.Header.Get("Strict-Transport-Security")
	}
	for name, c := range map[string]struct {
		config *tls.Config
		header []string
		status int
	}{
		"good":                          {by(robot), nil, 200},
		"none":                          {by(), nil, 403},
		"another user":                  {by(ours.ClientCertificate("clerk")), nil, 403},
		"of a foreign authority":        {by(foreign.ClientCertificate("robot")), nil, 0},
		"a token beside it":             {by(robot), []string{"Authorization", "Bearer x"}, 401},
		"a page of the server's own":    {by(robot), []string{"Origin", "https://" + s.address("https")}, 200},
		"a page that may call":          {by(robot), []string{"Origin", "https://good.example"}, 200},
		"a foreign page":                {by(robot), []string{"Origin", "https://evil.example"}, 403},
		"a foreign page without Origin": {by(robot), []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if status, hsts := publish(c.config, c.header...); status != c.status || status != 0 && hsts != "max-age=86400" {
			t.Errorf("%s: %d, %q; want %d", name, status, hsts, c.status)
		}
	}

	socket, err := tls.Dial("tcp", s.address("https"), by(robot))
	must(t, err)
	defer socket.Close()
	_, _, err = ws.Dialer{}.Upgrade(socket, &url.URL{Scheme: "wss", Host: s.address("https"), Path: "/v1/ws"})
	must(t, err)
	must(t, wsutil.WriteClientText(socket, []byte(`{"id":1,"op":"connect","last":{"/desk/1":0}}`)))
	if text, err := wsutil.ReadServerText(socket); err != nil || !strings.Contains(string(text), `"user":"robot"`) {
		t.Fatalf("%s, %v", text, err)
	}
	stomp, err := tls.Dial("tcp", s.address("stomps"), by(robot))
	must(t, err)
	defer stomp.Close()
	_, err = fmt.Fprint(stomp, "CONNECT\naccept-version:1.2\nhost:here\n\n\x00SUBSCRIBE\nid:1\ndestination:/desk/1\nreceipt:r\n\n\x00")
	must(t, err)
	frames := bufio.NewReader(stomp)
	for _, want := range []string{"CONNECTED\n", "RECEIPT\n"} {
		if frame, err := frames.ReadString(0); err != nil || !strings.Contains(frame, want) {
			t.Fatalf("%q, %v", frame, err)
		}
	}

	s.write("ca.crl", string(ours.Revoked(time.Now().Add(time.Hour), robot)))
	must(t, s.Reload(t.Context()))
	var told strings.Builder
	for err == nil {
		var text []byte
		text, err = wsutil.ReadServerText(socket)
		told.Write(text)
	}
	if !strings.Contains(told.String(), `"bye":{"code":"unauthorized"}`) {
		t.Errorf("it goes on: %s", told.String())
	}
	if frame, err := frames.ReadString(0); err != nil || !strings.Contains(frame, "code:unauthorized") {
		t.Errorf("STOMP goes on: %q, %v", frame, err)
	}
	if status, _ := publish(by(robot)); status != 0 {
		t.Errorf("after it was revoked: %d", status)
	}
}
