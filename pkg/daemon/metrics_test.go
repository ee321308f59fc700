package daemon_test

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
	"github.com/orbitd/orbitd/tests/slapd"
)

// scrape returns what /metrics says: all of it, and the values by name and labels.
func (s *site) scrape() (text string, values map[string]float64) {
	s.t.Helper()
	answer, text := s.do("GET", "ops", "/metrics", "")
	if answer.StatusCode != 200 {
		s.t.Fatalf("%d %s", answer.StatusCode, text)
	}
	values = map[string]float64{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			v, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
			must(s.t, err)
			values[name] = v
		}
	}
	return text, values
}

// watchOpen returns the lines of a stream of /open/invented.
func (s *site) watchOpen(path string) lines {
	s.t.Helper()
	k := s.keep(s.t)
	k.post(path, `{"id":1,"op":"connect","last":{"/open/invented":0}}`)
	answer, err := http.ReadResponse(k.in, nil)
	must(s.t, err)
	return newLines(answer)
}

// until scrapes until a value is reached: what the loops count is a tick old.
func (s *site) until(name string, want float64) {
	s.t.Helper()
	for range 500 {
		if _, values := s.scrape(); values[name] == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, values := s.scrape()
	s.t.Fatalf("%s is %v, want %v", name, values[name], want)
}

// TestMetrics: what happens is counted, under names that the manual has, and without
// any that a client makes up.
func TestMetrics(t *testing.T) {
	a := tlstest.NewAuthority()
	s := &site{t: t, folder: t.TempDir()}
	tlstest.Write(t, s.folder, a.Certificate())
	s.write("orbitd.toml", strings.Replace(secured, "http ", "stomp = \"127.0.0.1:0\"\nhttp ", 1)+certificate+small+open+`
[app.open]
quota = { publish_rate = 1_000 }

[[auth]]
type = "token"
`)
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	w := s.watchOpen("/v1/stream")
	w.until(t, `"subs"`)
	stomp, err := net.Dial("tcp", s.address("stomp"))
	must(t, err)
	defer stomp.Close()
	_, err = fmt.Fprint(stomp, "CONNECT\naccept-version:1.2\nhost:here\n\n\x00SUBSCRIBE\nid:1\ndestination:/open/invented\nreceipt:r\n\n\x00")
	must(t, err)
	for frames, n := bufio.NewReader(stomp), 0; n < 2; n++ { // CONNECTED, RECEIPT
		_, err = frames.ReadString(0)
		must(t, err)
	}
	for range 3 {
		s.publish("/open/invented", 200)
	}
	w.until(t, `"o":4`)
	s.publish("/closed/invented", 403)
	s.do("POST", "http", "/v1/publish/open/a", "1", "Authorization", "Bearer no.such.token")
	for name, want := range map[string]float64{
		`orbitd_connections{transport="stream"}`:            1,
		`orbitd_connections{transport="websocket"}`:         0,
		`orbitd_connections{transport="stomp"}`:             1,
		`orbitd_sessions{state="connected"}`:                1,
		`orbitd_subscriptions`:                              2,
		`orbitd_subscriptions_lagging`:                      0,
		`orbitd_delivered_messages_total{protocol="stomp"}`: 3,
		`orbitd_delivered_messages_total{protocol="orbit"}`: 3,
		`orbitd_published_messages_total{outcome="stored"}`: 3,
		`orbitd_refused_publishes_total{code="forbidden"}`:  1,
		`orbitd_logins_total{auth="none",outcome="denied"}`: 1,
		`orbitd_app_connections{app="open"}`:                2,
		`orbitd_app_quota{app="open",quota="publish_rate"}`: 1000,
		`orbitd_log_segments`:                               1,
		`orbitd_engine_refusing`:                            0,
		`orbitd_reloads_total{outcome="in_force"}`:          0,
		`orbitd_last_reload_successful`:                     1,
	} {
		s.until(name, want)
	}
	text, values := s.scrape()
	for _, name := range []string{
		"orbitd_commit_duration_seconds_count", "orbitd_log_bytes", "orbitd_sent_bytes_total", "orbitd_received_bytes_total", "go_goroutines", "process_open_fds",
		`orbitd_app_stored_bytes{app="open"}`, `orbitd_delivered_bytes_total{protocol="orbit"}`,
	} {
		if values[name] <= 0 {
			t.Errorf("%s is %v", name, values[name])
		}
	}
	end := values[`orbitd_certificate_end_timestamp_seconds{file="`+s.folder+`/cert.pem"}`]
	if left := time.Until(time.Unix(int64(end), 0)); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the certificate ends in %v", left)
	}
	for _, made := range []string{"invented", "no.such"} {
		if strings.Contains(text, made) {
			t.Errorf("%q is in the metrics", made)
		}
	}
	s.write("orbitd.toml", "nonsense")
	if s.Reload(t.Context()) == nil {
		t.Fatal("nonsense was loaded")
	}
	s.until(`orbitd_reloads_total{outcome="refused"}`, 1)
	s.until(`orbitd_last_reload_successful`, 0)

	problems, err := promlint.New(strings.NewReader(text)).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	documented(t, text, "orbitd_ldap")
}

// documented compares the names with those of the manual, but for some that are not
// always there.
func documented(t *testing.T, text, not string) {
	t.Helper()
	page, err := os.ReadFile("../../man/orbitd.8")
	must(t, err)
	names := func(text, pattern string) map[string]bool {
		all := map[string]bool{}
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			if not == "" || !strings.HasPrefix(found[1], not) {
				all[found[1]] = true
			}
		}
		return all
	}
	told, written := names(text, `(?m)^# HELP (orbitd_\w+) `), names(string(page), `(?m)^\.B (orbitd_\w+)`)
	if !maps.Equal(told, written) {
		t.Errorf("/metrics has %q\nand the manual %q", slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(written)))
	}
}

// TestMetricsOfADirectory: how many connections to it there are, of each kind.
func TestMetricsOfADirectory(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, "")
	token(t, s, "bob")
	_, values := s.scrape()
	for name, want := range map[string]float64{
		`orbitd_ldap_connections{auth="ldap",kind="search",state="idle"}`: 1,
		`orbitd_ldap_connections{auth="ldap",kind="bind",state="in_use"}`: 0,
		`orbitd_ldap_connections_limit{auth="ldap",kind="bind"}`:          8,
		`orbitd_logins_total{auth="ldap",outcome="accepted"}`:             1,
	} {
		if v, ok := values[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

// A certificate that is named twice is one.
func TestCertificateNamedTwice(t *testing.T) {
	s := &site{t: t, folder: t.TempDir()}
	tlstest.Write(t, s.folder, tlstest.NewAuthority().Certificate())
	s.write("orbitd.toml", secured+certificate+"also = [{ certificate = \"./cert.pem\", key = \"key.pem\" }]\n"+small)
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	if text, _ := s.scrape(); strings.Count(text, "\norbitd_certificate_end_timestamp_seconds{") != 1 {
		t.Error(text)
	}
}
