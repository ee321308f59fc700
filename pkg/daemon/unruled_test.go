package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A rule or an application's file that is moved away for a while closes its channels and
// destroys nothing, over a restart either. What shall go needs a rule.
func TestRuleTakenAway(t *testing.T) {
	const desk = "[[channel]]\nmatch = \"/desk/**\"\nsubscribe = [\"*\"]\npublish = [\"*\"]\nretain = {}\n"
	main := server + small + "retain = { messages = 1 }\n"
	s := newSite(t, main)
	must(t, os.Mkdir(filepath.Join(s.folder, "apps.d"), 0o700))
	there := func() {
		s.write("orbitd.toml", main+open+"retain = {}\n")
		s.write("apps.d/desk.toml", desk)
		must(t, s.Reload(t.Context()))
	}
	kept := func(channel string, want int) {
		t.Helper()
		if _, history := s.do("GET", "http", "/v1/history"+channel, ""); strings.Count(history, `"o":`) != want {
			t.Errorf("%d messages of %s are to be there: %s", want, channel, history)
		}
	}
	there()
	for _, channel := range []string{"/open/a", "/desk/1"} {
		for range 3 {
			s.publish(channel, 200)
		}
		kept(channel, 3)
	}
	s.write("orbitd.toml", main)
	must(t, os.Remove(filepath.Join(s.folder, "apps.d/desk.toml")))
	const warning = "no rule fits 2 channels that have messages, such as /desk/1: they are kept without limit until one does"
	if v := s.Apply(t.Context()); !v.OK() || len(v.Warnings) != 1 || v.Warnings[0].Text != warning {
		t.Errorf("the verdict is %+v", v)
	}
	s.publish("/open/a", 403)
	must(t, s.Stop(t.Context()))
	if log := s.log.String(); !strings.Contains(log, warning) {
		t.Error("the log does not tell of them")
	}
	must(t, s.start(nil))
	if n := s.Status().Unruled; n != 2 {
		t.Errorf("after a restart there are %d channels without a rule", n)
	}
	there()
	kept("/open/a", 3)
	kept("/desk/1", 3)

	s.write("orbitd.toml", main+"[[channel]]\nmatch = \"/open/**\"\n")
	if v := s.Apply(t.Context()); !v.OK() || len(v.Warnings) != 0 || s.Status().Unruled != 0 {
		t.Errorf("the verdict is %+v", v)
	}
	there()
	kept("/open/a", 1)
}
