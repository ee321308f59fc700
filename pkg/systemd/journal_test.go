package systemd_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/systemd"
)

// journaled returns a logger and what its journal gets, an entry a line.
func journaled(failing error) (*logrus.Logger, *strings.Builder) {
	var out strings.Builder
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.DebugLevel)
	log.AddHook(&systemd.Journal{Fallback: &out, Send: func(text string, p journal.Priority, fields map[string]string) error {
		if failing != nil {
			return failing
		}
		fmt.Fprintf(&out, "%d %s\n", p, text)
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(&out, "  %s=%s\n", key, fields[key])
		}
		return nil
	}})
	return log, &out
}

func TestJournal(t *testing.T) {
	log, out := journaled(nil)
	log.WithFields(logrus.Fields{"at": "orbitd.toml:3", "hint": "write \"x\"", "rules2": 2}).Error("unknown key")
	log.Warn("w")
	log.Info("i")
	log.WithError(errors.New("two\nlines")).Debug("d")
	want := `3 unknown key at=orbitd.toml:3 hint="write \"x\"" rules2=2
  ORBITD_AT=orbitd.toml:3
  ORBITD_HINT=write "x"
  ORBITD_RULES2=2
  SYSLOG_IDENTIFIER=orbitd
4 w
  SYSLOG_IDENTIFIER=orbitd
6 i
  SYSLOG_IDENTIFIER=orbitd
7 d error="two\nlines"
  ORBITD_ERROR=two
lines
  SYSLOG_IDENTIFIER=orbitd
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestJournalThatIsGone(t *testing.T) {
	log, out := journaled(errors.New("nobody listens"))
	log.Error("first\nsecond")
	if want := "<3>first\n<3>second\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestNotTheJournal(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "1:1")
	if systemd.UseJournal(logrus.New()) {
		t.Error("standard error of a test is not the journal")
	}
}
