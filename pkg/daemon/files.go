package daemon

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/gzipped"
)

// files serves embedded files. They have no date, so their content's hash is their
// entity tag (RFC 9110, section 8.8.3), and browsers ask each time whether it has
// changed. Who accepts gzip gets a file that is smaller by it compressed, with a tag
// of its own; each is compressed once, when the first asks for any.
type files struct {
	plain  map[string]file // by path on the server
	packed func() map[string]file
	next   http.Handler // for all that is no file
}

type file struct {
	name, tag string
	content   []byte
}

func newFiles(from fs.FS, next http.Handler) *files {
	f := &files{plain: readFiles(from), next: next}
	f.packed = sync.OnceValue(f.pack)
	return f
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, ok := f.plain[r.URL.Path]
	if !ok {
		f.next.ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	if gzipped.Accepted(r.Header) {
		if small, ok := f.packed()[r.URL.Path]; ok {
			found = small
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", found.tag)
	http.ServeContent(w, r, found.name, time.Time{}, bytes.NewReader(found.content))
}

// readFiles returns the files of a file system, a folder's index.html by the
// folder's path, too. They are embedded, so reading them cannot fail.
func readFiles(from fs.FS) map[string]file {
	found := map[string]file{}
	_ = fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		one := file{name: name, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, content: content}
		found["/"+name] = one
		if path.Base(name) == "index.html" {
			found["/"+path.Dir(name)+"/"] = one
		}
		return nil
	})
	return found
}

func (f *files) pack() map[string]file {
	packed := map[string]file{}
	for where, plain := range f.plain {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for no such level
		_, _ = w.Write(plain.content)                         // a buffer takes all
		_ = w.Close()
		if b.Len() < len(plain.content) {
			packed[where] = file{plain.name, strings.TrimSuffix(plain.tag, `"`) + `-gzip"`, b.Bytes()}
		}
	}
	return packed
}
