package daemon

import (
	"reflect"
	"runtime"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/local"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/session"
	"github.com/orbitd/orbitd/pkg/stomp"
	"github.com/orbitd/orbitd/pkg/transport"
)

func maxLoops() int { return min(runtime.GOMAXPROCS(0), hub.MaxShards) }

func makeEngine(c *config.Config, r *rights, log logrus.FieldLogger, now func() time.Time) (engine.Engine, error) {
	if c.Engine.Type == config.MemoryEngine {
		log.Warn("the memory engine keeps nothing: all messages are gone with the process")
		return memory.New(memory.Options{Now: now, KeyWindow: c.Engine.KeyWindow, KeyCount: c.Engine.KeyCount, Rules: r.Storage}), nil
	}
	return local.Open(local.Options{
		Dir: c.Engine.Path, Logger: log, Now: now, Rules: r.Storage,
		KeyWindow: c.Engine.KeyWindow, KeyCount: c.Engine.KeyCount,
		SegmentSize: c.Engine.SegmentSize, MinFree: c.Engine.MinFree,
	})
}

func sessionLimits(s config.Session) session.Limits {
	return session.Limits{
		TTL: s.TTL, EmptyTTL: s.LoginTimeout, DurableTTL: s.DurableTTL, Window: s.Window, WindowBytes: int(s.WindowBytes),
		Channels: s.MaxChannels, Sessions: s.MaxSessions, Named: s.MaxNamed,
	}
}

func gateRules(c *config.Config) origin.Rules {
	return origin.Rules{Hosts: c.Server.Hosts, Origins: c.Origins(), Proxies: c.Server.TrustedProxies}
}

func stompLimits(s config.Session) stomp.Limits {
	return stomp.Limits{
		LoginTimeout: s.LoginTimeout, Window: s.Window, WindowBytes: int(s.WindowBytes), Subscriptions: s.MaxChannels,
		Deliveries: s.MaxDeliveries, DurableTTL: s.DurableTTL, CommandRate: s.CommandRate, CommandBurst: s.CommandBurst,
		BackendRate: s.BackendRate,
	}
}

func transportLimits(s config.Session) transport.Limits {
	return transport.Limits{
		LoginTimeout: s.LoginTimeout, Ping: s.Ping, CommandRate: s.CommandRate, CommandBurst: s.CommandBurst,
	}
}

// setLogging applies what may change at any time.
func setLogging(log *logrus.Logger, l config.Log) {
	log.SetLevel(l.Level)
	if l.Format == config.JSONLog {
		log.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
		return
	}
	log.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true, TimestampFormat: "2006-01-02T15:04:05.000Z07:00"})
}

// needRestart returns which sections of a configuration wait for a restart: those that
// differ from what the daemon began with, and that a reload does not apply.
func (d *Daemon) needRestart(new *config.Config) (sections []string) {
	old := d.begun
	oldServer, newServer := old.Server, new.Server
	oldServer.Hosts, newServer.Hosts = nil, nil
	oldServer.Origins, newServer.Origins = nil, nil
	oldServer.TrustedProxies, newServer.TrustedProxies = nil, nil
	oldEngine, newEngine := old.Engine, new.Engine
	oldEngine.Retain, newEngine.Retain = acl.Storage{}, acl.Storage{}
	for _, s := range []struct {
		name     string
		old, new any
	}{
		{"[server]", oldServer, newServer},
		{"[tls]", old.TLS.Certificate == "", new.TLS.Certificate == ""},
		{"[engine]", oldEngine, newEngine},
		{"[session]", old.Session, new.Session},
	} {
		if !reflect.DeepEqual(s.old, s.new) {
			sections = append(sections, s.name)
		}
	}
	return sections
}
