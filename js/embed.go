// Package js carries the browser library and the demo page inside the binary.
//
// It knows nothing about HTTP: whoever serves the files decides where, as long as orbit.js and the
// folder orbit stay side by side, since the first imports the second relatively.
package js

import (
	"embed"
	"io/fs"
)

//go:embed orbit.js orbit demo
var files embed.FS

// Files returns orbit.js (the library's entry), orbit/ (its modules) and demo/ (a page to try it).
func Files() fs.FS { return files }
