package protocol

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
)

// SetRetryAfter tells who is answered an error after which time to try again, where
// that is known (RFC 9110, section 10.2.3).
func SetRetryAfter(h http.Header, e *message.Error) {
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(e.RetryAfter/time.Second), 10))
	}
}

// Status returns the HTTP status of an error: PROTOCOL.md's table of codes. What
// is not in it is a fault of ours.
func Status(code message.Code) int {
	return cmp.Or(statuses[code], http.StatusInternalServerError)
}

var statuses = map[message.Code]int{
	message.BadRequest:     http.StatusBadRequest,
	message.Unauthorized:   http.StatusUnauthorized,
	message.Forbidden:      http.StatusForbidden,
	message.UnknownChannel: http.StatusNotFound,
	message.Conflict:       http.StatusConflict,
	message.OutOfOrder:     http.StatusConflict,
	message.KeyExpired:     http.StatusGone,
	message.SessionExpired: http.StatusGone,
	message.TooLarge:       http.StatusRequestEntityTooLarge,
	message.RateLimited:    http.StatusTooManyRequests,
	message.Internal:       http.StatusInternalServerError,
	message.Unavailable:    http.StatusServiceUnavailable,
	message.Unknown:        http.StatusServiceUnavailable,
}
