package protocol

import (
	"cmp"
	"net/http"

	"github.com/orbitd/orbitd/pkg/message"
)

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
