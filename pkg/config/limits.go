package config

import (
	"math"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/acl"
)

// memoryRing is how many messages a channel in memory keeps where its rule sets
// no limit: memory, other than the disk, has no floor that publishes stop at.
const memoryRing = 1000

// The sizes that the limits are bounded by, for readability.
const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// maxMessage bounds session.max_message.
const maxMessage = 16 * mib

func readEngine(t *table, state string) Engine {
	e := Engine{
		Type:        t.choice("type", LocalEngine, LocalEngine, MemoryEngine),
		Path:        t.doc.absolute(t.text("path", state, "/var/lib/orbitd")),
		KeyWindow:   t.duration("key_window", day, time.Minute, 30*day),
		KeyCount:    t.number("key_count", 1_000_000, 1_000, 100_000_000),
		SegmentSize: t.size("segment_size", 64*mib, mib, gib),
		MinFree:     t.size("min_free", 256*mib, 0, 16*tib),
		Retain:      t.retain("retain", acl.Storage{Age: 7 * day}),
	}
	t.done()
	for _, key := range []string{"path", "segment_size", "min_free"} {
		if e.Type == MemoryEngine && t.has(key) {
			t.noEffect(key, `remove it, or write type = "local"`, "the memory engine has no files")
		}
	}
	return e
}

func readSession(t *table) Session {
	s := Session{
		TTL:           t.duration("ttl", 2*time.Minute, time.Second, day),
		DurableTTL:    t.duration("durable_ttl", 30*day, time.Minute, 3650*day),
		Window:        t.number("window", 256, 1, 65_536),
		WindowBytes:   t.size("window_bytes", mib, 4*kib, gib),
		MaxMessage:    t.size("max_message", 64*kib, kib, maxMessage),
		MaxChannels:   t.number("max_channels", 1_000, 1, 100_000),
		MaxSessions:   t.number("max_sessions", 1_000_000, 1, 100_000_000),
		MaxNamed:      t.number("max_named", 1_000, 1, 1_000_000),
		MaxDeliveries: t.number("max_deliveries", 10, 1, 1_000),
		CommandRate:   t.number("command_rate", 1_000, 1, 1_000_000),
		CommandBurst:  t.number("command_burst", 10_000, 1, 10_000_000),
		BackendRate:   t.number("backend_rate", 0, 0, 10_000_000),
		LoginTimeout:  t.duration("login_timeout", 10*time.Second, 100*time.Millisecond, 5*time.Minute),
		Ping:          t.duration("ping", 25*time.Second, time.Second, 10*time.Minute),
	}
	t.done()
	if s.WindowBytes < s.MaxMessage {
		t.fail("window_bytes", "write at least "+quoted([]string{formatSize(s.MaxMessage)})+", or lower max_message",
			"a window of %s has no room for one message of max_message, %s", formatSize(s.WindowBytes), formatSize(s.MaxMessage))
	}
	return s
}

// readLog knows the levels that an operator chooses among; see the house style.
func readLog(t *table) Log {
	name := t.choice("level", "info", "error", "warning", "info", "debug")
	level, err := logrus.ParseLevel(name)
	if err != nil {
		level = logrus.InfoLevel
	}
	l := Log{Level: level, Format: t.choice("format", TextLog, TextLog, JSONLog)}
	t.done()
	return l
}

// retain reads the limits of what is stored; what a table does not name is
// without limit.
func (t *table) retain(key string, fallback acl.Storage) acl.Storage {
	r := t.sub(key, t.label+key+".", `{ age = "7d", messages = 100_000, bytes = "1GiB" }`)
	if r.values == nil {
		return fallback
	}
	s := acl.Storage{
		Age:      r.duration("age", 0, time.Second, 36_500*day),
		Messages: r.number("messages", 0, 1, math.MaxInt32),
		Bytes:    r.size("bytes", 0, kib, 1024*tib),
	}
	r.done()
	return s
}
