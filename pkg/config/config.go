package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
)

// A Config is everything that orbitd.toml and apps.d say, checked, with
// defaults filled in and paths made absolute. It is never changed once loaded.
type Config struct {
	File string // as it was given

	// StateDirectory is where the daemon keeps what it makes itself, such as
	// the key that signs tokens: $STATE_DIRECTORY, else Options.StateDirectory,
	// else the engine's path.
	StateDirectory string

	Server  Server
	TLS     TLS
	Engine  Engine
	Session Session
	Log     Log
	Auth    []Auth // in the order in which they are asked
	Apps    []App  // those that are configured and not disabled, by name

	// Rules are those of Policy, in their order.
	Rules  []acl.Rule
	Policy *acl.Policy

	// Disabled are the applications whose file in apps.d has an error. Policy
	// forbids everything below their names.
	Disabled []DisabledApp

	// Warnings are what is no mistake and who runs the daemon must be told: settings
	// that this build does nothing with, and secrets that everybody can read.
	Warnings Problems

	// Named are the files that the daemon reads: this one, those of apps.d, and the
	// users, keys and certificates that they name.
	Named []NamedFile

	// What Realm answers: for the applications that are named above, and for all
	// others.
	realms    map[string][]string
	everyAuth []string
}

// Server says where orbitd listens. An empty address is not listened on.
type Server struct {
	HTTP, HTTPS, STOMP, STOMPS string
	Ops                        string
	Control                    string   // path of a Unix socket
	Hosts                      []string // such as "push.example.org"; none: any
	Origins                    []string // such as "https://www.example.org"
	TrustedProxies             []netip.Prefix
	Compression                int64 // messages are compressed from this size on; 0: none
}

// TLS names certificate files; all are empty or checked to be readable, and a key to
// be its certificate's.
type TLS struct {
	Pair        // what is shown to who asks for no name
	Also []Pair // for other names

	ClientCA       string // whose clients' certificates are believed; empty: none is asked for
	ClientCRL      string // which of them were revoked
	ClientRequired bool

	HSTS time.Duration // how long browsers shall come by TLS alone; 0: it is not said
}

// Pair is a certificate with its key.
type Pair struct{ Certificate, Key string }

// The engine's types.
const (
	LocalEngine  = "local"
	MemoryEngine = "memory"
)

// Engine says how messages are stored.
type Engine struct {
	Type        string // LocalEngine or MemoryEngine
	Path        string // folder of the local engine
	KeyWindow   time.Duration
	KeyCount    int
	SegmentSize int64
	MinFree     int64
	Retain      acl.Storage // of channels whose rule does not say
}

// Session bounds what one client may do.
type Session struct {
	TTL           time.Duration // of a session without a name
	DurableTTL    time.Duration // of one with a name
	Window        int           // unacknowledged messages of a subscription
	WindowBytes   int64         // unacknowledged bytes of a session
	MaxMessage    int64
	MaxChannels   int
	MaxSessions   int
	MaxNamed      int
	MaxDeliveries int
	CommandRate   int // of a connection, a second
	CommandBurst  int // of a connection, at once
	BackendRate   int // as CommandRate, of who has logged in by STOMP over TCP; 0: no bound
	LoginTimeout  time.Duration
	Ping          time.Duration
}

// Log says what is logged and how.
type Log struct {
	Level  logrus.Level
	Format string // TextLog or JSONLog
}

// The log's formats.
const (
	TextLog = "text"
	JSONLog = "json"
)

// The authenticators' types.
const (
	FileAuth        = "file"
	LDAPAuth        = "ldap"
	TokenAuth       = "token"
	CertificateAuth = "certificate"
)

// Auth is one authenticator.
type Auth struct {
	Name  string // what applications call it; by default its type
	Type  string // one of those above
	Line  int    // of the main file, where it stands
	Path  string // FileAuth: the users' file
	Token Token  // TokenAuth
	LDAP  LDAP   // LDAPAuth
	// CertificateAuth
	Certificate Certificate
}

// Certificate says what a client's certificate says of its user.
type Certificate struct {
	User  string // where the name stands: "cn", "dns", "email" or "uri"
	Units bool   // the organizational units are the groups
}

// App is one application's own settings.
type App struct {
	Name    string
	Auth    []string // names of the authenticators that vouch for its users
	Origins []string // empty: the server's
	Quota   Quota
}

// Quota bounds one application. Zero is no bound.
type Quota struct {
	Connections int
	Sessions    int
	PublishRate int // a second
	Stored      int64
}

// A DisabledApp is an application whose file has errors.
type DisabledApp struct {
	Name string
	File string
	Err  Problems
}

// A NamedFile is a file that the daemon reads, and where it is named: by which key at
// which line of File, or as a file of the configuration itself, without them.
type NamedFile struct {
	Path, File string
	Line       int
	Key        string // such as "tls.key"
}

// App returns the settings of an application. One that is not configured has
// the server's origins, all authenticators and no quota; ok is then false.
func (c *Config) App(name string) (app App, ok bool) {
	for _, app := range c.Apps {
		if app.Name == name {
			return app, true
		}
	}
	return App{Name: name, Auth: c.authNames(), Origins: c.Server.Origins}, false
}

// Realm returns the names of the authenticators that vouch for an application's
// users: none if it is disabled. It is asked at every decision and allocates
// nothing; the list is not to be changed.
func (c *Config) Realm(app string) []string {
	if realm, ok := c.realms[app]; ok {
		return realm
	}
	return c.everyAuth
}

// PageAllowed reports whether pages of an origin, other than the server's own, may
// use an application.
func (c *Config) PageAllowed(app, origin string) bool {
	a, _ := c.App(app)
	return slices.Contains(a.Origins, origin)
}

// Origins returns the origins of all pages that may use anything, beside the
// server's own.
func (c *Config) Origins() []string {
	all := slices.Clone(c.Server.Origins)
	for _, a := range c.Apps {
		all = append(all, a.Origins...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Storage returns how the channel's messages are stored. It depends on no user.
// What a disabled application has stored, and what no rule fits any more, is kept
// without limit: a mistake or a file that was moved away for an hour destroys nothing.
func (c *Config) Storage(name channel.Name) acl.Storage {
	if rule := c.rule(name); rule != nil && !c.Policy.Disabled(name) {
		return rule.Storage
	}
	return acl.Storage{}
}

// Unruled reports whether no rule fits a channel of an application that is not disabled.
func (c *Config) Unruled(name channel.Name) bool {
	return c.rule(name) == nil && !c.Policy.Disabled(name)
}

// rule returns the one by which a channel is stored, or nil.
func (c *Config) rule(name channel.Name) *acl.Rule {
	if rule := c.Policy.Lookup(name); rule != nil {
		return rule
	}
	if living, ok := name.Living(); ok {
		return c.rule(living)
	}
	return nil
}

// In returns the same configuration of a daemon whose state directory is another one.
func (c *Config) In(state string) *Config {
	other := *c
	other.StateDirectory = state
	return &other
}

func (c *Config) authNames() []string {
	names := make([]string, len(c.Auth))
	for i, a := range c.Auth {
		names[i] = a.Name
	}
	return names
}
