package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/orbitd/orbitd/pkg/config"
)

// DefaultSocket is where the control socket is if nothing else is said.
const DefaultSocket = config.DefaultControl

// What may take long has ended by then, also where a directory does not answer.
const (
	ApplyTime   = 30 * time.Second // Controlled.Apply
	RecheckTime = 10 * time.Minute // Controlled.Recheck
)

// A Controlled is a running daemon. Its methods may be called concurrently.
type Controlled interface {
	// Status tells how the daemon is, from memory.
	Status() Status
	// Apply reads the configuration again and returns what became of that, once
	// it is in force for every client or has been refused.
	Apply(ctx context.Context) Verdict
	// EndLogin ends the login of that id, or that a token is of. When it returns,
	// its connections are sent nothing more.
	EndLogin(ctx context.Context, login string) error
	// Recheck looks up again what is true of the users who are connected, or of
	// the one that is named, and judges their rights. When it returns, nothing is
	// delivered that is not allowed; the error says who could not be looked up.
	Recheck(ctx context.Context, user string) error
}

// maxLogin bounds what names a login, in bytes: a token at most.
const maxLogin = 16 << 10

// An outcome says why a request failed; "" if it did not.
type outcome struct {
	Error string `json:"error,omitempty"`
}

// Status is how a daemon is.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Summary string    `json:"summary"` // what `systemctl status` shows
	Clients int       `json:"clients"` // connections of orbit.v1
	// Connections are all, also those that have not said yet what they want.
	Connections int   `json:"connections"`
	Sessions    int   `json:"sessions"` // also those whose client is away
	Apps        int   `json:"apps"`     // that rules or tables name
	Lagging     int   `json:"lagging"`  // subscriptions that catch up, or take no more
	STOMP       STOMP `json:"stomp"`

	Listeners map[string][]string `json:"listeners"` // addresses by front door
	Engine    Engine              `json:"engine"`
	State     string              `json:"state"` // the folder of what the daemon makes itself, such as its key
	Config    Config              `json:"config"`
	Reload    *Verdict            `json:"reload,omitempty"` // the last one
	// Restart are the sections of the configuration in force that wait for a restart.
	Restart []string `json:"restart,omitempty"`
	// Unruled are the channels that had messages and no rule at the last reload or start.
	Unruled int `json:"unruled,omitempty"`
}

// STOMP is what is stored for STOMP clients, and who has it at the moment.
type STOMP struct {
	Durable          int `json:"durable"` // subscriptions
	DurableConnected int `json:"durable_connected"`
	Groups           int `json:"groups"`
	GroupsConnected  int `json:"groups_connected"`
	Consumers        int `json:"consumers"` // of groups
}

// Engine is how what stores messages is.
type Engine struct {
	Type   string `json:"type"`
	Path   string `json:"path,omitempty"`
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"` // of the last visible message
	// Refusing says why no publish is taken; "" while they are.
	Refusing string `json:"refusing,omitempty"`
}

// Config is the configuration in force, in numbers.
type Config struct {
	File           string   `json:"file"` // as it was given
	Path           string   `json:"path"` // the same, absolute
	Authenticators int      `json:"authenticators"`
	Rules          int      `json:"rules"`
	Disabled       []string `json:"disabled,omitempty"` // applications whose file is wrong
}

// A Verdict is what became of a reload.
type Verdict struct {
	At time.Time `json:"at"`
	// InForce is set where the new configuration is; else it is the old one.
	InForce bool `json:"in_force"`
	// Error is why not, or what could not be done, where it is no mistake in a
	// file.
	Error string `json:"error,omitempty"`
	// Problems are the mistakes: those for which it was refused, or those of
	// applications that are disabled now.
	Problems config.Problems `json:"problems,omitempty"`
	// Warnings are of what has no effect, or none before the next start, whenever it
	// was changed.
	Warnings config.Problems `json:"warnings,omitempty"`
}

// OK reports whether all that the files say is in force.
func (v *Verdict) OK() bool { return v.InForce && v.Error == "" && len(v.Problems) == 0 }

// NewHandler serves the control socket: GET /status, POST /reload, and POST /end-login
// whose body is the login.
func NewHandler(d Controlled) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, d.Status())
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		v := d.Apply(r.Context())
		status := http.StatusOK
		if !v.OK() {
			status = http.StatusUnprocessableEntity
		}
		answer(w, status, v)
	})
	mux.HandleFunc("POST /end-login", func(w http.ResponseWriter, r *http.Request) {
		login, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogin))
		if err == nil {
			err = d.EndLogin(r.Context(), string(login))
		}
		answerOutcome(w, err)
	})
	mux.HandleFunc("POST /recheck", func(w http.ResponseWriter, r *http.Request) {
		answerOutcome(w, d.Recheck(r.Context(), r.URL.Query().Get("user")))
	})
	return mux
}

func answerOutcome(w http.ResponseWriter, err error) {
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, outcome{err.Error()})
		return
	}
	answer(w, http.StatusOK, outcome{})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a peer that has gone does not read it
}
