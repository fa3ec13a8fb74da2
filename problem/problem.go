// Package problem holds the errors that a caller can put right: a code for programs, a
// sentence for people, and the path of the input at fault.
//
// It imports none of our packages. Entry points: New, TooMuch, Locate, Is.
package problem

import (
	"errors"
	"fmt"
	"time"
)

// Code is the kind of a refusal. Codes are part of the API: clients switch on them.
type Code string

// The codes.
const (
	Invalid         Code = "INVALID"             // the input breaks a rule; Message says how to put it right
	NotFound        Code = "NOT_FOUND"           // there is no such thing, or the caller may not see it
	Conflict        Code = "CONFLICT"            // something has changed in the meantime
	Unauthenticated Code = "UNAUTHENTICATED"     // nobody is signed in, or the session has ended
	Forbidden       Code = "FORBIDDEN"           // the caller may see it, but not do this
	Throttled       Code = "THROTTLED"           // too often; RetryAfter says how long to wait
	KeyReused       Code = "KEY_REUSED"          // the idempotency key came with another input before
	Credentials     Code = "CREDENTIALS_INVALID" // no account has this address and this password
	Token           Code = "TOKEN_INVALID"       // the code from a mail is used up, too old, or was never sent
)

// Error is a refusal that the caller can put right. Any other error is a fault of ours: it is
// logged, and the client sees only a reference to the log.
type Error struct {
	Code       Code
	Message    string        // for people, in English, without a final dot
	Path       []string      // of the input field at fault, outermost first; nil for the whole request
	RetryAfter time.Duration // for Throttled: the time after which a new attempt can succeed
}

func (e *Error) Error() string { return e.Message }

// New returns a refusal with a message formatted as by fmt.Sprintf.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrOverloaded is the error of work for which there was no room in good time. It is nobody's fault, and
// a later attempt can succeed.
var ErrOverloaded = errors.New("more is asked for than can be done at this moment")

// ErrUnavailable is the error of work for which the database is needed, while it can't be reached or has no
// primary. A write that fails by it may have been done. A later attempt can succeed.
var ErrUnavailable = errors.New("the database can't be reached")

// At returns e with the path of the input at fault.
func (e *Error) At(path ...string) *Error {
	at := *e
	at.Path = path
	return &at
}

// Locate puts path in front of a refusal's own path in the input, unless the refusal is not
// about an input. Other errors stay as they are.
func Locate(err error, path ...string) error {
	var e *Error
	if errors.As(err, &e) && len(e.Path) == 0 && e.Code != Throttled {
		return e.At(path...)
	}
	return err
}

// Beneath puts path in front of a refusal's own path: of the input that the refusal was about as a
// whole. Other errors stay as they are.
func Beneath(err error, path ...string) error {
	var e *Error
	if errors.As(err, &e) {
		return e.At(append(path, e.Path...)...)
	}
	return err
}

// TooMuch returns a Throttled error: what names the excess, and after wait a new attempt can succeed.
func TooMuch(what string, wait time.Duration) *Error {
	wait = max(wait.Round(time.Second), time.Second)
	return New(Throttled, "%s: try again in %s", what, wait).After(wait)
}

// After returns e with the time to wait.
func (e *Error) After(wait time.Duration) *Error {
	after := *e
	after.RetryAfter = wait
	return &after
}

// Warning tells that something was done otherwise than asked, because it couldn't be done as
// asked.
type Warning struct {
	Message string
	Path    []string // of the input field concerned, outermost first
}

// Is says if err is, or wraps, a refusal with code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
