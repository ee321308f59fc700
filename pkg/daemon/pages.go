package daemon

import (
	"io/fs"
	"net/http"

	"github.com/orbitd/orbitd/js"
)

// pages serves the browser library, and the demo page at the root.
func pages() http.Handler {
	files := js.Files()
	mux := http.NewServeMux()
	library := http.FileServerFS(files)
	mux.Handle("GET /orbit.js", anyPage(library))
	mux.Handle("GET /orbit/", anyPage(library))
	mux.Handle("GET /demo/", demoPolicy(library))
	mux.Handle("GET /{$}", http.RedirectHandler("/demo/", http.StatusFound))
	return revalidated(mux, files)
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

// revalidated has browsers ask each time whether a file has changed: embedded
// files have no date, so their content's hash is their tag.
func revalidated(next http.Handler, files fs.FS) http.Handler {
	tags := hashFiles(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		if tag, ok := tags[r.URL.Path]; ok {
			w.Header().Set("ETag", tag)
		}
		next.ServeHTTP(w, r)
	})
}
