package daemon

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A refusing engine takes no publishes.
type refusing struct{ engine.Engine }

func (refusing) Status() engine.Status {
	return engine.Status{Refusing: message.Errorf(message.Unavailable, "the disk is full").Because(errors.New("/secret/path: ENOSPC"))}
}

// TestRefusing: those who look at the daemon see that it refuses publishes, and
// why, but not the cause; the process itself is healthy.
func TestRefusing(t *testing.T) {
	h := ops(refusing{}, "test", func() (int, int) { return 3, 4 }, http.NotFoundHandler())
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	code, body := get("/readyz")
	for _, want := range []string{`"status":"refusing publishes"`, `"reason":"the disk is full"`, `"connections":3`, `"sessions":4`} {
		if code != http.StatusServiceUnavailable || !strings.Contains(body, want) {
			t.Errorf("readyz: %d %s, want %s", code, body, want)
		}
	}
	if strings.Contains(body, "secret") {
		t.Errorf("readyz tells the cause: %s", body)
	}
	if code, body := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, body)
	}
}
