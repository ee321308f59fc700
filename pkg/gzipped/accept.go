package gzipped

import (
	"net/http"
	"strconv"
	"strings"
)

// Accepted reports whether the header of a request allows gzip, by its name or else
// by * (RFC 9110, section 12.5.3).
func Accepted(h http.Header) bool {
	accepted := false
	for _, part := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		coding = strings.TrimSpace(coding)
		named := strings.EqualFold(coding, "gzip")
		if !named && coding != "*" {
			continue
		}
		accepted = true
		if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameters)), "q="); ok {
			weight, err := strconv.ParseFloat(q, 64)
			accepted = err == nil && weight > 0
		}
		if named {
			return accepted
		}
	}
	return accepted
}
