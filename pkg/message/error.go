package message

import (
	"errors"
	"fmt"
	"time"
)

// A Code names an error for peers. All but Unknown, Internal and KeyExpired are
// definite: what was asked for did not happen and will not. Of a publish that was
// tried before, see PROTOCOL.md, section 6.
type Code string

// The codes of orbit.v1; PROTOCOL.md says what a client does about each.
const (
	BadRequest     Code = "bad_request"
	Unauthorized   Code = "unauthorized"
	Forbidden      Code = "forbidden"
	UnknownChannel Code = "unknown_channel"
	TooLarge       Code = "too_large"
	RateLimited    Code = "rate_limited"
	Conflict       Code = "conflict"
	KeyExpired     Code = "key_expired"
	OutOfOrder     Code = "out_of_order"
	Unavailable    Code = "unavailable"
	Unknown        Code = "unknown"
	SessionExpired Code = "session_expired"
	Internal       Code = "internal"
)

// An Error is what a peer is told: a code and a text that is safe to show. The
// cause is for the log alone.
type Error struct {
	Code  Code
	Text  string
	Cause error
	// Index is which message of a batch was refused, where that is known.
	Index int
	// RetryAfter is how long a peer is to wait, where that is known: whole seconds.
	RetryAfter time.Duration
}

// Errorf returns an Error whose text is formatted from format and args.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Because returns a copy of e with its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Error returns code, text and cause: the form for the log.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Text, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Text)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// AsError returns err as an Error: itself if it is one, else Internal with err
// as the cause and a text that tells a peer nothing.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: Internal, Text: "internal error; the server's log has the cause", Cause: err}
}

// CodeOf returns the code of err, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}
