package daemon

import (
	_ "embed" // the welcome page
	"net/http"

	"github.com/orbitd/orbitd/js"
	"github.com/orbitd/orbitd/pkg/acl"
)

// pages serves the browser library, and at the root the demo page, or where its
// channels are closed one that says what to do next.
func pages(demo func() bool) http.Handler {
	mux := http.NewServeMux()
	library := newFiles(js.Files(), http.FileServerFS(js.Files()))
	mux.Handle("GET /orbit.js", anyPage(library))
	mux.Handle("GET /orbit/", anyPage(library))
	mux.Handle("GET /demo/", demoPolicy(library))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if demo() {
			http.Redirect(w, r, "/demo/", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = w.Write(welcome) // a peer that has gone does not read it
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		mux.ServeHTTP(w, r)
	})
}

// welcome is a page without scripts, and says nothing of this server but that it is
// one.
//
//go:embed welcome.html
var welcome []byte

// hasDemo reports whether anybody may read what the demo page shows.
func (d *Daemon) hasDemo() bool {
	return d.Config().Policy.Decide(acl.Subject{}, acl.Subscribe, "/chat/lobby").Allowed
}

// anyPage lets pages of other origins load the library.
func anyPage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		next.ServeHTTP(w, r)
	})
}

// demoPolicy confines the demo page to its own scripts and this server.
func demoPolicy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}
