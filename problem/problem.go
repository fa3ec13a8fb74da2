// Package problem holds the reasons for which a request is refused: a code that
// programs read, a sentence that people read, and the path of the input at fault.
//
// It is vocabulary: it imports nothing of ours.
package problem

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of refusal it is. Codes are part of the API: clients switch on them.
type Code string

// The codes there are.
const (
	Invalid         Code = "INVALID"             // the input breaks a rule; Message says which and what would be right
	NotFound        Code = "NOT_FOUND"           // there is no such thing, or the caller may not know of it
	Conflict        Code = "CONFLICT"            // it was right, but something has changed in the meantime
	Unauthenticated Code = "UNAUTHENTICATED"     // nobody has signed in, or the session has ended
	Forbidden       Code = "FORBIDDEN"           // the caller knows of it, but may not do this
	Throttled       Code = "THROTTLED"           // too often; RetryAfter says how long to wait
	KeyReused       Code = "KEY_REUSED"          // the idempotency key came with another input before
	Credentials     Code = "CREDENTIALS_INVALID" // no account has this address and this password
	Token           Code = "TOKEN_INVALID"       // what a mail brought is used up, too old, or was never sent
)

// Error is a refusal that the caller can put right. Whatever isn't one is our fault:
// it is logged, and the client sees only a reference.
type Error struct {
	Code       Code
	Message    string        // for people, in English, without a final dot
	Path       []string      // of the input field at fault, outermost first; nil where it is the whole request
	RetryAfter time.Duration // for Throttled: after how long it is worth trying again
}

func (e *Error) Error() string { return e.Message }

// New returns a refusal whose message is formatted as by fmt.Sprintf.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// At returns e with the path of the input at fault.
func (e *Error) At(path ...string) *Error {
	at := *e
	at.Path = path
	return &at
}

// Locate adds where in the input a refusal is, unless it says so itself or is of no input.
// Whatever is no refusal stays as it is.
func Locate(err error, path ...string) error {
	var e *Error
	if errors.As(err, &e) && len(e.Path) == 0 && e.Code != Throttled {
		return e.At(path...)
	}
	return err
}

// TooMuch is the refusal of what comes too often or too much, and may come again after wait.
func TooMuch(what string, wait time.Duration) *Error {
	wait = max(wait.Round(time.Second), time.Second)
	return New(Throttled, "%s: try again in %s", what, wait).After(wait)
}

// After returns e with how long to wait.
func (e *Error) After(wait time.Duration) *Error {
	after := *e
	after.RetryAfter = wait
	return &after
}

// Warning says what was done otherwise than was asked for, because it couldn't be done so.
type Warning struct {
	Message string
	Path    []string // of the input field that it is about, outermost first
}

// Is says whether err is, or wraps, a refusal with code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
