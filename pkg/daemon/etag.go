package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
)

// hashFiles returns an entity tag (RFC 9110, section 8.8.3) for each file, by
// its path on the server. The files are embedded, so reading them cannot fail.
func hashFiles(files fs.FS) map[string]string {
	tags := map[string]string{}
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		tags["/"+name] = tag
		if path.Base(name) == "index.html" {
			tags["/"+path.Dir(name)+"/"] = tag
		}
		return nil
	})
	return tags
}
