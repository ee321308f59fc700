package systemd

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
)

// UseJournal has a logger write to the journal itself where standard error is
// connected to it: with the priority of each entry, and its fields as the
// journal's, so that `journalctl -u orbitd -p warning` and `journalctl
// ORBITD_APP=chat` find them. It reports whether that is so.
func UseJournal(log *logrus.Logger) bool {
	if connected, err := journal.StderrIsJournalStream(); err != nil || !connected {
		return false
	}
	log.AddHook(&Journal{Send: journal.Send, Fallback: os.Stderr})
	log.SetOutput(io.Discard)
	return true
}

// A Journal is the hook that sends entries there.
type Journal struct {
	Send func(message string, p journal.Priority, fields map[string]string) error
	// Fallback gets what cannot be sent, with the priority in front (sd-daemon(3)):
	// standard error leads to the journal, too.
	Fallback io.Writer
}

// Levels implements logrus.Hook.
func (*Journal) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (j *Journal) Fire(e *logrus.Entry) error {
	p, text := priority(e.Level), plain(e)
	fields := map[string]string{"SYSLOG_IDENTIFIER": "orbitd"}
	for key, value := range e.Data {
		fields[fieldName(key)] = fmt.Sprint(value)
	}
	if err := j.Send(text, p, fields); err == nil {
		return nil
	}
	prefix := fmt.Sprintf("<%d>", p)
	_, err := io.WriteString(j.Fallback, prefix+strings.ReplaceAll(text, "\n", "\n"+prefix)+"\n")
	return err
}

// plain is an entry as a person reads it: the journal has the time and the level.
func plain(e *logrus.Entry) string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, key := range slices.Sorted(maps.Keys(e.Data)) {
		value := fmt.Sprint(e.Data[key])
		if value == "" || strings.ContainsAny(value, " \t\n\"=") {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, " %s=%s", key, value)
	}
	return b.String()
}

// fieldName returns the journal's name of a field: capital letters, digits and
// underscores (systemd.journal-fields(7)).
func fieldName(key string) string {
	return "ORBITD_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
}

func priority(l logrus.Level) journal.Priority {
	switch l {
	case logrus.PanicLevel, logrus.FatalLevel:
		return journal.PriCrit
	case logrus.ErrorLevel:
		return journal.PriErr
	case logrus.WarnLevel:
		return journal.PriWarning
	case logrus.InfoLevel:
		return journal.PriInfo
	}
	return journal.PriDebug
}
