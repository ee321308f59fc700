package daemon_test

import (
	"bufio"
	"crypto/tls"
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

// A back end is the user in its certificate; a browser that has one is asked to vouch for the page.
func TestClientsCertificates(t *testing.T) {
	ours, foreign := tlstest.NewAuthority(), tlstest.NewAuthority()
	s := newRobotSite(t, ours, string(ours.PEM()))
	robot := ours.ClientCertificate("robot")
	for name, c := range map[string]struct {
		config *tls.Config
		header []string
		status int
	}{
		"good":                          {by(ours, robot), nil, 200},
		"none":                          {by(ours), nil, 403},
		"another user":                  {by(ours, ours.ClientCertificate("clerk")), nil, 403},
		"of a foreign authority":        {by(ours, foreign.ClientCertificate("robot")), nil, 0},
		"a token beside it":             {by(ours, robot), []string{"Authorization", "Bearer x"}, 401},
		"a page of the server's own":    {by(ours, robot), []string{"Origin", "https://" + s.address("https")}, 200},
		"a page that may call":          {by(ours, robot), []string{"Origin", "https://good.example"}, 200},
		"a foreign page":                {by(ours, robot), []string{"Origin", "https://evil.example"}, 403},
		"a foreign page without Origin": {by(ours, robot), []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if status, hsts := s.publishBy(c.config, c.header...); status != c.status || status != 0 && hsts != "max-age=86400" {
			t.Errorf("%s: %d, %q; want %d", name, status, hsts, c.status)
		}
	}
}

// Who is connected by a certificate is, over each transport, until it is believed no
// more: it was revoked, or the authority is none any more. Others stay.
func TestCertificatesThatEnd(t *testing.T) {
	ours, other := tlstest.NewAuthority(), tlstest.NewAuthority()
	robot, rest := ours.ClientCertificate("robot"), other.ClientCertificate("robot")
	for name, change := range map[string]func(*site){
		"revoked": func(s *site) {
			s.write("ca.crl", string(ours.Revoked(time.Now().Add(time.Hour), robot)))
		},
		"the authority removed": func(s *site) {
			s.write("ca.pem", string(other.PEM()))
			s.write("ca.crl", string(other.Revoked(time.Now().Add(time.Hour))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRobotSite(t, ours, string(ours.PEM())+string(other.PEM()))
			ended, stay := s.connectBy(by(ours, robot)), s.connectBy(by(ours, rest))
			change(s)
			must(t, s.Reload(t.Context()))
			if status, _ := s.publishBy(by(ours, robot)); status != 0 {
				t.Errorf("another handshake: a publish is answered %d", status)
			}
			if status, _ := s.publishBy(by(ours, rest)); status != 200 {
				t.Errorf("of the other authority: a publish is answered %d", status)
			}
			for over, next := range ended {
				if told := until(next, "stays"); !strings.Contains(told, "unauthorized") || strings.Contains(told, "stays") {
					t.Errorf("%s goes on: %s", over, told)
				}
			}
			for over, next := range stay {
				if told := until(next, "stays"); !strings.Contains(told, "stays") {
					t.Errorf("%s of the other authority: %s", over, told)
				}
			}
		})
	}
}

// newRobotSite returns a site whose clients may be of the authorities; ours has a list of
// what it has revoked, which is nothing.
func newRobotSite(t *testing.T, ours *tlstest.Authority, authorities string) *site {
	t.Helper()
	s := &site{t: t, folder: t.TempDir()}
	tlstest.Write(t, s.folder, ours.Certificate())
	s.write("ca.pem", authorities)
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
	return s
}

// by returns how somebody does handshakes who has certificates, or none.
func by(server *tlstest.Authority, certificates ...tls.Certificate) *tls.Config {
	c := server.Client()
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &append(certificates, tls.Certificate{})[0], nil
	}
	return c
}

// publishBy publishes "stays" and returns the status, 0 where there was no handshake, and the
// header that has browsers come by TLS alone.
func (s *site) publishBy(config *tls.Config, header ...string) (status int, hsts string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", "https://"+s.address("https")+"/v1/publish/desk/1", strings.NewReader(`"stays"`))
	must(s.t, err)
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

// connectBy reads /desk/1 over each transport that stays, and returns what gives the next text
// that comes over it.
func (s *site) connectBy(config *tls.Config) map[string]func() (string, error) {
	s.t.Helper()
	dial := func(door string) *tls.Conn {
		c, err := tls.Dial("tcp", s.address(door), config)
		must(s.t, err)
		s.t.Cleanup(func() { c.Close() })
		must(s.t, c.SetReadDeadline(time.Now().Add(time.Minute)))
		return c
	}
	upgrade := func(protocols ...string) (send func(string), next func() (string, error)) {
		c := dial("https")
		_, _, err := ws.Dialer{Protocols: protocols}.Upgrade(c, &url.URL{Scheme: "wss", Host: s.address("https"), Path: "/v1/ws"})
		must(s.t, err)
		return func(text string) { must(s.t, wsutil.WriteClientText(c, []byte(text))) },
			func() (string, error) { text, err := wsutil.ReadServerText(c); return string(text), err }
	}
	all := map[string]func() (string, error){}
	begin := func(over string, send func(string), next func() (string, error), texts ...string) {
		for n := 0; n < len(texts); n += 2 {
			send(texts[n])
			if text, err := next(); err != nil || !strings.Contains(text, texts[n+1]) {
				s.t.Fatalf("%s: %q, %v", over, text, err)
			}
		}
		all[over] = next
	}
	frames := []string{"CONNECT\naccept-version:1.2\nhost:here\n\n\x00", "CONNECTED\n", "SUBSCRIBE\nid:1\ndestination:/desk/1\nreceipt:r\n\n\x00", "RECEIPT\n"}
	send, next := upgrade()
	begin("WebSocket", send, next, `{"id":1,"op":"connect","last":{"/desk/1":0}}`, `"user":"robot"`)
	send, next = upgrade("v12.stomp")
	begin("STOMP over WebSocket", send, next, frames...)
	c := dial("stomps")
	in := bufio.NewReader(c)
	begin("STOMP", func(text string) { _, err := io.WriteString(c, text); must(s.t, err) }, func() (string, error) { return in.ReadString(0) }, frames...)
	return all
}

// until returns what comes until something is in it, or the end.
func until(next func() (string, error), want string) string {
	var told strings.Builder
	for !strings.Contains(told.String(), want) {
		text, err := next()
		if told.WriteString(text); err != nil {
			return told.String() + err.Error()
		}
	}
	return told.String()
}
