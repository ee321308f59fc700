package daemon

import (
	"encoding/json"
	"net/http"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// ops serves what operators and load balancers ask: whether the process lives,
// whether it takes publishes, and what was counted. It stands on a listener of its own.
func ops(e engine.Engine, version string, count func() (conns, sessions int), metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok", "version": version})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := e.Status()
		conns, sessions := count()
		body := map[string]any{
			"status": "ok", "epoch": s.Epoch.String(), "offset": s.Visible,
			"connections": conns, "sessions": sessions,
		}
		if s.Refusing == nil {
			answer(w, http.StatusOK, body)
			return
		}
		body["status"] = "refusing publishes"
		body["reason"] = message.AsError(s.Refusing).Text
		answer(w, http.StatusServiceUnavailable, body)
	})
	return mux
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a peer that has gone does not read it
}
